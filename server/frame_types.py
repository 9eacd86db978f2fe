"""TypeScript's view of the frames, `server/web/sdk/frames.d.ts`: made from protocol/frames.py, so
that a platform's front end is told at once when it speaks of a field that there is not."""

import json
from collections.abc import Mapping, Sequence
from typing import Final, get_args

from msgspec import inspect as types

from protocol.errors import CloseCode, ErrorCode
from protocol.frames import ClientFrame, Error, HistoryEvent, ModelFrame, Ok, OwnFrame, RoomEvent
from server.struct_notes import StructClass, doc_of, field_notes, nested


def frame_types(results: Mapping[StructClass, StructClass]) -> str:
    """The whole file. `results`: frame -> what the `ok` to it carries."""
    client: tuple[StructClass, ...] = get_args(ClientFrame)
    server: tuple[StructClass, ...] = (
        Ok,
        Error,
        *get_args(RoomEvent),
        *get_args(OwnFrame),
        ModelFrame,
    )
    history: tuple[StructClass, ...] = get_args(HistoryEvent) or (HistoryEvent,)
    sent = [*client, *nested(client)]
    received = [*server, *results.values(), *nested((*server, *results.values()))]
    blocks = [
        _HEAD.strip(),
        _union("ErrorCode", [json.dumps(code.value) for code in ErrorCode]),
        _union("CloseName", [json.dumps(code.name) for code in CloseCode]),
        "// ---- client to server",
        *(_interface(kind, is_sent=True) for kind in sent),
        _union("ClientFrame", [kind.__name__ for kind in client]),
        "// ---- server to client",
        *(_interface(kind, is_sent=False) for kind in received if kind not in sent),
        _union("HistoryEvent", [kind.__name__ for kind in history]),
        _union("ServerFrame", [kind.__name__ for kind in server]),
        _map(
            "Results",
            "What is asked -> the `result` of the `ok` to it; null for what is not named here.",
            {_tag(asked): result.__name__ for asked, result in results.items()},
        ),
        _map(
            "ServerEvents",
            "What a client hears beside answers, by its `type`.",
            {_tag(kind): _event(kind, history) for kind in server if kind not in (Ok, Error)},
        ),
    ]
    return "\n\n".join(blocks) + "\n"


_HEAD: Final = """
// Made by `python -m server.documents` from protocol/frames.py; not edited by hand.

/** Of a history event that was missed and came with a snapshot. */
export interface Late {
  readonly late?: true;
}
"""


def _event(kind: StructClass, history: Sequence[StructClass]) -> str:
    return f"{kind.__name__} & Late" if kind in history else kind.__name__


def _interface(kind: StructClass, *, is_sent: bool) -> str:
    """What has a default may be left out by a client, and never is by the server."""
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    notes = field_notes(kind)
    lines = _comment(doc_of(kind), "")
    lines.append(f"export interface {kind.__name__} {{")
    if info.tag is not None:
        lines.append(f"  readonly type: {json.dumps(info.tag)};")
    for field in info.fields:
        optional = "?" if is_sent and not field.required else ""
        lines += _comment(notes.get(field.name, ""), "  ")
        lines.append(f"  readonly {field.encode_name}{optional}: {_type(field.type)};")
    return "\n".join([*lines, "}"])


def _type(kind: types.Type) -> str:
    match kind:
        case types.Metadata(inner):
            return _type(inner)
        case types.UnionType(members):
            return " | ".join(dict.fromkeys(_type(member) for member in members))
        case types.StructType(cls):
            return cls.__name__
        case types.EnumType(cls) if cls is ErrorCode:
            return "ErrorCode"
        case types.EnumType(cls):
            return " | ".join(json.dumps(member.value) for member in cls)
        case types.LiteralType(values):
            return " | ".join(json.dumps(value) for value in values)
        case types.IntType() | types.FloatType():
            return "number"
        case types.StrType():
            return "string"
        case types.BoolType():
            return "boolean"
        case types.NoneType():
            return "null"
        case types.AnyType():
            return "unknown"
        case types.VarTupleType(item_type=item):
            return f"ReadonlyArray<{_type(item)}>"
        case types.DictType(value_type=value):
            return f"Readonly<Record<string, {_type(value)}>>"
        case _:
            raise TypeError(f"no TypeScript for {kind!r}: add it")


def _tag(kind: StructClass) -> str:
    return str(kind.__struct_config__.tag)


def _union(name: str, members: Sequence[str]) -> str:
    return f"export type {name} =\n" + "\n".join(f"  | {member}" for member in members) + ";"


def _map(name: str, doc: str, rows: Mapping[str, str]) -> str:
    lines = [*_comment(doc, ""), f"export interface {name} {{"]
    return "\n".join([*lines, *(f"  {key}: {value};" for key, value in rows.items()), "}"])


def _comment(text: str, indent: str) -> list[str]:
    if not text:
        return []
    lines = text.replace("*/", "* /").split("\n")
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    body = [f"{indent} * {line}".rstrip() for line in lines]
    return [f"{indent}/**", *body, f"{indent} */"]
