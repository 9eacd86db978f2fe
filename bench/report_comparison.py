"""The comparison with other servers in words, with its goals."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from bench.contenders import CONTENDERS, LIMIT, SOCKETIO
from bench.distribution import Spread
from bench.report_lines import counted, fact, latency, row, title
from bench.results_comparison import (
    BusyRoomResult,
    FanOutResult,
    GoalResult,
    LatencyResult,
    Load,
    MemoryResult,
    StormResult,
)

_NAMES = {each.key: each.name for each in CONTENDERS}


def fan_out_lines(results: Sequence[FanOutResult]) -> Iterator[str]:
    order = [each.key for each in CONTENDERS]
    ordered = sorted(results, key=lambda each: (each.members, each.due, order.index(each.server)))
    for (members, due), group in groupby(ordered, key=lambda each: (each.members, each.due)):
        rows = list(group)
        under_way = "one message under way" if due == 1 else f"{due} messages under way"
        yield from title(f"Fan-out: {members:,} members, {under_way}; {rows[0].rounds} rounds")
        yield (
            f"  {'':30}{'frames/s':>10}{'(rounds)':>20}{'x Socket.IO':>12}{'x C':>7}{'CPU s/M':>9}"
            f"{'B':>5}{'srv':>6}{'cli':>5}{'pg':>5}{'oth':>5}"
        )
        for each in rows:
            yield (
                f"  {_NAMES[each.server]:30}{_whole(each.frames_per_s):>10}"
                f"{_range(each.frames_per_s):>20}{_by(each, SOCKETIO):>12}{_by(each, LIMIT):>7}"
                f"{_median(each.cpu_s_per_million_frames, '.2f'):>9}{each.frame_bytes:>5.0f}"
                f"{_load(each.load)}"
            )
        yield from _failures((each.server, each.failures) for each in rows)


def latency_lines(results: Sequence[LatencyResult]) -> Iterator[str]:
    ordered = sorted(results, key=lambda each: each.per_s)
    for per_s, group in groupby(ordered, key=lambda each: each.per_s):
        rows = list(group)
        yield from title(
            f"Latency: {rows[0].members:,} members, {per_s:g} messages/s, each to 51 of them; "
            f"{rows[0].rounds} rounds"
        )
        yield (
            f"  {'us, from the send':30}{'p50':>10}{'(rounds)':>20}{'p99':>10}{'(rounds)':>20}"
            f"{'received':>15}{'srv':>6}{'cli':>5}{'pg':>5}{'oth':>5}"
        )
        for each in rows:
            yield (
                f"  {_NAMES[each.server]:30}{_whole(each.p50_us):>10}{_range(each.p50_us):>20}"
                f"{_whole(each.p99_us):>10}{_range(each.p99_us):>20}"
                f"{f'{each.received:,}/{each.sent:,}':>15}{_load(each.load)}"
            )
        yield from _failures((each.server, each.failures) for each in rows)


def storm_lines(results: Sequence[StormResult]) -> Iterator[str]:
    if not results:
        return
    first = results[0]
    yield from title(
        f"Connect storm: {first.storming:,} at the same moment, beside {first.established:,} "
        f"members; {first.rounds} rounds"
    )
    yield (
        f"  {'':30}{'per s':>8}{'(rounds)':>18}{'CPU ms each':>12}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'lost':>6}{'srv':>6}{'cli':>5}{'pg':>5}{'oth':>5}"
    )
    for each in results:
        yield (
            f"  {_NAMES[each.server]:30}{_whole(each.handshakes_per_s):>8}"
            f"{_range(each.handshakes_per_s):>18}{_median(each.cpu_ms_per_handshake, '.2f'):>12}"
            f"{_whole(each.p50_ms):>9}{_whole(each.p99_ms):>9}{each.established_lost:>6}"
            f"{_load(each.load)}"
        )
    yield from _failures((each.server, each.failures) for each in results)


def memory_lines(results: Sequence[MemoryResult]) -> Iterator[str]:
    if not results:
        return
    first = results[0]
    yield from title(f"Memory: kB for one of {first.members:,} idle members; {first.rounds} rounds")
    yield f"  {'':30}{'RSS':>8}{'(rounds)':>16}{'PSS':>8}{'kernel, its end':>18}"
    for each in results:
        yield (
            f"  {_NAMES[each.server]:30}{_median(each.rss_kb, '.1f'):>8}"
            f"{_range(each.rss_kb, '.1f'):>16}{_median(each.pss_kb, '.1f'):>8}"
            f"{_median(each.kernel_kb, '.1f'):>18}"
        )
    yield from _failures((each.server, each.failures) for each in results)


def busy_lines(results: Sequence[BusyRoomResult]) -> Iterator[str]:
    for each in results:
        yield from title(
            f"A busy room: {each.viewers:,} viewers, {each.reconnect_share:.0%} of them reconnect "
            f"in {each.seconds:g} s,"
        )
        yield (
            f"  {each.lines_per_s:g} lines/s and {each.tips_per_s:g} tips/s shown to all and "
            f"settled on disk, {each.vibrations_per_s:g} of them move the toy"
        )
        yield row("ms", ("samples", "p50", "p95", "p99", "max"))
        yield latency("tip -> command (the model's socket)", each.tip_to_command)
        yield latency("tip -> settled (the tipper's ok)", each.tip_to_settled)
        yield latency("settled -> command (of one tip)", each.settled_to_command)
        yield latency("reconnecting, TCP to snapshot", each.reconnect)
        yield latency("the load client's own lag", each.read_lag)
        yield fact("tips", f"{each.tips_settled:,} settled of {each.tips_sent:,} sent")
        yield fact(
            "frames delivered",
            f"{each.frames_per_s:,.0f}/s; {each.delivered_share:.2%} of notices times viewers",
        )
        yield fact(
            "CPU",
            f"server {each.load.server_percent:.0f} %, load client "
            f"{each.load.client_percent:.0f} %, PostgreSQL {each.load.database_percent:.0f} %, "
            f"others {each.load.others_percent:.0f} % of a core",
        )
        yield fact("server's memory", f"{each.server_rss_mb:,.0f} MiB")
        yield fact("failures", counted(each.failures))


def goal_lines(goals: Sequence[GoalResult]) -> Iterator[str]:
    if not goals:
        return
    yield from title("Goals")
    for each in goals:
        mark = "met" if each.met else "MISSED"
        yield f"  {each.what:62}{each.goal:>12}{each.measured:>12}{mark:>8}"


def client_note(results: Sequence[FanOutResult]) -> Iterator[str]:
    """Whether the load client could have taken more than anybody but the limit gave it."""
    limits = {LIMIT, f"{LIMIT}-coalesced"}
    for limit in (each for each in results if each.server == f"{LIMIT}-coalesced"):
        others = [
            each.frames_per_s.median
            for each in results
            if each.server not in limits and each.frames_per_s is not None
            and (each.members, each.due) == (limit.members, limit.due)
        ]  # fmt: skip
        if limit.frames_per_s is not None and others:
            yield (
                f"  The load client took {limit.frames_per_s.median:,.0f} frames/s from the server "
                f"in C ({limit.members:,} members, {limit.due} under way); the fastest other gave "
                f"it {max(others):,.0f}."
            )


def _failures(found: Iterator[tuple[str, dict[str, int]]]) -> Iterator[str]:
    for server, failures in found:
        if failures:
            yield fact("failures", f"{_NAMES[server]}: {counted(failures)}")


def _load(load: Load | None) -> str:
    if load is None:
        return f"{'-':>6}{'-':>5}{'-':>5}{'-':>5}"
    return (
        f"{load.server_percent:>5.0f}%{load.client_percent:>4.0f}%"
        f"{load.database_percent:>4.0f}%{load.others_percent:>4.0f}%"
    )


def _by(result: FanOutResult, base: str) -> str:
    return _median(result.frames_ratios.get(base), ".2f")


def _whole(spread: Spread | None) -> str:
    return _median(spread, ",.0f")


def _median(spread: Spread | None, style: str) -> str:
    """ "-": not measured."""
    return "-" if spread is None else format(spread.median, style)


def _range(spread: Spread | None, style: str = ",.0f") -> str:
    return "-" if spread is None else f"{spread.low:{style}}-{spread.high:{style}}"
