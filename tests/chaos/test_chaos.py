"""Six kills under load, of the server and of its PostgreSQL; `make chaos` does two hundred."""

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
import trio

from actors.transfers import Settled, Settlement
from protocol.tip_activated import (
    Item,
    ItemType,
    Ledger,
    LovenseMode,
    MembershipTier,
    Model,
    ModelToy,
    Room,
    Routing,
    TipActivated,
    Tipper,
    Transaction,
    ViewerSync,
    ViewerSyncMode,
    format_timestamp,
)
from protocol.vibration import level
from server.app import open_database
from server.settings import Settings
from server.store.demo import MODEL_NAME, seed_demo
from tests.chaos.__main__ import draw_faults
from tests.chaos.campaign import SHOPPERS, database, run_campaign
from tests.chaos.faults import RESTARTED, kill_database, stop_database
from tests.chaos.invariants import look
from tests.chaos.load import TOY_AMOUNT
from tests.e2e.site import FIRST_TOKENS, MODEL, ROOM, SECRET, Site, running_site
from tests.server_process import start_demo

SEED: Final = "20260412"
KILLS: Final = 6

pytestmark = pytest.mark.slow  # real processes, killed and started again


def test_kills_under_load_lose_nothing_and_repeat_nothing(data_dir: Path) -> None:
    faults = draw_faults(KILLS, random.Random(SEED))
    assert sum(fault.hits_database for fault in faults) >= 3
    report = run_campaign(data_dir, faults, SEED)
    assert report.problems == []
    assert report.acknowledged > KILLS
    assert report.acknowledged + report.refused == report.attempted
    kinds = {"deposit", "tip", "hold", "release", "purchase", "refund", "buy"}
    assert report.settled.keys() == kinds
    assert report.cut_off >= KILLS, "kills that hit nothing prove nothing"
    assert report.runs, "a page that played nothing proves nothing"
    bought = report.bought
    assert bought.held == bought.settled + bought.refunded + bought.open
    assert min(bought.settled, bought.refunded, bought.open) > 0
    assert report.moves.keys() >= {"STARTED", "FINISHED", "ABANDONED", "CANCELLED"}
    assert report.moves["system"] >= len(SHOPPERS), "a stage that stood still proves its end"


# ---- a server whose PostgreSQL goes down -------------------------------------------------------


@pytest.mark.parametrize("strike", [stop_database, kill_database])
def test_a_server_brings_its_postgresql_up_again(data_dir: Path, strike: Any) -> None:
    """Its members stay connected; what they ask meanwhile is answered with an error that says to
    ask again, and then with what became of it."""
    with running_site(data_dir) as site, site.viewer("alex") as alex:
        assert alex.tip("before", 5)["type"] == "ok"
        strike(data_dir / "postgres")
        answer = alex.tip("meanwhile", 5)
        if answer["type"] == "error":
            assert (answer["code"], answer["retry"]) == ("LEDGER_UNAVAILABLE", True)
        site.server.wait_until_logged(RESTARTED, 1)
        assert alex.tip("meanwhile", 5)["result"]["balance"] == FIRST_TOKENS - 10
        assert alex.tip("before", 5)["result"]["balance"] == FIRST_TOKENS - 5
        assert site.http.get("/readyz").status_code == 200


# ---- after commit, before emission -------------------------------------------------------------
TIP: Final = "tip-of-a-crash"


async def settle_without_server(data_dir: Path) -> None:
    """What a server leaves that dies between the commit and the hand-over to the consumers."""
    settings = Settings(demo=True, data_dir=data_dir)
    async with open_database(settings) as store:
        await seed_demo(store)
        room = await store.rooms.load_room(ROOM)
        assert room is not None
        assert room.broadcast is not None
        settlement = Settlement(
            tip_id=TIP,
            room_id=ROOM,
            broadcast_id=room.broadcast.broadcast_id,
            tipper_id="alex",
            amount=TOY_AMOUNT,
            model_id=MODEL,
            model_tokens=7,
            revenue_ref=uuid4(),
            event=event(room.broadcast.broadcast_id),
        )
        [outcome] = await store.ledger.post([settlement])
        assert isinstance(outcome, Settled)
        assert outcome.first


def event(broadcast_id: str) -> TipActivated:
    return TipActivated(
        event_name="TipActivated",
        event_id=uuid4(),
        tip_id=TIP,
        timestamp=format_timestamp(datetime.now(UTC)),
        ledger=Ledger(str(uuid4()), f"tip:{TIP}", str(uuid4()), str(uuid4()), "SETTLED"),
        room=Room(ROOM, broadcast_id),
        model=Model(MODEL, MODEL_NAME, LovenseMode.EXTENSION, ViewerSyncMode.OFF),
        tipper=Tipper("alex", "alex", MembershipTier.FREE, False),
        transaction=Transaction("TOKENS", TOY_AMOUNT),
        item=Item(ItemType.TIP, "menu-15", "Hello", "Hello", level(5, 3), TOY_AMOUNT),
        viewer_sync=ViewerSync(False, False, False),
        routing=Routing((ModelToy(MODEL),)),
    )


def test_an_event_that_was_committed_but_not_emitted_reaches_each_consumer_once(
    data_dir: Path,
) -> None:
    trio.run(settle_without_server, data_dir)
    server = start_demo(data_dir, TIPROOM_TOKEN_SECRET=SECRET)
    seen: list[Any] = []
    for life in range(2):
        site = Site(server)
        with site.http, site.viewer("alex") as alex:
            with site.model() as model:
                if life == 0:
                    model.run(model.until("command", tipId=TIP))
                    alex.until("activationChanged", tipId=TIP, state="done")
                seen.append([each["tipId"] for each in model.so_far("command")])
            assert alex.snapshot["self"]["balance"] == FIRST_TOKENS - TOY_AMOUNT
            # Whoever sends it again hears what he would have heard.
            assert alex.tip(TIP, TOY_AMOUNT)["result"]["balance"] == FIRST_TOKENS - TOY_AMOUNT
        if life == 0:
            assert server.stop() == 0
            server.restart()
    assert server.stop() == 0
    assert seen == [[TIP], []]
    with database(data_dir) as dsn:
        findings = look(dsn, at_rest=True)
    assert findings.problems == []
    assert [each.source_ref for each in findings.booked] == [f"tip:{TIP}"]
