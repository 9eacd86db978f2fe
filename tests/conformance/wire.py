"""WebSocket frames as bytes, right and wrong ones: nothing of ours, and no library, makes or reads
them here (RFC 6455, 5.2)."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

MASK = b"\x37\xfa\x21\x3d"

UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
"""The example of RFC 6455, 1.2: the accepting answer has the token ACCEPT."""
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

Said = tuple[int, bytes]
"""A frame of the server's: opcode and payload."""


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    length: int | None = None,
    length_bytes: int | None = None,
) -> bytes:
    """One frame of a client. `length`: what its header says, if not the truth. `length_bytes`: 0,
    2 or 8, of an extended length, if not the shortest. `mask` None: not masked."""
    size = len(payload) if length is None else length
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 1 << 16 else 8
    code = {0: size, 2: 126, 8: 127}[length_bytes]
    first = (0x80 if final else 0) | reserved << 4 | opcode
    head = bytes([first, code if mask is None else 0x80 | code])
    head += size.to_bytes(length_bytes, "big") if length_bytes else b""
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def text(*parts: bytes) -> bytes:
    """One message in so many fragments."""
    return _message(TEXT, parts)


def binary(*parts: bytes) -> bytes:
    """One message in so many fragments."""
    return _message(BINARY, parts)


def _message(opcode: int, parts: tuple[bytes, ...]) -> bytes:
    last = len(parts) - 1
    return b"".join(
        frame(opcode if at == 0 else CONTINUATION, part, final=at == last)
        for at, part in enumerate(parts)
    )


def close(code: int = 1000, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def each_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def frames_of(data: bytes) -> list[Said]:
    """The server's frames; raises AssertionError for anything else, an incomplete one included."""
    left = bytearray(data)
    frames = []
    while left:
        taken = take_frame(left)
        assert taken is not None, "whole"
        frames.append(taken)
    return frames


def take_frame(data: bytearray) -> Said | None:
    """The first of the server's frames, which is taken out of `data`; None: it is not all there.
    It neither masks nor fragments. Raises AssertionError where it does."""
    if len(data) < 2:
        return None
    assert data[0] & 0xF0 == 0x80, "final, without reserved bits"
    code = data[1]
    assert code < 0x80, "not masked"
    extended = {126: 2, 127: 8}.get(code, 0)
    begins = 2 + extended
    if len(data) < begins:
        return None
    size = int.from_bytes(data[2:begins], "big") if extended else code
    if len(data) < begins + size:
        return None
    taken = data[0] & 0x0F, bytes(data[begins : begins + size])
    del data[: begins + size]
    return taken
