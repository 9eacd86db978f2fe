"""History and numbers on the real database: whose they are, page by page, and added up."""

import random
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from protocol.audit import Reason, TargetRecord, TargetState
from protocol.toy_settings import ModelSettings
from server.store.history import (
    EndedTarget,
    HistoryFilter,
    HistoryOwner,
    Latency,
    Statistics,
    percentile,
)
from server.store.store import Store
from tests.store.settlements import NOW
from tests.store.test_repositories import record
from tests.store.test_toy_test_audit import toy_test

HER_ROOM = HistoryOwner(room_id="room-1")
ALEX, SAM = HistoryOwner(user_id="alex"), HistoryOwner(user_id="sam")
ALL = HistoryFilter()


@pytest.fixture
async def room(store: Store) -> Store:
    await store.rooms.add_model("model-1", "Ruby Rain", ModelSettings())
    await store.rooms.add_room("room-1", "model-1")
    return store


def end(number: int, state: TargetState = TargetState.ACTIVATED, **fields: Any) -> TargetRecord:
    """The end of one target; a larger `number` is later."""
    more = {"tipper_id": "alex", "at_utc": NOW + timedelta(seconds=number), **fields}
    return record(f"tip-{number}", state, record_id=UUID(int=number), **more)


async def page(store: Store, owner: HistoryOwner, wanted: HistoryFilter = ALL) -> list[EndedTarget]:
    return await store.history.load_page(owner, wanted, None, 50)


def tips(found: list[EndedTarget]) -> list[str | None]:
    return [each.tip_id for each in found]


async def test_a_target_with_its_times(room: Store) -> None:
    seconds = [NOW + timedelta(seconds=each) for each in range(4)]
    lives = [
        record("a", TargetState.QUEUED, at_utc=seconds[0]),
        record("a", TargetState.SENT, attempt=1, at_utc=seconds[1], fit={"kind": "exact"}),
        record("a", TargetState.TIMEOUT, attempt=1, at_utc=seconds[2]),
        record("a", TargetState.SENT, attempt=2, at_utc=seconds[2], fit={"kind": "exact"}),
        record("a", TargetState.ACTIVATED, attempt=2, at_utc=seconds[3], latency_ms=3_100),
    ]
    await room.rooms.append_audit(lives, [])
    assert await page(room, HER_ROOM) == [
        EndedTarget(
            record_id=lives[-1].record_id,
            tip_id="a",
            test_id=None,
            menu_row_id=None,
            target_type="MODEL_TOY",
            state=TargetState.ACTIVATED,
            reason=None,
            code=None,
            attempt=2,
            requeue=0,
            fit={"kind": "exact"},
            latency_ms=3_100,
            queued_at=seconds[0],
            sent_at=seconds[1],
            ended_at=seconds[3],
        )
    ]


async def test_each_requeue_has_its_own_times(room: Store) -> None:
    lives = [
        record("a", TargetState.QUEUED),
        record("a", TargetState.DEAD, at_utc=NOW + timedelta(seconds=1)),
        record("a", TargetState.QUEUED, requeue=1, at_utc=NOW + timedelta(seconds=5)),
        record("a", TargetState.SKIPPED, requeue=1, at_utc=NOW + timedelta(seconds=6)),
    ]
    await room.rooms.append_audit(lives, [])
    again, first = await page(room, HER_ROOM)
    assert (first.requeue, first.queued_at) == (0, NOW)
    assert (again.requeue, again.queued_at) == (1, NOW + timedelta(seconds=5))


async def test_whose_it_is(room: Store) -> None:
    await room.rooms.append_audit(
        [
            end(1),
            end(2, target_type="TIPPER_TOY", target_id="alex"),
            end(3, target_type="VIP_VIEWER_TOY", target_id="sam"),
            end(4, tipper_id="sam"),
            end(5, tipper_id="sam", target_type="VIP_VIEWER_TOY", target_id="alex"),
            end(6, room_id="room-2", tipper_id="sam"),
            toy_test(TargetState.ACTIVATED, at_utc=NOW + timedelta(seconds=7)),
            record("waits", TargetState.QUEUED, tipper_id="alex"),
        ],
        [],
    )
    assert tips(await page(room, HER_ROOM)) == [None, "tip-5", "tip-4", "tip-3", "tip-2", "tip-1"]
    assert (await page(room, HER_ROOM))[0].menu_row_id == "row-1"
    assert tips(await page(room, ALEX)) == ["tip-5", "tip-2", "tip-1"]
    assert tips(await page(room, SAM)) == ["tip-6", "tip-4", "tip-3"]
    assert await page(room, HistoryOwner(user_id="nobody")) == []


