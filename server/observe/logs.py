"""Structured logs: one JSON object a line on standard error. Ids and counts only: no usernames,
e-mail or IP addresses, device ids or amounts (spec 1, audit)."""

import logging
import sys
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, ExcInfo

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(level: str) -> None:
    """Once, at start. Libraries' own logs come out in the same form, from warnings upward."""
    shared: list[structlog.typing.Processor] = [
        _headline_of_failure,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_without_text),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        # One write a line: the database's thread logs, too, and print() writes the newline apart.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=structlog.processors.JSONRenderer(),
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


_transform = ExceptionDictTransformer(show_locals=False)
"""Without the locals: they hold tokens, names and addresses."""


def _without_text(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """Types and places. The texts quote values: a driver's, the row that violated a constraint."""
    return _stripped(_transform(exc_info))


def _stripped(failures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = ("exc_type", "is_cause", "is_group", "frames")
    return [
        {name: failure[name] for name in kept if name in failure}
        | {"exceptions": [_stripped(each) for each in failure.get("exceptions", [])]}
        for failure in failures
    ]


def _headline_of_failure(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What follows the first line of a library's report repeats the exception."""
    if event.get("exc_info"):
        event["event"] = str(event["event"]).partition("\n")[0]
    return event
