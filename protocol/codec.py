"""The two encodings of frames, chosen by the socket's subprotocol.

`tiproom.v1.msgpack` (default, binary messages) and `tiproom.v1.json` (text messages). A decoded
frame has the right type or the answer to send is raised: one error type, whatever came in.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from protocol.errors import ErrorCode, Refused
from protocol.frames import ClientFrame, Ref, ServerFrame

MSGPACK: Final = "tiproom.v1.msgpack"
JSON: Final = "tiproom.v1.json"


class Codec:
    """One encoding, both ways. Stateless; `binary` says which kind of WebSocket message it is."""

    def __init__(
        self,
        subprotocol: str,
        *,
        encode: Callable[[ServerFrame | ClientFrame], bytes],
        decode: Callable[[Any], ClientFrame],
        decode_server: Callable[[Any], ServerFrame],
        decode_ref: Callable[[Any], "_AnyRef"],
        binary: bool,
    ) -> None:
        self.subprotocol = subprotocol
        self.binary = binary
        self._encode = encode
        self._decode = decode
        self._decode_server = decode_server
        self._decode_ref = decode_ref

    def encode(self, frame: ServerFrame | ClientFrame) -> bytes:
        """The message's payload."""
        return self._encode(frame)

    def decode(self, message: bytes | str) -> ClientFrame:
        """What a client sent. Raises Refused with MALFORMED_FRAME, UNKNOWN_FRAME or
        INVALID_FIELD (naming the field's path); `ref_of` finds the ref to answer to."""
        if isinstance(message, bytes) is not self.binary:
            raise Refused(ErrorCode.MALFORMED_FRAME, detail="Text and binary do not mix.")
        try:
            return self._decode(message)
        except msgspec.ValidationError as error:
            raise _explain(error) from error
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Refused(ErrorCode.MALFORMED_FRAME) from error

    def decode_server(self, message: bytes | str) -> ServerFrame:
        """What a server sent: for clients written in Python. Raises msgspec.DecodeError."""
        return self._decode_server(message)

    def ref_of(self, message: bytes | str) -> int | None:
        """The ref of a message that could not be decoded as a frame, if it has a usable one."""
        if isinstance(message, bytes) is not self.binary:
            return None
        try:
            return self._decode_ref(message).ref
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None


class _AnyRef(msgspec.Struct):
    ref: Ref | None = None
    """In the range of a frame's: a larger one could not be encoded into the answer."""


def _explain(error: msgspec.ValidationError) -> Refused:
    """The answer to a well-formed message that is no frame. msgspec's text may quote what the
    client sent, so only the path goes out."""
    path = field_path(error)
    if path is None and not str(error).startswith("Object "):
        return Refused(ErrorCode.MALFORMED_FRAME)  # a number, a list: nothing with fields
    if path == "type":
        return Refused(ErrorCode.UNKNOWN_FRAME, "type")
    return Refused(ErrorCode.INVALID_FIELD, path)


_PATH: Final = re.compile(r" - at `(?:key` in `)?\$([\w.\[\]]*)`\Z", re.ASCII)
_NAMED: Final = re.compile(
    r"(?:Object missing required field |Object contains unknown field )?`([A-Za-z]\w{0,63})`",
    re.ASCII,
)
"""The field that the text opens with: msgspec's two sentences, and our own `__post_init__`s."""


def field_path(error: msgspec.ValidationError) -> str | None:
    """`toys[0].battery` out of msgspec's message; a missing or unknown field counts as named.

    None where the value as a whole is wrong. The name of an unknown field is the sender's own
    text: it is given back only where it looks like one, else the path ends at its object.
    """
    text = str(error)
    found = _PATH.search(text)
    path = found[1].removeprefix(".") if found else ""
    if named := _NAMED.match(text):
        path = f"{path}.{named[1]}" if path else named[1]
    return path or None


CODECS: Final[dict[str, Codec]] = {
    MSGPACK: Codec(
        MSGPACK,
        encode=msgspec.msgpack.Encoder().encode,
        decode=msgspec.msgpack.Decoder(ClientFrame).decode,
        decode_server=msgspec.msgpack.Decoder(ServerFrame).decode,
        decode_ref=msgspec.msgpack.Decoder(_AnyRef).decode,
        binary=True,
    ),
    JSON: Codec(
        JSON,
        encode=msgspec.json.Encoder().encode,
        decode=msgspec.json.Decoder(ClientFrame).decode,
        decode_server=msgspec.json.Decoder(ServerFrame).decode,
        decode_ref=msgspec.json.Decoder(_AnyRef).decode,
        binary=False,
    ),
}
"""In the server's order of preference."""
