"""What is kept beside the entries: escrow and its holds, points, the order of events, and what was
recorded of the months that were moved away."""

from server.ledger.findings import Code, Findings
from server.store import queries
from server.store.ledger_snapshot import LedgerSnapshot, Row


async def check_holds(snapshot: LedgerSnapshot, findings: Findings, escrow: int) -> int:
    """`escrow`: what that account has. How many holds there are."""
    holds = Holds(findings)
    await snapshot.stream(queries.AUDIT_HOLDS, holds.take)
    if holds.held != escrow:
        findings.add(
            Code.ESCROW_BALANCE,
            f"it has {escrow} tokens, the holds that are HELD {holds.held}",
            account="escrow",
        )
    return holds.count


class Holds:
    """`take` rows of queries.AUDIT_HOLDS."""

    def __init__(self, findings: Findings) -> None:
        self.count = 0
        self.held = 0
        """Tokens of all that are HELD."""
        self._findings = findings

    def take(self, rows: list[Row]) -> None:
        for hold_id, state, amount, was_held, was_settled, was_released in rows:
            self.count += 1
            if was_held != b"t":
                self._findings.add(Code.HOLD_STATE, "no transfer made this hold", hold=hold_id)
            ended = (was_settled == b"t", was_released == b"t")
            if state == b"HELD":
                self.held += int(amount)
                fits = ended == (False, False)
            else:
                fits = ended == ((False, True) if state == b"REFUNDED" else (True, False))
            if not fits:
                self._findings.add(
                    Code.HOLD_STATE,
                    f"it is {state.decode()}, and {_ends(*ended)}",
                    hold=hold_id,
                )


async def check_points(snapshot: LedgerSnapshot, findings: Findings) -> None:
    """What was earned is there, points belong to transfers, and balances of points are the sums of
    what was credited."""

    def orphans(rows: list[Row]) -> None:
        for source_ref, kind in rows:
            text = "such a transfer earns none" if kind else "there is no such transfer"
            findings.add(Code.POINTS_WITHOUT_TRANSFER, text, source=source_ref)

    def balances(rows: list[Row]) -> None:
        for user_id, balance, credited in rows:
            findings.add(
                Code.POINTS_BALANCE,
                f"the balance is {(balance or b'none').decode()},"
                f" the sum of its entries {(credited or b'none').decode()}",
                user=user_id,
            )

    def refunded(rows: list[Row]) -> None:
        for source_ref, user_id, earner_id, points in rows:
            findings.add(
                Code.POINTS_AMOUNT,
                f"a refund took {-int(points or 0)} points of {(user_id or b'').decode()},"
                f" they were earned by {(earner_id or b'nobody').decode()}",
                source=source_ref,
            )

    def missing(rows: list[Row]) -> None:
        for (tip_id,) in rows:
            findings.add(
                Code.POINTS_MISSING, "loyalty has done its event, and credited nothing", tip=tip_id
            )

    await snapshot.stream(queries.AUDIT_POINTS_MISSING, missing)
    await snapshot.stream(queries.AUDIT_POINTS_TRANSFERS, orphans)
    await snapshot.stream(queries.AUDIT_POINTS_BALANCES, balances)
    await snapshot.stream(queries.AUDIT_POINTS_REFUNDS, refunded)


async def check_event_order(snapshot: LedgerSnapshot, findings: Findings) -> None:
    """One event per tip, and one number per event, out of the sequence; and no consumer that could
    not take one."""

    def twice(rows: list[Row]) -> None:
        for tip_id, seqs in rows:
            findings.add(Code.EVENT_TWICE, "it has several events", tip=tip_id, events=seqs)

    def numbers(rows: list[Row]) -> None:
        for seq, tip_ids in rows:
            findings.add(
                Code.EVENT_NUMBER,
                "several events have this number, or it was never given out",
                event=seq,
                tips=tip_ids,
            )

    def skipped(rows: list[Row]) -> None:
        for consumer, tip_id, reason in rows:
            findings.add(
                Code.EVENT_SKIPPED,
                f"the consumer did not get it: {reason.decode()}",
                consumer=consumer,
                tip=tip_id,
            )

    await snapshot.stream(queries.AUDIT_SKIPPED_EVENTS, skipped)
    await snapshot.stream(queries.AUDIT_EVENTS_TWICE, twice)
    await snapshot.stream(queries.AUDIT_EVENT_NUMBERS, numbers)


async def check_archive(snapshot: LedgerSnapshot, findings: Findings) -> int:
    """Until when months were moved away, in microseconds since 1970; 0: none was."""
    archived_us: int = await snapshot.value(queries.AUDIT_ARCHIVED_US)
    if await snapshot.value(queries.AUDIT_ARCHIVE_IN_FUTURE):
        findings.add(
            Code.ARCHIVE_DATE,
            "months that are not over are said to be moved away",
            table="archived_accounts",
        )
    return archived_us


def _ends(was_settled: bool, was_released: bool) -> str:
    if was_settled and was_released:
        return "was settled and released"
    if was_settled:
        return "was settled"
    return "was released" if was_released else "was neither settled nor released"
