"""Who is here, who matters first, who is away or typing; and that a crowd costs what it is."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.room.effects import Publish
from actors.room.messages import MemberFrame
from actors.room.presence import TYPING_S, TYPING_SHOWN_MAX
from actors.room.roster import CHANGES_MAX, Roster
from protocol import frames
from protocol.codec import CODECS, MSGPACK
from protocol.errors import ErrorCode
from protocol.tip_activated import MembershipTier
from tests.actors.rooms import FREE, GOLD, MODEL_PAGE, SteppedRoom, model_join, viewer_join

ANN, BOB = 5, 6


def presence(room: SteppedRoom) -> list[frames.PresenceChanged]:
    return [each for each in room.published if isinstance(each, frames.PresenceChanged)]


def typing(room: SteppedRoom) -> list[list[str]]:
    changes = [each for each in room.published if isinstance(each, frames.TypingChanged)]
    return [[member.username for member in each.typing.members] for each in changes]


def say(room: SteppedRoom, session_id: int, frame: Any) -> None:
    room.tell(MemberFrame(session_id, frame))


def names(room: SteppedRoom, session_id: int = ANN, **fields: Any) -> list[str]:
    page = room.ask(session_id, frames.ListMembers, **fields)
    return [member.username for member in page.members]


# ---- the roster --------------------------------------------------------------------------------


@dataclass
class Crowd:
    """A page that shows the whole list and applies change lists."""

    shown: dict[int, frames.MemberView]

    def take(self, roster: Roster) -> None:
        changes = roster.take_changes()
        assert len(changes.here) + len(changes.gone) <= CHANGES_MAX
        if changes.omitted:
            self.shown = {each.id: each for each in everyone(roster)}
            return
        for gone in changes.gone:
            del self.shown[gone]
        self.shown |= {each.id: each for each in changes.here}


def everyone(roster: Roster, limit: int = 7) -> list[frames.MemberView]:
    found: list[frames.MemberView] = []
    after = None
    while True:
        page, after = roster.page(after, limit)
        found += page
        if after is None:
            return found
        assert len(page) == limit


people = st.builds(
    dict,
    username=st.sampled_from(["Ann", "ann", "Bob", "a.b.c", "Zoë", "ß", "ss", "猫"]),
    role=st.sampled_from(["viewer", "moderator"]),
    tier=st.sampled_from(list(MembershipTier)),
    tipper=st.booleans(),
    away=st.booleans(),
)
acts = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 20), people),
    st.tuples(st.just("remove"), st.integers(0, 20), st.none()),
    st.tuples(st.just("told"), st.none(), st.none()),
)


@given(st.lists(acts, max_size=60))
def test_pages_and_change_lists_show_who_is_here(acts: list[tuple[str, Any, Any]]) -> None:
    roster, here, crowd = Roster(), {}, Crowd({})
    for act, who, person in acts:
        match act:
            case "put":
                roster.put(str(who), **person)
                here[str(who)] = person
            case "remove":
                roster.remove(str(who))
                here.pop(str(who), None)
            case _:
                crowd.take(roster)
        assert len(roster) == len(here)
    listed = everyone(roster)
    assert Counter(map(described, listed)) == Counter(
        tuple(each.values()) for each in here.values()
    )
    assert len({each.id for each in listed}) == len(listed)
    ranks = [rank(each) for each in listed]
    assert ranks == sorted(ranks)
    crowd.take(roster)
    assert crowd.shown == {each.id: each for each in listed}
    assert not roster.changed


def described(view: frames.MemberView) -> tuple[Any, ...]:
    """In the order of `people`."""
    return view.username, view.role, view.membership_tier, view.tipper, view.state == "away"


def rank(view: frames.MemberView) -> tuple[int, str]:
    """Those who matter first; of the spec's sentence, not of the code."""
    if view.role == "moderator":
        return 1, view.username.casefold()
    if view.membership_tier.is_vip:
        return 2, view.username.casefold()
    return (3 if view.tipper else 4), view.username.casefold()


