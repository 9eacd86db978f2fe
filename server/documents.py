"""Documents that are made from the code, so that they cannot disagree with it.

docs/protocol.md               the socket protocol: frames, shapes, errors, close codes
docs/tip_activated.schema.json JSON Schema of the canonical event
server/web/sdk/codes.js        the two tables of codes, for pages

`python -m server.documents` writes them; with `--check` it names those that are out of date and
ends with status 1. Read `DOCUMENTS` at the end first.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
from msgspec import NODEFAULT
from msgspec import inspect as types

from protocol import tip_activated
from protocol.codec import CODECS
from protocol.errors import CLOSE_RECONNECT_MAX, CLOSES, ERRORS, reconnects
from protocol.frames import (
    BroadcastStarted,
    ClientFrame,
    Error,
    HistoryEvent,
    ListMembers,
    MemberPage,
    ModelFrame,
    Ok,
    OwnFrame,
    RoomEvent,
    SetPreferences,
    StartBroadcast,
    Tip,
    TipReceipt,
    ToyTest,
    ToyTestStarted,
)
from protocol.gating import Preferences
from server.frame_types import frame_types
from server.struct_notes import StructClass, doc_of, field_notes, nested

ROOT: Final = Path(__file__).resolve().parents[1]

RESULTS: Final[dict[StructClass, StructClass]] = {
    Tip: TipReceipt,
    SetPreferences: Preferences,
    StartBroadcast: BroadcastStarted,
    ToyTest: ToyTestStarted,
    ListMembers: MemberPage,
}
"""Frame -> what the `ok` to it carries: its `result` is untyped, so no frame leads there."""

_PATTERN_WORDS: Final = {
    tip_activated.NO_NUL_PATTERN: "no NUL",
    tip_activated.ID_PATTERN: "letters, digits, `. _ : -`",
}


# ---- docs/protocol.md ------------------------------------------------------------------------


def protocol_page() -> str:
    """The whole page, Markdown."""
    client: tuple[StructClass, ...] = get_args(ClientFrame)
    answers: tuple[StructClass, ...] = (Ok, Error)
    room: tuple[StructClass, ...] = get_args(RoomEvent)
    own: tuple[StructClass, ...] = (*get_args(OwnFrame), ModelFrame)
    blocks = [
        _INTRODUCTION.format(
            subprotocols=_subprotocol_table(),
            breaches=_table(["what the client does", "what it gets"], _BREACHES),
        ).strip(),
        "## Client to server",
        _CLIENT_FRAMES.strip(),
        *map(_frame, client),
        "## Server to client: answers",
        *map(_frame, answers),
        "## Server to client: room events",
        _ROOM_EVENTS.strip(),
        *map(_frame, room),
        "## Server to client: own frames",
        "Only the member whom they concern gets them.",
        *map(_frame, own),
        "## Results of `ok`",
        *map(_shape, RESULTS.values()),
        "## Shapes",
        *map(_shape, nested((*client, *answers, *room, *own, *RESULTS.values()))),
        "## Errors",
        _ERRORS.strip(),
        _error_table(),
        "## Close codes",
        _CLOSE_CODES.format(reconnect_max=CLOSE_RECONNECT_MAX).strip(),
        _close_table(),
    ]
    return "\n\n".join(blocks) + "\n"


_INTRODUCTION: Final = """
# The socket protocol

Made by `python -m server.documents` from protocol/frames.py and protocol/errors.py; not edited
by hand.

## Subprotocols

The first of this list that the client offers is used, for both directions.

{subprotocols}

A message is one frame: an object (a map) with the field `type`. The same frame has the same
fields in both encodings.

## WebSocket

RFC 6455, version 13, without extensions: an offer of compression is not taken up. The client waits
for the answer to its upgrade before it sends anything. A message may come in fragments, with
control frames between them, and has at most 64 KiB unless the operator says otherwise.

{breaches}

Known deviations, each pinned by a test: 1014, a gateway's close code, is taken for one that must
not be sent; a surrogate in a text that is cut into fragments within it is found at its last byte,
not at the one before; HTTP/1.0 and lines that end with LF alone are accepted; `Upgrade` must be
`websocket` alone, and `Connection` one line.

## From connection to conversation

1. The client opens `/rooms/{{roomId}}` and offers at least one of the subprotocols. An unknown
   path, a browser's Origin that is not allowed, or no known subprotocol is refused in HTTP (404,
   403, 400): there is no socket then.
2. The client's first frame is `connect`. Not in time: close code 4003. A token that is refused:
   an `error`, then a close code.
3. The server answers `ok` with the ref of `connect`, and sends `snapshot`. Room events after it
   are later than it.
