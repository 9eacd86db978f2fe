"""Messages that are nearly frames: every frame of a client with each of its fields missing,
unknown, or of a value that it cannot have, in both encodings."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import msgspec

from protocol.codec import CODECS, Codec
from protocol.frames import ClientFrame

_GOLDEN: Final = Path(__file__).parents[1] / "protocol" / "golden" / "frames.json"
_TAGS: Final = {str(kind.__struct_config__.tag) for kind in get_args(ClientFrame)}
_DEPTH: Final = 3000
"""Far more levels than any frame has."""

VALID: Final[list[dict[str, Any]]] = [
    golden["json"]
    for golden in json.loads(_GOLDEN.read_text()).values()
    if golden["json"]["type"] in _TAGS
]

_JSON_VALUES: Final = {
    "null": "null",
    "true": "true",
    "zero": "0",
    "negative": "-1",
    "fraction": "1.5",
    "2^53": str(2**53),
    "2^64": str(2**64),
    "a thousand digits": "9" * 1000,
    "no finite number": "1e999",
    "NaN": "NaN",
    "-Infinity": "-Infinity",
    "empty text": '""',
    "text with NUL": '"a\\u0000b"',
    "lone surrogate": '"\\ud800"',
    "bad escape": '"\\x"',
    "long text": '"' + "x" * 5000 + '"',
    "empty list": "[]",
    "empty object": "{}",
    "nested object": '{"a":{"b":[{"c":null}]}}',
    "long list": "[" + ",".join(["{}"] * 200) + "]",
    "deep list": "[" * _DEPTH + "]" * _DEPTH,
    "deep object": '{"a":' * _DEPTH + "1" + "}" * _DEPTH,
    "nothing": "",
    "a comment": "/* */ 1",
}

_MSGPACK_VALUES: Final = {
    "nil": b"\xc0",
    "true": b"\xc3",
    "zero": b"\x00",
    "negative": b"\xff",
    "fraction": b"\xcb\x3f\xf8\0\0\0\0\0\0",
    "2^53": b"\xcf\0\x20\0\0\0\0\0\0",
    "2^64 - 1": b"\xcf" + b"\xff" * 8,
    "-2^63": b"\xd3\x80" + bytes(7),
    "NaN": b"\xcb\x7f\xf8\0\0\0\0\0\0",
    "-Infinity": b"\xca\xff\x80\0\0",
    "empty text": b"\xa0",
    "text with NUL": b"\xa3a\0b",
    "text that is no UTF-8": b"\xa3\xed\xa0\x80",
    "bytes": b"\xc4\x03abc",
    "long text": b"\xda" + (5000).to_bytes(2, "big") + b"x" * 5000,
    "text shorter than it says": b"\xdb\xff\xff\xff\xffabc",
    "empty list": b"\x90",
    "empty map": b"\x80",
    "map with a number as key": b"\x81\x01\x02",
    "long list": b"\xdc\x00\xc8" + b"\x80" * 200,
    "deep list": b"\x91" * _DEPTH + b"\xc0",
    "deep map": b"\x81\xa1a" * _DEPTH + b"\xc0",
    "list longer than it says": b"\xdd\xff\xff\xff\xff",
    "extension": b"\xd4\x05\x00",
    "timestamp": b"\xd6\xff\0\0\0\0",
    "timestamp of 96 bits": b"\xc7\x0c\xff" + b"\xff" * 12,
    "extension longer than it says": b"\xc9\xff\xff\xff\xff\x01",
    "the byte that means nothing": b"\xc1",
    "nothing": b"",
}


class Hostile(NamedTuple):
    """`field`: the one that an answer names, or a path in it; None: any."""

    what: str
    message: bytes | str
    field: str | None


@cache
def hostile_messages(subprotocol: str) -> list[Hostile]:
    """Some of them are frames after all: a field may be null, or any text."""
    codec = CODECS[subprotocol]
    return [each for frame in VALID for each in _mutants(codec, frame)]


def _mutants(codec: Codec, frame: dict[str, Any]) -> Iterator[Hostile]:
    kind = frame["type"]
    values: dict[str, Any] = dict(_MSGPACK_VALUES if codec.binary else _JSON_VALUES)
    parts = {name: _part(codec, value) for name, value in frame.items()}
    for name in frame:
        fewer = {other: part for other, part in parts.items() if other != name}
        yield Hostile(f"{kind} without {name}", _message(codec, fewer), name)
        for what, value in values.items():
            changed = _message(codec, {**parts, name: value})
            # Without a value the next name is taken for it.
            yield Hostile(f"{kind} with {name}: {what}", changed, name if value else None)
    for name in ("surprise", "a b", "<b>", "x" * 300, "", "naïve", "__proto__", "` - at `$.type`"):
        unknown = _message(codec, {**parts, name: _part(codec, 1)})
        yield Hostile(f"{kind} with the unknown {name[:20]!r}", unknown, name)
    whole = _message(codec, parts)
    for what, message in {
        "in a list": (b"\x91" + whole) if isinstance(whole, bytes) else f"[{whole}]",
        "twice": whole + whole,
        "cut short": whole[:-1],
        "with a byte more": (whole + b"\0") if isinstance(whole, bytes) else whole + "\0",
    }.items():
        yield Hostile(f"{kind} {what}", message, None)


def _part(codec: Codec, value: Any) -> bytes | str:
    encoded = msgspec.msgpack.encode(value) if codec.binary else json.dumps(value)
    assert isinstance(encoded, bytes | str)
    return encoded


def _message(codec: Codec, parts: dict[str, Any]) -> bytes | str:
    if not codec.binary:
        return "{" + ",".join(f"{json.dumps(name)}:{part}" for name, part in parts.items()) + "}"
    head = b"\xde" + len(parts).to_bytes(2, "big")
    pairs = (msgspec.msgpack.encode(name) + part for name, part in parts.items())
    return head + b"".join(pairs)
