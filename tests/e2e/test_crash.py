"""kill -9: what was acknowledged stands, what was settled happens once, nothing is left over."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
import trio
from websockets.exceptions import WebSocketException

from actors.ports import Settled, Settlement
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
from server.store.embedded import EmbeddedServer
from tests.e2e.members import Closed, Frame, Member
from tests.e2e.site import FIRST_TOKENS, MODEL, ROOM, SECRET, Site, query, running_site
from tests.server_process import ServerProcess, start_demo

SEED: Final = 20_260_412
KILLS: Final = 10
TIPPERS: Final = ("alex", "sam", "jo", "kim", "dee")
TIPS_PER_LIFE_MAX: Final = 50
"""Of one tipper: below the 60 a minute that the room allows."""
TOY_AMOUNT: Final = 15
QUIET_AMOUNT_MAX: Final = 9
"""Below the minimum: no toy."""

LOST: Final = (Closed, WebSocketException, httpx.TransportError, OSError)
"""What a client sees of a server that is killed, wherever it is just then."""

pytestmark = pytest.mark.slow  # real processes, killed and started again


# ---- SIGKILL under load ------------------------------------------------------------------------


@dataclass
class Tippings:
    """What one tipper has sent, and what he was told: kept on his side of the wire."""

    name: str
    chance: random.Random
    amounts: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Frame] = field(default_factory=dict)
    """tipId -> the receipt; a tip without one has an unknown outcome."""

    @property
    def unknown(self) -> list[str]:
        return [tip_id for tip_id in self.amounts if tip_id not in self.answers]

    def new(self) -> str:
        tip_id = f"{self.name}-{len(self.amounts)}"
        plays = self.chance.random() < 0.04
        self.amounts[tip_id] = TOY_AMOUNT if plays else self.chance.randint(1, QUIET_AMOUNT_MAX)
        return tip_id

    def send(self, member: Member, tip_id: str) -> None:
        """The answer is kept; a repeat must be answered as the first time. Raises Closed."""
        answer = member.tip(tip_id, self.amounts[tip_id])
        assert answer["type"] == "ok", answer
        assert self.answers.setdefault(tip_id, answer["result"]) == answer["result"]

    def resolve(self, member: Member) -> None:
        for tip_id in self.unknown:
            self.send(member, tip_id)


class Killer:
    """Kills the server as soon as it has acknowledged so many tips, whoever waits for what."""

    def __init__(self, server: ServerProcess, after: int) -> None:
        self._server = server
        self._left = after
        self._lock = threading.Lock()

    def count(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._server.kill()


def tip_until_killed(site: Site, tippings: Tippings, killer: Killer) -> None:
    """First what is unknown from the life before, then new tips, until the socket is lost."""
    try:
        with site.socket() as member:
            member.join(site.demo_token(tippings.name))
            tippings.resolve(member)
            for _ in range(TIPS_PER_LIFE_MAX - len(tippings.unknown)):
                tippings.send(member, tippings.new())
                killer.count()
            member.closed()  # the others reach the number
    except LOST:
        return  # the server is gone: in the middle of anything


@dataclass
class Page:
    """The model's page, which outlives the server: it remembers each command that it began, and
    runs it once, as our SDK does."""

    runs: list[str] = field(default_factory=list)
    """tipId of each run, in order."""
    over: set[str] = field(default_factory=set)
    """Tips whose end the database had when the server was killed."""
    too_late: list[str] = field(default_factory=list)
    """Commands for a tip that was over: even a page that forgot all must not get one."""
    _begun: set[str] = field(default_factory=set)

    def run(self, member: Member, command: Frame) -> None:
        if command["tipId"] in self.over:
            self.too_late.append(command["tipId"])
        if command["commandId"] not in self._begun:
            self._begun.add(command["commandId"])
            self.runs.append(command["tipId"])
        member.run(command)


def ended_tips(site: Site) -> set[str]:
    """As its database has it; that goes on when the server is killed."""
    rows = site.query(
        """SELECT tip_id FROM activation_audit WHERE target_type = 'MODEL_TOY'
        AND state IN ('ACTIVATED', 'SKIPPED', 'FAILED', 'EXPIRED', 'DEAD')"""
    )
    return {row["tip_id"] for row in rows}


def play_until_killed(site: Site, hers: Page) -> None:
    """Runs what comes."""
    try:
        with site.socket() as page:
            page.join(site.demo_token("model"), integration="EXTENSION", pageId="page-1")
            site.report(page)
            while True:
                hers.run(page, page.until("command"))
    except LOST:
        return


def test_ten_kills_under_load_lose_nothing_and_repeat_nothing(data_dir: Path) -> None:
    """Compared with what the tippers were told, not with itself: balances that add up prove
    nothing about a lost commit."""
    chance = random.Random(SEED)
    tippers = [Tippings(name, random.Random(f"{SEED}/{name}")) for name in TIPPERS]
    hers = Page()
    cut_off = 0
    with running_site(data_dir) as site:
        site.change_platform(lovenseRateLimitPerMin=600)
        for life in range(KILLS):
            killer = Killer(site.server, after=chance.randint(3, 60))
            with ThreadPoolExecutor(len(tippers) + 1) as threads:
                running = [threads.submit(tip_until_killed, site, each, killer) for each in tippers]
                if life % 2:  # in every other life her page is away
                    running.append(threads.submit(play_until_killed, site, hers))
            for each in running:
                each.result()
            cut_off += sum(len(each.unknown) for each in tippers)
            hers.over = ended_tips(site)
            site.server.restart()
        assert hers.over, "a page that played nothing to its end proves nothing"
        assert cut_off >= KILLS, "kills that hit nothing prove nothing"

        for tippings in tippers:
            with site.viewer(tippings.name) as member:
                tippings.resolve(member)
                for tip_id in chance.sample(list(tippings.answers), 5):
                    tippings.send(member, tip_id)
        play_to_the_end(site, hers)
    check_books(data_dir, tippers, hers)


def play_to_the_end(site: Site, hers: Page) -> None:
    """Her page is back and runs all that still waits."""
    with site.model() as page:
        while True:
            frame = page.next()
            if frame["type"] == "command":
                hers.run(page, frame)
            elif frame["type"] == "queueChanged" and not frame["waiting"] and not frame["playing"]:
                return


# ---- the books ---------------------------------------------------------------------------------


@contextmanager
def database(data_dir: Path) -> Iterator[str]:
    """The DSN of the database of a server that does not run."""
    server = EmbeddedServer(data_dir / "postgres")
    dsn = trio.run(server.start)
    try:
        yield dsn
    finally:
        trio.run(server.stop)


def check_books(data_dir: Path, tippers: list[Tippings], hers: Page) -> None:
    amounts = {tip_id: amount for each in tippers for tip_id, amount in each.amounts.items()}
    with database(data_dir) as dsn:
        # Every tip that was acknowledged is settled with what was said, and nothing else is.
        settled = query(dsn, "SELECT tip_id, tipper_id, amount FROM tips")
        assert len(settled) > KILLS
        assert {row["tip_id"]: row["amount"] for row in settled} == amounts
        assert all(row["tip_id"].startswith(f"{row['tipper_id']}-") for row in settled)
        balances = "SELECT account_id, balance FROM accounts"
        wallets = {row["account_id"]: row["balance"] for row in query(dsn, balances)}
        for each in tippers:
            assert wallets[f"user:{each.name}"] == FIRST_TOKENS - sum(each.amounts.values())
            lowest = min(answer["balance"] for answer in each.answers.values())
            assert wallets[f"user:{each.name}"] == lowest
        check_sums(dsn)
        check_effects(dsn, set(amounts))
        toys = {tip_id for tip_id, amount in amounts.items() if amount == TOY_AMOUNT}
        assert toys
        check_targets(dsn, toys)
        assert set(hers.runs) <= toys
        assert len(set(hers.runs)) == len(hers.runs), "no tip runs twice"
        assert hers.too_late == []


def check_sums(dsn: str) -> None:
    """Tokens are conserved: in all accounts together, in each of them, in each transfer."""
    assert query(dsn, "SELECT sum(balance) AS total FROM accounts")[0]["total"] == 0
    wrong_accounts = """SELECT account_id FROM accounts a LEFT JOIN
        (SELECT account_id, sum(amount) AS booked FROM entries GROUP BY account_id) e
        USING (account_id) WHERE a.balance <> coalesce(e.booked, 0)"""
    assert query(dsn, wrong_accounts) == []
    wrong_transfers = "SELECT FROM entries GROUP BY transfer_id HAVING sum(amount) <> 0"
    assert query(dsn, wrong_transfers) == []
    assert query(dsn, "SELECT FROM accounts WHERE balance < 0 AND kind <> 'issuance'") == []


def check_effects(dsn: str, tip_ids: set[str]) -> None:
    """One event for each tip, done by each consumer; points credited once."""
    events = query(dsn, "SELECT tip_id, event ->> 'eventId' AS event_id FROM outbox")
    assert {row["tip_id"] for row in events} == tip_ids
    assert len({row["event_id"] for row in events}) == len(tip_ids)
    done = query(dsn, "SELECT consumer, tip_id FROM event_deliveries WHERE done_at IS NOT NULL")
    assert {tuple(row) for row in done} == {
        (consumer, tip_id) for consumer in ("room", "loyalty") for tip_id in tip_ids
    }
    points = query(
        dsn, "SELECT p.tip_id, p.points, t.amount FROM points_entries p JOIN tips t USING (tip_id)"
    )
    assert {row["tip_id"] for row in points} == tip_ids
    assert all(row["points"] == row["amount"] for row in points)
    totals = query(
        dsn,
        """SELECT (SELECT sum(balance) FROM points_accounts) AS accounts,
        (SELECT sum(points) FROM points_entries) AS entries""",
    )
    assert totals[0]["accounts"] == totals[0]["entries"]


def check_targets(dsn: str, tip_ids: set[str]) -> None:
    """Each tip's only target, the model's toy, is in exactly one final state."""
    finals = query(
        dsn,
        """SELECT tip_id, target_type, state FROM activation_audit
        WHERE state NOT IN ('QUEUED', 'SENT', 'TIMEOUT') AND target_type = 'MODEL_TOY'
        AND reason IS DISTINCT FROM 'no_vibration'""",
    )
    assert sorted(row["tip_id"] for row in finals) == sorted(tip_ids)
    assert {row["state"] for row in finals} <= {"ACTIVATED", "SKIPPED", "FAILED", "EXPIRED", "DEAD"}
    assert "ACTIVATED" in {row["state"] for row in finals}


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
        [outcome] = await store.ledger.settle([settlement])
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
        check_sums(dsn)
        check_effects(dsn, {TIP})
        check_targets(dsn, {TIP})
