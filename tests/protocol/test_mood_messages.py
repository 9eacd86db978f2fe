"""The tables of messaging: tiers, states, who may write to whom; and what is refused by name."""

from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Refusal
from protocol.mood_messages import (
    CONTENT_MAX,
    FORWARD,
    MOOD_EXPIRY_MAX_S,
    TIERS,
    AuthorKind,
    Between,
    MessageDraft,
    MessageState,
    Mood,
    MoodDraft,
    TierRule,
    may_write,
    moves_on,
)
from protocol.validation import validate

P, S, D, R, F = MessageState


def test_tiers_are_the_specifications() -> None:
    assert {tier.value: rule for tier, rule in TIERS.items()} == {
        "VIP_DIAMOND": TierRule(10, 0),
        "VIP_PLATINUM": TierRule(10, 0),
        "VIP_GOLD": TierRule(8, 1),
        "VIP_SILVER": TierRule(5, 5),
        "FREE": TierRule(3, 30),
    }


# ---- states ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "followers"), [(P, {S, D, R, F}), (S, {D, R, F}), (D, {R}), (R, set()), (F, set())]
)
def test_a_message_moves_forward_only(old: MessageState, followers: set[MessageState]) -> None:
    assert {new for new in MessageState if moves_on(old, new)} == followers


@given(st.lists(st.sampled_from(MessageState)))
def test_whatever_is_asked_a_message_never_comes_back(wanted: list[MessageState]) -> None:
    states = [P]
    for new in wanted:
        if moves_on(states[-1], new):
            states.append(new)
    order = [P, S, D, R]
    assert len(set(states)) == len(states)
    assert all(new is F or order.index(old) < order.index(new) for old, new in pairwise(states)), (
        states
    )
    assert F not in states[:-1]


def test_every_state_has_its_row() -> None:
    assert FORWARD.keys() == set(MessageState)


# ---- who may write ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("between", "allowed"),
    [
        (Between(AuthorKind.MODEL, True, False, recipient_in_room=True), True),
        (Between(AuthorKind.MODEL, False, False, recipient_in_room=True), True),
        (Between(AuthorKind.MODEL, True, False, recipient_tipped=True), True),
        (Between(AuthorKind.MODEL, True, False), False),
        (Between(AuthorKind.MODEL, True, True, recipient_tipped=True), False),
        (Between(AuthorKind.MODEL, True, False, author_tipped=True), False),
        (Between(AuthorKind.VIEWER, True, True, author_tipped=True), True),
        (Between(AuthorKind.VIEWER, True, True, recipient_in_room=True), False),
        (Between(AuthorKind.VIEWER, True, False, author_tipped=True), False),
        (Between(AuthorKind.SYSTEM, True, False), True),
        (Between(AuthorKind.SYSTEM, True, True), True),
        (Between(AuthorKind.SYSTEM, False, False), False),
    ],
)
def test_who_may_write_to_whom(between: Between, allowed: bool) -> None:
    assert may_write(between) is allowed


def test_no_viewer_ever_writes_to_a_viewer() -> None:
    for known, in_room, tipped, author in product((False, True), repeat=4):
        between = Between(AuthorKind.VIEWER, known, False, in_room, tipped, author)
        assert not may_write(between)


# ---- what people send ------------------------------------------------------------------------


def fields(raw: Any, kind: Any) -> list[str | None]:
    faults = validate(raw, kind)
    assert isinstance(faults, list), faults
    assert all(isinstance(fault, Refusal) for fault in faults)
    return [fault.field for fault in faults]


def test_a_draft_of_a_message() -> None:
    assert validate({"recipientId": "alex", "content": "Hi"}, MessageDraft) == MessageDraft(
        "alex", "Hi"
    )
    assert validate({"recipientId": "alex", "mood": "sad", "content": None}, MessageDraft) == (
        MessageDraft("alex", mood=Mood.SAD)
    )


def test_every_bad_field_of_a_message_is_named() -> None:
    raw = {
        "recipientId": "no such id!",
        "content": "",
        "mood": "furious",
        "requestId": 7,
        "priority": 10,
        "tier": "VIP_DIAMOND",
    }
    assert set(fields(raw, MessageDraft)) == {*raw}
    assert fields({"content": "x" * CONTENT_MAX}, MessageDraft) == ["recipientId"]
    assert fields({"recipientId": "a", "content": "x" * (CONTENT_MAX + 1)}, MessageDraft) == [
        "content"
    ]
    assert fields({"recipientId": "a", "content": "a\0b"}, MessageDraft) == ["content"]


def test_every_bad_field_of_a_mood_is_named() -> None:
    raw = {"mood": None, "confidence": 101, "expiresInS": 0, "roomId": "r"}
    assert set(fields(raw, MoodDraft)) == {*raw}
    assert fields({"mood": "sad", "expiresInS": MOOD_EXPIRY_MAX_S + 1}, MoodDraft) == ["expiresInS"]
    assert validate({"mood": "sad"}, MoodDraft) == MoodDraft(Mood.SAD, 100, None)
