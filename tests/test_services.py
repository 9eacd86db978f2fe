"""What HTTP makes of a busy room, a silent ledger, and a database that is asked often."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio

from actors.ports import StoreUnavailable
from actors.room.actor import MAILBOX_LIMIT
from actors.room.messages import Leave, ResumeToysByRequest, StopToysByRequest
from actors.runtime.mailbox import MailboxFull
from server.auth import Authority, Identity, Role
from server.http.app import create_app
from server.http.health import READY_CACHED_S, READY_TIMEOUT_S, Readiness
from server.services import Services
from server.settings import Settings
from server.sockets.fan_out import FanOut
from server.sockets.member_book import MemberBook
from server.vendors.toy_sessions import ToySessions, VendorUrls
from tests.actors.house import House, in_house, on_virtual_clock
from tests.actors.rooms import BROADCAST, ROOM

AUTHORITY = Authority(b"a secret of thirty-two characters")
ANN = 5


def services_of(house: House) -> Services:
    unused: Any = None
    return Services(
        settings=Settings(token_secret="unused"),
        authority=AUTHORITY,
        rooms=house.rooms,
        ledger=house.ledger,
        audit=house.audit,
        fan_out=FanOut(),
        book=MemberBook(),
        sockets=unused,
        room_endpoint=unused,
        revocations=unused,
        members=unused,
        directory=unused,
        accounts=unused,
        webhooks=unused,
        dispatcher=unused,
        streams=unused,
        dead_letters=unused,
        skipped_events=unused,
        devices=unused,
        device_writer=unused,
        history=unused,
        messaging=unused,
        settings_store=unused,
        platform=unused,
        tip_menus=unused,
        toy_sessions=ToySessions(None, VendorUrls()),
        performance_menus=unused,
        menu_store=unused,
        stage_store=unused,
        desk=unused,
        stages=unused,
        payments=unused,
        request_rate=unused,
        chance=unused,
        trace=unused,
        database_ready=unused,
    )


@in_house
async def test_an_admins_stop_goes_ahead_of_a_full_mailbox(house: House) -> None:
    services, room = services_of(house), await house.room()
    for _ in range(MAILBOX_LIMIT):
        room.tell(Leave(999))
    with pytest.raises(MailboxFull):
        await services.ask_room(ROOM, ResumeToysByRequest)
    assert await services.ask_room(ROOM, StopToysByRequest, first=True) is None


@in_house
async def test_a_tip_whose_settlement_is_not_heard_of_has_an_unknown_outcome(house: House) -> None:
    await house.join_viewer(ANN, "ann")

    async def silent(call: str) -> None:
        await trio.sleep(math.inf if call == "post" else 0)

    house.database.before = silent
    expires_at_utc = datetime.now(UTC) + timedelta(hours=1)
    identity = Identity(
        user_id="ann",
        username="ann",
        role=Role.VIEWER,
        room_id=ROOM,
        expires_at_utc=expires_at_utc,
    )
    app = create_app(services_of(house), "ws://127.0.0.1:1")
    answer = await app.test_client().post(
        f"/rooms/{ROOM}/tips",
        json={"tipId": "tip-1", "broadcastId": BROADCAST, "amount": 50},
        headers={"Authorization": f"Bearer {AUTHORITY.issue(identity)}"},
    )
    problem = await answer.get_json()
    assert (answer.status_code, problem["code"]) == (503, "LEDGER_UNAVAILABLE")


def test_readiness_is_asked_of_the_database_once_a_second() -> None:
    async def main() -> None:
        asked: list[float] = []
        away = False

        async def database_ready() -> None:
            asked.append(trio.current_time())
            await trio.lowlevel.checkpoint()
            if away:
                raise StoreUnavailable

        readiness = Readiness(database_ready)

        async def probe() -> None:
            assert await readiness.check()

        async with trio.open_nursery() as nursery:
            for _ in range(9):
                nursery.start_soon(probe)
        away = True
        assert await readiness.check()
        assert len(asked) == 1
        await trio.sleep(READY_CACHED_S)
        assert not await readiness.check()
        assert not await readiness.check()
        assert len(asked) == 2

    on_virtual_clock(main)


def test_a_database_that_does_not_answer_is_not_ready() -> None:
    async def main() -> None:
        assert not await Readiness(trio.sleep_forever).check()
        assert trio.current_time() == READY_TIMEOUT_S

    on_virtual_clock(main)
