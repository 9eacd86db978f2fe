"""How a consumer gets through the outbox: its cursor, what is done above it, and a late comer."""

import pytest

from actors.ports import UserRecord
from protocol.tip_activated import MembershipTier
from server.store import queries
from server.store.database import Connection
from server.store.store import Store
from tests.store.rows import pending_events
from tests.store.settlements import tip
from tests.store.transfers import post_first


@pytest.fixture
async def five(store: Store) -> Store:
    """The tips `a` to `e`, which nobody has done."""
    await store.members.save_user(UserRecord("alex", "Alex", MembershipTier.FREE))
    await store.ledger.deposit("d", "alex", 1000)
    await post_first(store, *(tip(name) for name in "abcde"))
    return store


async def run(store: Store, query: str, *args: object) -> None:
    async def execute(connection: Connection) -> None:
        await connection.execute(query, *args)

    await store._database.run(execute)


async def done(store: Store, *tip_ids: str, consumer: str = "room") -> None:
    await run(store, queries.FINISH_EVENTS, consumer, list(tip_ids))


async def pending(store: Store, consumer: str = "room", limit: int = 10) -> str:
    return "".join(each.tip_id for each in await pending_events(store, consumer, limit))


async def passed(store: Store, consumer: str = "room") -> int:
    """How many events the cursor has passed."""

    async def count(connection: Connection) -> int:
        return await connection.fetchval(
            "SELECT count(*) FROM outbox o JOIN event_consumers c ON o.seq <= c.cursor "
            "WHERE c.name = $1",
            consumer,
        )

    return await store._database.run(count)


async def test_the_cursor_stops_at_the_first_that_is_undone(five: Store) -> None:
    assert (await pending(five), await passed(five)) == ("abcde", 0)
    await done(five, "b", "d")
    assert (await pending(five), await passed(five)) == ("ace", 0)
    await done(five, "a")
    assert (await pending(five), await passed(five)) == ("ce", 2)
    assert (await pending(five, limit=1), await passed(five)) == ("c", 2)
    await done(five, "c", "e")
    assert (await pending(five), await passed(five)) == ("", 5)
    await post_first(five, tip("f"))
    assert (await pending(five), await passed(five)) == ("f", 5)


async def test_consumers_do_not_wait_for_each_other(five: Store) -> None:
    await done(five, *"abcde")
    await done(five, "b", consumer="loyalty")
    assert (await pending(five), await passed(five)) == ("", 5)
    assert (await pending(five, "loyalty"), await passed(five, "loyalty")) == ("acde", 0)


async def test_a_cursor_set_back_repeats_and_loses_nothing(five: Store) -> None:
    """What is done is known for each event: the cursor only shortens the search."""
    await done(five, *"abce")
    assert (await pending(five), await passed(five)) == ("d", 3)
    await run(five, "UPDATE event_consumers SET cursor = 0")
    assert (await pending(five), await passed(five)) == ("d", 3)


async def test_a_consumer_that_comes_later_gets_all_events(five: Store) -> None:
    await done(five, *"abc")
    await pending(five)
    await run(five, "INSERT INTO event_consumers (name) VALUES ('late')")
    assert await pending(five, "late") == "abcde"
    await done(five, "a", consumer="late")
    assert (await pending(five, "late"), await passed(five, "late")) == ("bcde", 1)
    assert await pending(five, "nobody") == ""


async def test_an_event_is_done_once_and_only_if_there_is_one(five: Store) -> None:
    await done(five, "a", "a", "z")
    await done(five, "a")
    assert await pending(five) == "bcde"
    await post_first(five, tip("z"))
    assert await pending(five) == "bcdez"


async def test_refused_tips_leave_the_cursor_alone(five: Store) -> None:
    """A batch that fails in the database uses up numbers: none is waited for."""
    await run(five, "SELECT nextval('outbox_seq') FROM generate_series(1, 3)")
    await post_first(five, tip("f"))
    await done(five, *"abcde")
    assert (await pending(five), await passed(five)) == ("f", 5)
    await done(five, "f")
    assert (await pending(five), await passed(five)) == ("", 6)