@pytest.mark.parametrize("owner", [HER_ROOM, ALEX])
async def test_filters(room: Store, owner: HistoryOwner) -> None:
    await room.rooms.append_audit(
        [
            end(1),
            end(2, TargetState.SKIPPED, reason=Reason.NO_TOY),
            end(3, target_type="TIPPER_TOY", target_id="alex"),
        ],
        [],
    )
    skipped = HistoryFilter(state=TargetState.SKIPPED)
    assert tips(await page(room, owner, skipped)) == ["tip-2"]
    assert tips(await page(room, owner, HistoryFilter(tip_id="tip-3"))) == ["tip-3"]
    tippers = HistoryFilter(target_type="TIPPER_TOY")
    assert tips(await page(room, owner, tippers)) == ["tip-3"]
    nothing = HistoryFilter(tip_id="tip-1", state=TargetState.SKIPPED)
    assert await page(room, owner, nothing) == []


@pytest.mark.parametrize("owner", [HER_ROOM, ALEX])
async def test_pages_follow_one_another_also_within_one_moment(
    room: Store, owner: HistoryOwner
) -> None:
    kinds = ("MODEL_TOY", "TIPPER_TOY")
    await room.rooms.append_audit(
        [
            end(each, target_type=kinds[each % 2], target_id="alex", at_utc=NOW)
            for each in range(1, 8)
        ],
        [],
    )
    found: list[EndedTarget] = []
    while len(
        some := await room.history.load_page(owner, ALL, found[-1].record_id if found else None, 3)
    ):
        found += some
    assert tips(found) == [f"tip-{number}" for number in range(7, 0, -1)]
    assert await room.history.load_page(owner, ALL, UUID(int=99), 3) == []


async def test_numbers(room: Store) -> None:
    later = timedelta(hours=1)
    await room.rooms.append_audit(
        [
            *(end(each, latency_ms=each * 10) for each in range(1, 101)),
            end(200, TargetState.FAILED),
            end(201, TargetState.DEAD),
            end(202, TargetState.SKIPPED, at_utc=NOW + later),
            end(203, TargetState.MERGED, at_utc=NOW + later),
            end(204, TargetState.EXPIRED, at_utc=NOW + 2 * later),
            end(205, TargetState.ACTIVATED, requeue=1),
            end(206, TargetState.FAILED, at_utc=NOW + 3 * later),
            end(207, room_id="room-2", tipper_id="sam"),
            toy_test(TargetState.FAILED),
        ],
        [],
    )
    until = NOW + 3 * later
    expected = Statistics(
        by_state={
            "ACTIVATED": 101,
            "DEAD": 1,
            "EXPIRED": 1,
            "FAILED": 1,
            "MERGED": 1,
            "SKIPPED": 1,
        },
        success_rate=101 / 104,
        latency=Latency(500, 950, 990),
        hours=await hours(room, until),
    )
    for owner in (HER_ROOM, ALEX):
        assert await room.history.load_statistics(owner, NOW, until) == expected
    assert [(each.hour, each.by_state) for each in expected.hours] == [
        (NOW, {"ACTIVATED": 101, "DEAD": 1, "FAILED": 1}),
        (NOW + later, {"MERGED": 1, "SKIPPED": 1}),
        (NOW + 2 * later, {"EXPIRED": 1}),
    ]


async def hours(store: Store, until: datetime) -> Any:
    return (await store.history.load_statistics(HER_ROOM, NOW, until)).hours


async def test_no_numbers(room: Store) -> None:
    assert await room.history.load_statistics(SAM, NOW, NOW + timedelta(hours=1)) == Statistics(
        by_state={}, success_rate=None, latency=Latency(None, None, None), hours=[]
    )


@pytest.mark.parametrize("percent", [50, 95, 99, 100])
def test_percentiles_are_those_of_the_whole_list(percent: int) -> None:
    rng = random.Random(percent)
    for size in (1, 2, 3, 19, 20, 21, 100, 777):
        values = sorted(rng.randrange(50) for _ in range(size))
        counted = [(value, values.count(value)) for value in sorted(set(values))]
        reached = [v for v in values if sum(w <= v for w in values) * 100 >= percent * size]
        assert percentile(counted, percent) == reached[0]
    assert percentile([], percent) is None


def test_history_is_somebodys() -> None:
    for nobody in ({}, {"room_id": "room-1", "user_id": "alex"}):
        with pytest.raises(ValueError, match="not both"):
            HistoryOwner(**nobody)
