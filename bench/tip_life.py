"""One tip's life as the load client and the audit saw it, and what is missing from it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bench.distribution import Distribution, distribution
from bench.load import NS_PER_S, LoadClient, Seen
from bench.server import ServerProcess


@dataclass(slots=True)
class SentTip:
    """Moments by time.perf_counter_ns; `sent_at_utc` by the wall clock, which the server on the
    same machine shares. None: it has not come, or not yet."""

    tip_id: str
    vibrates: bool
    sent_ns: int
    sent_at_utc: datetime
    settled_ns: int | None = None
    command_ns: int | None = None
    done_ns: int | None = None


def between(tips: Sequence[SentTip], early: str, late: str) -> Distribution:
    """Over the tips that have both moments; `early` and `late` name fields of SentTip."""
    pairs = ((getattr(tip, early), getattr(tip, late)) for tip in tips)
    return distribution(end - begin for begin, end in pairs if None not in (begin, end))


def tip_to_activated(
    tips: Sequence[SentTip], server: ServerProcess, failures: Counter[str]
) -> Distribution:
    """From the client's send to the moment that the audit gives for ACTIVATED; both are the wall
    clock of this machine. Asks for each vibrating tip's trace."""
    durations_ns: list[int] = []
    for tip in tips:
        if not tip.vibrates or tip.settled_ns is None:
            continue
        at_utc = _activated_at(server.get(f"/admin/tips/{tip.tip_id}"))
        if at_utc is None:
            failures["not ACTIVATED in the audit"] += 1
        else:
            durations_ns.append(round((at_utc - tip.sent_at_utc).total_seconds() * NS_PER_S))
    return distribution(durations_ns)


def missing(
    tips: Sequence[SentTip], notices: Sequence[Seen], client: LoadClient, members: int
) -> dict[str, int]:
    """What should have come and did not, each kind by its name. Every member must have every event
    once: so neither the count of each event nor that of each member may be off."""
    settled = [tip for tip in tips if tip.settled_ns is not None]
    vibrating = [tip for tip in settled if tip.vibrates]
    present, events = client.members(), len(client.seen())
    counts = {
        "settled tip without its notice": max(0, len(settled) - len(notices)),
        "notice not at every member": sum(1 for seen in notices if seen.count != members),
        "member without every event": sum(1 for member in present if member.events != events),
        "member lost": members - len(present),
        "no command": sum(1 for tip in vibrating if tip.command_ns is None),
        "not done at the tipper": sum(1 for tip in vibrating if tip.done_ns is None),
    }
    return {kind: count for kind, count in counts.items() if count}


def _activated_at(trace: Any) -> datetime | None:
    """From `GET /admin/tips/{tipId}`: when the model's toy was known to react."""
    for target in trace["targets"]:
        if target["targetType"] == "MODEL_TOY" and target["state"] == "ACTIVATED":
            return datetime.fromisoformat(target["at"])
    return None