4. The page reports what the server forgets with a socket: `reportToys`, and from a model's page
   `reportSettings`. It does so after every snapshot.
5. A frame with a `ref` asks; exactly one `ok` or `error` with that ref answers it. A message that
   is no frame is answered by an `error` with its ref, if that can be read; a client that goes on
   sending such messages is closed with 4504.
6. Before the token ends the client sends `refreshToken`; without it: close code 4004.
7. After a close the client decides by the code's range whether it comes back, and when: a reason
   that ends with `; in 4.2 s` says it, to each client another time; after a connection that was
   lost without a close frame it is a random moment within `reconnectWithinS` of the last snapshot.
   Attempts that fail are repeated after a growing, jittered time.
8. It connects and gives `resume`: the epoch, and the offset up to which it has all. Either
   `snapshot.recovered` is true and `missed` has all that happened since, or the snapshot replaces
   all that it knew.
"""

_BREACHES: Final = (
    ("an upgrade that is none, or with more bytes behind it", "HTTP 400; for another version 426"),
    ("too many connections, of one address or in all", "HTTP 503"),
    ("reserved bits or opcodes; frames without a mask", "close code 1002"),
    ("control frames that are fragmented or longer than 125 bytes", "1002"),
    ("fragments out of turn; a length in more bytes than it needs", "1002"),
    ("a close code that must not be sent", "1002"),
    ("text, or the reason of a close, that is no UTF-8", "1007, at the first wrong byte"),
    ("a message that is too long", "1009"),
    ("a close", "its own code at once; what was asked just before is done, and may go unanswered"),
    ("a ping", "the pong; who takes none is no longer read"),
)

_CLIENT_FRAMES: Final = """
Unknown fields of a frame are refused; what a vendor's toy or setting has beyond the fields below
is not read. A field that has a default may be left out.
"""

_ROOM_EVENTS: Final = """
Everyone in the room gets the same bytes. `offset` counts what happens in a room within one
`epoch`: a history event (`tipNotice`) has the next one, so that a jump is a loss; a state event
carries the last one, and only the newest of its kind matters.
"""

_ERRORS: Final = """
`retry`: the same request may succeed later, unchanged. HTTP answers carry the same codes, as
problem+json with the status given here.
"""

_CLOSE_CODES: Final = """
Up to {reconnect_max} the client comes back, above it does not. Codes outside 4000-4999 are the
network's or WebSocket's own: the client comes back.
"""


def _frame(kind: StructClass) -> str:
    return _section(kind, f"`{kind.__struct_config__.tag}`")


def _shape(kind: StructClass) -> str:
    return _section(kind, kind.__name__)


def _section(kind: StructClass, title: str) -> str:
    parts = [f"### {title}"]
    if doc := doc_of(kind):
        parts.append(doc)
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    notes = field_notes(kind)
    rows = [
        [f"`{field.encode_name}`", _type_words(field.type), _default_words(field)]
        + ([notes.get(field.name, "")] if notes else [])
        for field in info.fields
    ]
    parts.append(_table(["field", "type", "default"] + (["meaning"] if notes else []), rows))
    return "\n\n".join(parts)


def _default_words(field: types.Field) -> str:
    if field.required:
        return "required"
    if field.default is NODEFAULT:
        return "empty"
    return f"`{msgspec.json.encode(field.default).decode()}`"


def _type_words(kind: types.Type) -> str:
    """One type in words, for a table's cell."""
    match kind:
        case types.Metadata(inner, extra_json_schema=extra):
            return f"{_type_words(inner)}, {(extra or {})['description']}"
        case types.UnionType(members):
            return " or ".join(_type_words(member) for member in members)
        case types.StructType(cls):
            return f"[{cls.__name__}](#{cls.__name__.lower()})"
        case types.EnumType(cls):
            return _choice([member.value for member in cls])
        case types.LiteralType(values):
            return _choice(list(values))
        case types.IntType(ge=low, le=high):
            return f"integer{_range(low, high)}"
        case types.FloatType(ge=low, le=high):
            return f"number{_range(low, high)}"
        case types.StrType(min_length=low, max_length=high, pattern=pattern):
            words = []
            if high is not None:
                words.append(f"{low}..{high} characters" if low else f"at most {high} characters")
            if pattern is not None:
                words.append(_PATTERN_WORDS.get(pattern, f"`{pattern}`"))
            return f"string ({', '.join(words)})" if words else "string"
        case types.VarTupleType(item_type=item, max_length=high):
            return f"list of {_type_words(item)}{_at_most(high)}"
        case types.DictType(value_type=value, max_length=high):
            return f"object of {_type_words(value)}{_at_most(high)}"
        case types.BoolType():
            return "boolean"
        case types.NoneType():
            return "null"
        case types.AnyType():
            return "any"
        case _:
            raise TypeError(f"no words for {kind!r}: add them")


