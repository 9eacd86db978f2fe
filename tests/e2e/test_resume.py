"""A lost connection, over real sockets: what happened meanwhile is there, and only that."""

import pytest

from tests.e2e.members import JSON, MSGPACK, Frame
from tests.e2e.site import Site, new_tip_id


def place(member_snapshot: Frame, **changes: object) -> Frame:
    return {"epoch": member_snapshot["epoch"], "offset": member_snapshot["offset"]} | changes


@pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])
def test_a_member_who_returns_gets_what_happened_meanwhile(site: Site, subprotocol: str) -> None:
    with site.viewer("kim", subprotocol) as kim:
        left_at = place(kim.snapshot)
    with site.viewer("alex") as alex:
        for amount in (3, 4, 6):
            assert alex.tip(new_tip_id(), amount)["type"] == "ok"
        alex.until("tipNotice", amount=6)
        with site.socket(subprotocol) as kim:
            snapshot = kim.join(site.demo_token("kim"), resume=left_at)
            assert snapshot["recovered"] is True
            assert [each["amount"] for each in snapshot["missed"]] == [3, 4, 6]
            offsets = [each["offset"] for each in snapshot["missed"]]
            assert offsets == [left_at["offset"] + n for n in (1, 2, 3)]
            assert snapshot["offset"] == offsets[-1]
            assert alex.tip(new_tip_id(), 2)["type"] == "ok"
            assert kim.until("tipNotice")["offset"] == snapshot["offset"] + 1


def test_a_place_that_the_room_does_not_know_is_a_fresh_start(site: Site) -> None:
    with site.viewer("kim") as kim:
        here = place(kim.snapshot)
    for resume in (here | {"epoch": "of another life"}, here | {"offset": here["offset"] + 1_000}):
        with site.socket() as kim:
            snapshot = kim.join(site.demo_token("kim"), resume=resume)
            assert (snapshot["recovered"], snapshot["missed"]) == (False, [])
            assert place(snapshot) == here
