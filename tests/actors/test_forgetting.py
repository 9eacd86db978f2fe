"""What a room and the post office forget: nothing grows with all who were ever here, or with all
tips that were ever given."""

from uuid import UUID

import pytest

from actors.messaging import postbox_actor
from actors.messaging.postbox_actor import Handled
from actors.room import target_audit
from actors.room.history import EventHistory
from actors.room.messages import MemberFrame
from actors.room.presence import INTERVAL_S, TYPING_S
from protocol import frames
from tests.actors.rooms import TOY, SteppedRoom
from tests.garbage import reachable


def test_those_who_came_and_went_leave_nothing_in_a_room() -> None:
    room = SteppedRoom()
    room.join_model()

    def visit(numbers: range) -> None:
        for number in numbers:
            room.join_viewer(number, f"viewer-{number}", toy=True)
            for frame in (
                frames.ReportToys(number, (TOY,)),
                frames.SetPresence("away"),
                frames.Typing(),
                frames.SetPreferences(number, react_to_my_tips=True),
                frames.StopToys(number),
                frames.ResumeToys(number),
            ):
                room.tell(MemberFrame(number, frame))
            room.leave(number)
        room.pass_s(INTERVAL_S + TYPING_S)

    visit(range(100, 110))
    before = reachable(room.state)
    visit(range(200, 240))
    assert reachable(room.state) == before


def test_of_tips_a_room_remembers_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_audit, "FINISHED_TIPS_MAX", 10)
    room = SteppedRoom()
    room.state.history = EventHistory(events_max=10)
    room.join_viewer(5, "ann")

    def tip(numbers: range) -> None:
        for number in numbers:
            room.tip(5, f"tip-{number}")
            room.pass_s(10)

    tip(range(100, 120))
    assert len(room.state.finished) == 10
    before = reachable(room.state)
    tip(range(200, 240))
    assert reachable(room.state) == before


def test_of_messages_the_last_ones_are_known_as_handed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postbox_actor, "HANDLED_MAX", 10)
    handled = Handled()
    for number in range(30):
        handled.sent(UUID(int=number))
    assert [number for number in range(30) if not handled.is_new(UUID(int=number))] == [
        *range(20, 30)
    ]
