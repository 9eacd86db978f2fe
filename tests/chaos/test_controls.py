"""Negative controls: systems that are broken from outside, and the same checks, which turn red.

A bank is the real store over a real PostgreSQL of its own, whose functions a control alters. What
it answers goes into a history; then it may be struck, and is looked at as a campaign does. The
controls of emission before commit and of a relay by "after the last" are in tests/simulation.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
import pytest
import trio

from actors.ports import UserRecord
from actors.transfers import Deposit, Outcome, Settled, Transfer
from protocol.errors import Refusal
from protocol.tip_activated import MembershipTier
from server.store.bridge import open_bridge
from server.store.embedded import SETTINGS, EmbeddedServer
from server.store.migrate import migrate
from server.store.store import Store, open_store
from tests.chaos.faults import stop_database
from tests.chaos.history import DOUBLED, LOST, Attempt, History, Told, problems
from tests.chaos.invariants import Findings, look
from tests.e2e.site import query
from tests.fixtures_postgres import create_database
from tests.ledger.whole_ledger import fill
from tests.store.settlements import tip

TOKENS: Final = 1_000
TIPS: Final = tuple((f"t-{number}", number) for number in range(1, 21))

NOT_YET_ON_DISK: Final = {
    **SETTINGS,
    # What is committed without waiting for the disk stays in memory for long enough to be lost.
    "wal_writer_delay": "10000ms",
    "wal_writer_flush_after": "1GB",
    "autovacuum": "off",
}

Work = Callable[[Store], Awaitable[None]]

pytestmark = pytest.mark.slow  # a PostgreSQL of its own, stopped and started again


# ---- a bank that can be broken -----------------------------------------------------------------


class Bank:
    """One database of a PostgreSQL that dies and comes back; one client, alex, with tokens."""

    def __init__(self, data_dir: Path, server: EmbeddedServer, dsn: str) -> None:
        self._data_dir = data_dir
        self._server = server
        self.dsn = dsn
        self.history = History("alex", 0)
        work(self.dsn, open_wallet)
        self._ask((Deposit("first", "alex", TOKENS), TOKENS))

    def alter(self, old: str, new: str) -> None:
        """One place of post_transfers."""
        sql = "SELECT pg_get_functiondef('post_transfers'::regproc) AS text"
        text = query(self.dsn, sql)[0]["text"]
        assert text.count(old) == 1
        execute(self.dsn, text.replace(old, new))

    def tip(self, tips: Sequence[tuple[str, int]] = TIPS) -> None:
        """One after the other; those of before are repeats."""
        self._ask(*((tip(tip_id, "alex", amount), -amount) for tip_id, amount in tips))

    def strike(self) -> None:
        """PostgreSQL stops at once, and is started again."""
        stop_database(self._data_dir)
        trio.run(self._server.stop)
        trio.run(self._server.start)

    def look(self) -> Findings:
        return look(self.dsn, consumers=[])

    def problems(self) -> list[str]:
        """Of the history."""
        return problems([self.history], self.look().booked)

    def _ask(self, *transfers: tuple[Transfer, int]) -> None:
        async def post(store: Store) -> None:
            for each, tokens in transfers:
                if each.source_ref not in self.history.attempts:
                    self.history.attempt(Attempt(each.source_ref, "alex", tokens))
                [outcome] = await store.ledger.post([each])
                self._told(each.source_ref, outcome)

        work(self.dsn, post)

    def _told(self, source_ref: str, outcome: Outcome) -> None:
        if isinstance(outcome, Refusal):
            self.history.refuse(source_ref, outcome.code)
            return
        said = outcome.receipt if isinstance(outcome, Settled) else outcome.transfer_id
        answer = msgspec.json.encode((said, outcome.balance))
        self.history.acknowledged(source_ref, Told(answer, outcome.balance))


async def open_wallet(store: Store) -> None:
    await store.members.save_user(UserRecord("alex", "alex", MembershipTier.FREE))


def work(dsn: str, work: Work) -> None:
    async def main() -> None:
        async with open_bridge() as bridge, open_store(dsn, bridge) as store:
            await work(store)

    trio.run(main)


def execute(dsn: str, sql: str) -> None:
    """Several statements, separated by semicolons."""

    async def main() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    asyncio.run(main())


@pytest.fixture(scope="module")
def new_bank() -> Iterator[Callable[[], Bank]]:
    """Each bank is a fresh database of one PostgreSQL."""
    data_dir = Path(tempfile.mkdtemp(prefix="tiproom-controls-"))
    server = EmbeddedServer(data_dir, NOT_YET_ON_DISK)
    numbers = count(1)
    try:
        dsn = trio.run(server.start)

        async def apply() -> None:
            async with open_bridge() as bridge:
                await migrate(bridge, create_database(dsn, "tiproom_template"))

        def new() -> Bank:
            name = f"bank_{next(numbers)}"
            return Bank(data_dir, server, create_database(dsn, name, "tiproom_template"))

        trio.run(apply)
        yield new
        trio.run(server.stop)
    finally:
        shutil.rmtree(data_dir)


@pytest.fixture
def bank(new_bank: Callable[[], Bank]) -> Bank:
    return new_bank()


# ---- controls of the history -------------------------------------------------------------------

BEGINS: Final = "\nBEGIN\n"
LOOKS_UP: Final = "WHERE t.source_ref = r.source_ref LIMIT 1"
REPEATS: Final = "balance := request.balance;"


def test_a_sound_system_passes(bank: Bank) -> None:
    """Struck right after an acknowledgement; then everybody asks for everything once more."""
    bank.tip()
    bank.strike()
    bank.tip()
    bank.tip([("t-21", 21)])
    assert bank.look().problems == []
    assert bank.problems() == []


def test_a_commit_that_waits_for_no_disk_is_found_out(bank: Bank) -> None:
    """And by nothing but what the client was told: each sum and each chain is right."""
    bank.alter(BEGINS, f"{BEGINS}PERFORM set_config('synchronous_commit', 'off', true);\n")
    bank.tip()
    bank.strike()
    assert bank.look().problems == []
    assert [problem for problem in bank.problems() if LOST in problem]
    # The client alone sees it, too, from the next answer.
    bank.tip([("t-21", 21)])
    assert any("t-21 was told" in problem for problem in bank.problems())


def test_a_ledger_without_its_key_is_found_out(bank: Bank) -> None:
    execute(bank.dsn, "ALTER TABLE transfers DROP CONSTRAINT transfers_once CASCADE")
    bank.alter(LOOKS_UP, "WHERE false LIMIT 1")
    bank.tip()
    bank.tip(TIPS[:5])
    found = bank.problems()
    for tip_id, _ in TIPS[:5]:
        assert f"tip:{tip_id} {DOUBLED}" in found
        assert f"tip:{tip_id} was answered in two ways" in found
    assert any("EVENT_TWICE tip=t-1 " in problem for problem in bank.look().problems)


def test_the_key_alone_keeps_a_tip_from_settling_twice(bank: Bank) -> None:
    """Without the look-up a repeat gets no answer of its own, but never a second settlement."""
    bank.alter(LOOKS_UP, "WHERE false LIMIT 1")
    bank.tip()
    bank.tip(TIPS[:5])
    assert bank.look().problems == []
    assert bank.problems() == [f"tip:{tip_id} was answered in two ways" for tip_id, _ in TIPS[:5]]


def test_a_repeat_with_another_balance_is_found_out(bank: Bank) -> None:
    bank.alter(REPEATS, "balance := request.balance - 1;")
    bank.tip()
    assert bank.problems() == []
    bank.tip(TIPS[:5])
    assert bank.problems() == [f"tip:{tip_id} was answered in two ways" for tip_id, _ in TIPS[:5]]


# ---- controls of the invariants ----------------------------------------------------------------

UNGUARDED: Final = "SET session_replication_role = replica;"
"""No trigger and no foreign key is asked."""
ENDED: Final = """
INSERT INTO activation_audit (record_id, tip_id, event_id, ledger_id, room_id, target_type,
    target_id, attempt, state, at_utc)
