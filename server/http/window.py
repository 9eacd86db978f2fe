"""A window of time in a query string."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode, Refused

WINDOW_DEFAULT: Final = timedelta(days=1)
WINDOW_MAX: Final = timedelta(days=31)

_UTC: Final = r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$(?!\n)"
_Time = Annotated[str, Meta(pattern=_UTC)]


class WindowQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """UTC, `2026-01-31T17:00:00Z`; `to` itself is outside. Without them: the last 24 h."""

    from_: _Time | None = msgspec.field(default=None, name="from")
    to: _Time | None = None


def window(wanted: WindowQuery) -> tuple[datetime, datetime]:
    """Its two ends, at most 31 days apart. Raises Refused with INVALID_FIELD."""
    to_utc = _time(wanted.to, "to") or datetime.now(UTC)
    from_utc = _time(wanted.from_, "from") or to_utc - WINDOW_DEFAULT
    if not timedelta() < to_utc - from_utc <= WINDOW_MAX:
        raise Refused(ErrorCode.INVALID_FIELD, "to", "After `from`, by at most 31 days.")
    return from_utc, to_utc


def _time(text: str | None, field: str) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError as error:  # the 31st of February
        raise Refused(ErrorCode.INVALID_FIELD, field) from error
