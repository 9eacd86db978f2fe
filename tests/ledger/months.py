"""Old months to move away: what was just settled, made to have been settled then."""

import asyncpg

from server.store.bridge import Bridge

BACKDATE = """
CREATE FUNCTION pg_temp.backdate(months_ago int) RETURNS text LANGUAGE plpgsql
SET timezone = 'UTC' AS $$
DECLARE
    began timestamptz := date_trunc('month', now()) - months_ago * interval '1 month'
                         + interval '1 day';
    later interval := (SELECT min(created_at) FROM transfers) - began;
    entry record;
    account text;
    last_hash bytea;
BEGIN
    PERFORM add_months(began, months_ago);
    UPDATE transfers SET created_at = created_at - later;
    UPDATE outbox SET created_at = created_at - later;
    UPDATE entries SET created_at = created_at - later;
    FOR entry IN
        SELECT e.*, t.source_ref FROM entries e JOIN transfers t USING (transfer_id)
        ORDER BY e.account_id, e.seq
    LOOP
        IF account IS DISTINCT FROM entry.account_id THEN
            account := entry.account_id;
            last_hash := decode(repeat('00', 32), 'hex');
        END IF;
        last_hash := entry_hash(last_hash, account, entry.seq, entry.entry_id, entry.transfer_id,
            entry.source_ref, entry.amount, entry.balance_after, epoch_us(entry.created_at));
        UPDATE entries SET hash = last_hash WHERE entry_id = entry.entry_id;
        UPDATE accounts SET last_hash = entry_hash.last_hash
        FROM (SELECT last_hash) entry_hash WHERE account_id = account;
    END LOOP;
    RETURN to_char(began, 'YYYY-MM');
END $$
"""
"""All that is there moves to the second day of the month so many before this one; with chains that
hold, as they would have been."""


async def backdate(bridge: Bridge, dsn: str, months_ago: int) -> str:
    """The month, `YYYY-MM`."""

    async def unit() -> str:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(BACKDATE)
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                month = await connection.fetchval("SELECT pg_temp.backdate($1)", months_ago)
            assert isinstance(month, str)
            return month
        finally:
            await connection.close()

    return await bridge.run(unit)


async def execute(bridge: Bridge, dsn: str, *statements: str) -> list[asyncpg.Record]:
    """The rows of the last one."""

    async def unit() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(dsn)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            rows: list[asyncpg.Record] = await connection.fetch(statements[-1])
            return rows
        finally:
            await connection.close()

    return await bridge.run(unit)
