"""WebSocket frames of the server's side. They are not masked (RFC 6455, 5.1), so that one frame
serves every member: encode once, frame once, send the same bytes."""

from typing import Final

from wsproto.frame_protocol import FrameProtocol

_FRAMES: Final = FrameProtocol(client=False, extensions=[])
"""Shared: whole messages leave no state behind, and no extension is ever negotiated."""

PING_FRAME: Final = bytes(_FRAMES.ping())

_TEXT: Final = 0x81
_BINARY: Final = 0x82
"""FIN and the opcode."""


def message_frame(payload: bytes, binary: bool) -> bytes:
    """One whole message, ready for a socket: binary, or text in UTF-8. Its header is written here
    (RFC 6455, 5.2): a command to each of a thousand members is framed a thousand times, and
    wsproto builds objects for each."""
    first, size = _BINARY if binary else _TEXT, len(payload)
    if size < 126:
        return b"%c%c%b" % (first, size, payload)
    if size < 1 << 16:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8, "big"), payload)


def close_frame(code: int, reason: str) -> bytes:
    """The last frame of a connection. A reason over 123 bytes is cut."""
    return bytes(_FRAMES.close(code, reason))