def _choice(values: list[Any]) -> str:
    """Error codes have their own table: a cell is not the place for all of them."""
    if set(values) == set(ERRORS):
        return "one of the [errors](#errors)"
    return ", ".join(f"`{value}`" for value in values)


def _range(low: int | float | None, high: int | float | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" >= {low}"
    return f" {low}..{high}"


def _at_most(count: int | None) -> str:
    return "" if count is None else f" (at most {count})"


def _subprotocol_table() -> str:
    return _table(
        ("subprotocol", "WebSocket messages"),
        [(f"`{name}`", "binary" if codec.binary else "text") for name, codec in CODECS.items()],
    )


def _error_table() -> str:
    return _table(
        ("code", "HTTP", "cause", "retry", "text"),
        [
            (f"`{code}`", str(rule.http_status), rule.cause, _yes(rule.retry), rule.text)
            for code, rule in ERRORS.items()
        ],
    )


def _close_table() -> str:
    return _table(
        ("code", "name", "cause", "comes back", "reason"),
        [
            (str(code.value), f"`{code.name}`", rule.cause, _yes(reconnects(code)), rule.text)
            for code, rule in CLOSES.items()
        ],
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


# ---- docs/tip_activated.schema.json ----------------------------------------------------------


def event_schema() -> str:
    """JSON Schema of TipActivated."""
    return json.dumps(tip_activated.json_schema(), indent=2) + "\n"


# ---- server/web/sdk ----------------------------------------------------------------------------


def page_codes() -> str:
    """An ES module with both tables and `reconnects`."""
    errors = {
        code.value: {"retry": rule.retry, "cause": rule.cause, "text": rule.text}
        for code, rule in ERRORS.items()
    }
    closes = {
        code.name: {"code": code.value, "cause": rule.cause, "text": rule.text}
        for code, rule in CLOSES.items()
    }
    history: tuple[StructClass, ...] = get_args(HistoryEvent) or (HistoryEvent,)
    return _CODES.format(
        errors=_rows(errors),
        closes=_rows(closes),
        history=json.dumps([each.__struct_config__.tag for each in history]),
        reconnect_max=CLOSE_RECONNECT_MAX,
    )


_CODES: Final = """\
// Made by `python -m server.documents` from protocol/errors.py and protocol/frames.py; not edited
// by hand.

/** Error code -> whether the same request may succeed later, who caused it, words to show. */
export const ERRORS = {{
{errors}
}};

/** Name -> close code, who caused it, words to show. */
export const CLOSES = {{
{closes}
}};

/** Events that have an offset of their own, so that a jump is a loss. */
export const HISTORY_EVENTS = {history};

/**
 * Whether a client that was closed with `code` comes back. Codes outside 4000-4999 are the
 * network's or the protocol's own, not a decision of the server: it does.
 *
 * @param {{number}} code
 * @returns {{boolean}}
 */
export function reconnects(code) {{
  return !(code > {reconnect_max} && code <= 4999);
}}
"""


def _rows(table: dict[str, dict[str, Any]]) -> str:
    return "\n".join(
        f"  {name}: {{ "
        + ", ".join(f"{key}: {json.dumps(value)}" for key, value in row.items())
        + " },"
        for name, row in table.items()
    )


# ---- the command -----------------------------------------------------------------------------

DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "docs/protocol.md": protocol_page,
    "docs/tip_activated.schema.json": event_schema,
    "server/web/sdk/codes.js": page_codes,
    "server/web/sdk/frames.d.ts": lambda: frame_types(RESULTS),
}
"""Path from the repository's root -> what makes the file's text."""


def outdated(root: Path = ROOT) -> list[str]:
    """The documents below `root` that are missing or differ from what would be made now."""
    return [
        name
        for name, make in DOCUMENTS.items()
        if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != make()
    ]


def write(root: Path = ROOT) -> list[str]:
    """Make what is out of date; returns the names of what was written."""
    changed = outdated(root)
    for name in changed:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(DOCUMENTS[name](), encoding="utf-8")
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where `--check` finds a document that is out of date."""
    parser = argparse.ArgumentParser(prog="python -m server.documents", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, name what differs")
    if parser.parse_args(arguments).check:
        names = outdated()
        for name in names:
            print(f"{name} is out of date: run python -m server.documents", file=sys.stderr)
        return 1 if names else 0
    for name in write():
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