SELECT gen_random_uuid(), tip_id, (event ->> 'eventId')::uuid, 'l', room_id, 'MODEL_TOY', 'model-1',
    attempt, 'FAILED', now()
FROM outbox CROSS JOIN generate_series(1, {times}) attempt WHERE tip_id = 't-1'"""


@pytest.mark.parametrize(
    ("sql", "symptom"),
    [
        ("INSERT INTO event_done VALUES ('room', 'none')", "done and not settled: room none"),
        ("DELETE FROM outbox WHERE tip_id = 't-1'", "tip:t-1"),
        ("UPDATE accounts SET balance = balance + 1 WHERE account_id = 'revenue'", "revenue"),
        (
            "UPDATE points_entries SET points = points + 1 WHERE source_ref = 'tip:t-1'",
            "points of another number: tip:t-1",
        ),
        (
            "UPDATE points_accounts SET balance = balance + 1 WHERE user_id = 'sam'",
            "points not totalled: sam",
        ),
        (ENDED.format(times=2), "a target that ended twice: t-1"),
        (
            ENDED.format(times=1) + "; UPDATE activation_audit SET event_id = gen_random_uuid()",
            "a target of another event: t-1",
        ),
        (
            "DELETE FROM event_done WHERE consumer = 'loyalty' AND tip_id = 't-1'",
            "not done by: loyalty t-1",
        ),
        (
            "DELETE FROM points_entries WHERE source_ref = 'tip:t-1'",
            "no points earned, or none taken back: tip:t-1",
        ),
        (
            ENDED.format(times=1) + "; UPDATE activation_audit SET state = 'SENT'",
            "a target that never ended: t-1",
        ),
    ],
)
def test_a_broken_invariant_is_named(database_dsn: str, sql: str, symptom: str) -> None:
    work(database_dsn, fill)
    execute(database_dsn, UNGUARDED + sql)
    found = look(database_dsn, at_rest=True).problems
    assert any(symptom in problem for problem in found), found


def test_nothing_else_is_named(database_dsn: str) -> None:
    """A ledger with transfers of every kind, whose room marked its events done and played none, and
    whose tips nobody was thanked for."""
    work(database_dsn, fill)
    assert look(database_dsn).problems == []
    tip_ids = [row["tip_id"] for row in query(database_dsn, "SELECT tip_id FROM outbox")]
    found = look(database_dsn, at_rest=True).problems
    missing = ("no target at all", "no thanks at all")
    assert sorted(found) == sorted(f"{each}: {tip_id}" for tip_id in tip_ids for each in missing)