def test_of_more_changes_than_fit_those_who_matter_are_listed_and_the_rest_is_counted() -> None:
    roster = Roster()
    for number in range(500):
        tier = GOLD if number % 100 == 0 else FREE
        roster.put(
            f"u{number}", username=f"u{number}", role="viewer", tier=tier, tipper=False, away=False
        )
    changes = roster.take_changes()
    assert len(changes.here) == CHANGES_MAX
    assert changes.omitted == 500 - CHANGES_MAX
    assert [each.membership_tier for each in changes.here[:6]] == [GOLD] * 5 + [FREE]


@pytest.mark.parametrize("cursor", ["", "1", "x.1.ann", "1.x.ann", "..", "nonsense"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    room = SteppedRoom()
    room.join_viewer(ANN, "ann")
    error = room.ask(ANN, frames.ListMembers, after=cursor)
    assert (error.code, error.field) == (ErrorCode.INVALID_FIELD, "after")


# ---- who is here -------------------------------------------------------------------------------


def test_who_matters_comes_first() -> None:
    room = SteppedRoom()
    for session_id, user_id in enumerate(["zed", "amy", "tom"], 10):
        room.join_viewer(session_id, user_id)
    room.join_viewer(20, "vip", tier=GOLD)
    room.join_viewer(21, "mod", is_moderator=True)
    room.join_model()
    room.tip(12, "tip-1")
    assert names(room, 10) == ["Mia", "Mod", "Vip", "Tom", "Amy", "Zed"]
    page = room.ask(10, frames.ListMembers, limit=4)
    assert (page.viewers, len(page.members)) == (5, 4)
    assert names(room, 10, after=page.next) == ["Amy", "Zed"]


def test_tippers_are_those_of_the_broadcast() -> None:
    room = SteppedRoom()
    room.join_model()
    room.join_viewer(ANN, "ann")
    room.join_viewer(BOB, "bob")
    room.tip(BOB, "tip-1")
    assert names(room) == ["Mia", "Bob", "Ann"]
    room.ask(MODEL_PAGE, frames.EndBroadcast)
    assert names(room) == ["Mia", "Ann", "Bob"]


def test_several_tabs_are_one_member_who_is_away_only_with_all_of_them() -> None:
    room = SteppedRoom()
    room.join_viewer(ANN, "ann")
    room.join_viewer(BOB, "ann")
    states = []
    for session_id, state in ((ANN, "away"), (BOB, "away"), (ANN, "online")):
        say(room, session_id, frames.SetPresence(state))  # type: ignore[arg-type]
        [member] = room.ask(ANN, frames.ListMembers).members
        states.append(member.state)
    assert states == ["online", "away", "online"]
    say(room, BOB, frames.SetPresence("away"))
    room.leave(ANN)
    [member] = room.ask(BOB, frames.ListMembers).members
    assert member.state == "away"


def test_changes_are_told_together_once_a_second() -> None:
    room = SteppedRoom()
    room.join_viewer(ANN, "ann")
    room.join_viewer(BOB, "bob")
    room.join_model()
    assert len(presence(room)) == 1, "the first at once"
    room.leave(BOB)
    room.join_viewer(7, "cat")
    room.pass_s(1.1)
    first, second = presence(room)
    assert [each.username for each in first.here] == ["Ann"]
    assert [each.username for each in second.here] == ["Mia", "Cat"]
    assert (second.gone, second.viewers, second.omitted) == ((), 2, 0)
    assert (first.version, second.version) == (1, 2)


def test_who_goes_and_comes_within_a_second_is_no_news() -> None:
    room = SteppedRoom()
    room.join_viewer(BOB, "bob")
    room.pass_s(2)
    room.join_viewer(ANN, "ann")
    told = len(presence(room))
    member = room.state.roster.member("bob")
    room.leave(BOB)
    room.join_viewer(7, "bob")
    room.pass_s(2)
    assert len(presence(room)) == told
    assert room.state.roster.member("bob") == member


def test_who_has_left_is_offline() -> None:
    room = SteppedRoom()
    room.join_viewer(ANN, "ann")
    room.join_viewer(BOB, "bob")
    room.pass_s(2)
    bob = room.state.roster.member("bob")
    assert bob is not None
    room.leave(BOB)
    room.pass_s(2)
    assert presence(room)[-1].gone == (bob.id,)
    assert presence(room)[-1].viewers == 1
    assert names(room) == ["Ann"]


def test_the_model_is_listed_and_is_no_viewer() -> None:
    room = SteppedRoom()
    room.join_model()
    room.join_viewer(ANN, "ann")
    say(room, MODEL_PAGE, frames.SetPresence("away"))
    page = room.ask(ANN, frames.ListMembers)
    assert [(each.role, each.state) for each in page.members] == [
        ("model", "away"),
        ("viewer", "online"),
    ]
    assert page.viewers == 1
    room.leave(MODEL_PAGE)
    assert names(room) == ["Ann"]
    room.tell(model_join(9))
    assert names(room) == ["Mia", "Ann"]


def test_what_is_not_public_is_not_listed() -> None:
    room = SteppedRoom()
    room.join_viewer(ANN, "ann-of-the-platform", toy=True, balance=4321)
    page = room.ask(ANN, frames.ListMembers)
    wire = CODECS[MSGPACK].encode(frames.Ok(1, page))
    assert b"ann-of-the-platform" not in wire
    assert b"balance" not in wire


# ---- typing ------------------------------------------------------------------------------------


def test_typing_is_shown_and_clears_after_five_seconds() -> None:
    room = SteppedRoom()
    room.join_viewer(ANN, "ann")
    say(room, ANN, frames.Typing())
    assert typing(room) == [["Ann"]]
    room.pass_s(TYPING_S - 0.1)
    assert typing(room) == [["Ann"]]
    room.pass_s(0.2)
    assert typing(room) == [["Ann"], []]
    assert room.state.typing == {}


def test_who_goes_on_typing_is_told_once() -> None:
    room = SteppedRoom()
    room.join_viewer(ANN, "ann")
    for _ in range(10):
        say(room, ANN, frames.Typing())
        room.pass_s(2)
    assert typing(room) == [["Ann"]]
    room.join_viewer(BOB, "bob")
    [snapshot] = room.frames_to(BOB, frames.Snapshot)
    assert [each.username for each in snapshot.typing.members] == ["Ann"]


@pytest.mark.parametrize("ends", ["says so", "leaves"])
def test_typing_ends_at_once_for_who_says_so_or_leaves(ends: str) -> None:
    room = SteppedRoom()
    room.join_viewer(ANN, "ann")
    room.join_viewer(BOB, "bob")
    say(room, ANN, frames.Typing())
    room.pass_s(1.5)
    if ends == "leaves":
        room.leave(ANN)
    else:
        say(room, ANN, frames.Typing(active=False))
    assert typing(room) == [["Ann"], []]


def test_many_who_type_are_counted_and_told_once_a_second() -> None:
    room = SteppedRoom()
    for number in range(40):
        room.join_viewer(10 + number, f"user-{number}")
        say(room, 10 + number, frames.Typing())
        room.pass_s(0.05)
    room.pass_s(1)
    changes = [each for each in room.published if isinstance(each, frames.TypingChanged)]
    assert len(changes) <= 4
    assert changes[-1].typing.count == 40
    assert len(changes[-1].typing.members) == TYPING_SHOWN_MAX
    room.pass_s(30)
    assert changes[-1] is not room.published[-1]
    assert typing(room)[-1] == []


# ---- a crowd -----------------------------------------------------------------------------------


@pytest.mark.slow  # five thousand joins, one by one
def test_five_thousand_in_ten_seconds_cost_what_they_are() -> None:
    """Each join the same effects, whoever is here already; for all one change list a second, of
    bounded size; and the count is exact."""
    room, crowd = SteppedRoom(), 5_000
    for number in range(crowd):
        effects = room.tell(viewer_join(10 + number, f"user-{number}"))
        assert len([each for each in effects if not isinstance(each, Publish)]) == 3
        room.pass_s(10 / crowd)
    room.pass_s(1)
    told = presence(room)
    assert len(told) <= 12
    assert told[-1].viewers == crowd
    assert sum(len(each.here) + each.omitted for each in told) == crowd
    assert max(len(CODECS[MSGPACK].encode(each)) for each in told) < 8_000
    seen, after = 0, None
    while True:
        page = room.ask(10, frames.ListMembers, after=after, limit=100)
        seen, after = seen + len(page.members), page.next
        if after is None:
            break
    assert seen == crowd
