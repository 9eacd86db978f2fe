"""The two encodings of frames, chosen by the socket's subprotocol.

`tiproom.v1.msgpack` (default, binary messages) and `tiproom.v1.json` (text messages). A decoded
frame has the right type or the answer to send is raised: one error type, whatever came in.
"""

from typing import Final

import msgspec

from protocol.errors import ErrorCode, Refused
from protocol.frames import ClientFrame, ServerFrame

MSGPACK: Final = "tiproom.v1.msgpack"
JSON: Final = "tiproom.v1.json"


class Codec:
    """One encoding, both ways. Stateless; `binary` says which kind of WebSocket message it is."""

    def __init__(
        self,
        subprotocol: str,
        encoder: msgspec.json.Encoder | msgspec.msgpack.Encoder,
        decoder: msgspec.json.Decoder[ClientFrame] | msgspec.msgpack.Decoder[ClientFrame],
        server_decoder: msgspec.json.Decoder[ServerFrame] | msgspec.msgpack.Decoder[ServerFrame],
        ref_decoder: msgspec.json.Decoder["_AnyRef"] | msgspec.msgpack.Decoder["_AnyRef"],
        *,
        binary: bool,
    ) -> None:
        self.subprotocol = subprotocol
        self.binary = binary
        self._encoder = encoder
        self._decoder = decoder
        self._server_decoder = server_decoder
        self._ref_decoder = ref_decoder

    def encode(self, frame: ServerFrame | ClientFrame) -> bytes:
        """The message's payload."""
        return self._encoder.encode(frame)

    def decode(self, message: bytes | str) -> ClientFrame:
        """What a client sent. Raises Refused with MALFORMED_FRAME, UNKNOWN_FRAME or
        INVALID_FIELD (naming the field's path); `ref_of` finds the ref to answer to."""
        if isinstance(message, bytes) is not self.binary:
            raise Refused(ErrorCode.MALFORMED_FRAME, detail="Text and binary do not mix.")
        try:
            return self._decoder.decode(message)
        except msgspec.ValidationError as error:
            raise _explain(error) from error
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Refused(ErrorCode.MALFORMED_FRAME) from error

    def decode_server(self, message: bytes | str) -> ServerFrame:
        """What a server sent: for clients written in Python. Raises msgspec.DecodeError."""
        return self._server_decoder.decode(message)

    def ref_of(self, message: bytes | str) -> int | None:
        """The ref of a message that could not be decoded as a frame, if it has a usable one."""
        try:
            return self._ref_decoder.decode(message).ref
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None


class _AnyRef(msgspec.Struct):
    ref: int | None = None


def _explain(error: msgspec.ValidationError) -> Refused:
    """The answer to a well-formed message that is no frame. msgspec's text may quote what the
    client sent, so only the path goes out."""
    path = field_path(error)
    if path == "type":
        return Refused(ErrorCode.UNKNOWN_FRAME, "type")
    return Refused(ErrorCode.INVALID_FIELD, path)


def field_path(error: msgspec.ValidationError) -> str | None:
    """`toys[0].battery` out of msgspec's message; a missing or unknown field counts as named."""
    text = str(error)
    _, found, tail = text.rpartition(" - at `")
    path = tail.removesuffix("`").removeprefix("$").removeprefix(".") if found else ""
    if text.startswith(("Object missing required field `", "Object contains unknown field `")):
        name = text.split("`")[1]
        path = f"{path}.{name}" if path else name
    return path or None


CODECS: Final[dict[str, Codec]] = {
    MSGPACK: Codec(
        MSGPACK,
        msgspec.msgpack.Encoder(),
        msgspec.msgpack.Decoder(ClientFrame),
        msgspec.msgpack.Decoder(ServerFrame),
        msgspec.msgpack.Decoder(_AnyRef),
        binary=True,
    ),
    JSON: Codec(
        JSON,
        msgspec.json.Encoder(),
        msgspec.json.Decoder(ClientFrame),
        msgspec.json.Decoder(ServerFrame),
        msgspec.json.Decoder(_AnyRef),
        binary=False,
    ),
}
"""In the server's order of preference."""
