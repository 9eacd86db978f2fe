"""The client's side of WebSocket (RFC 6455), as little of it as a load client needs: messages in
one frame each, no extensions. What a server sends beyond that is a failure and raises."""

from typing import Final

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_FIN: Final = 0x80
_MASKED: Final = 0x80
_MASK_KEY: Final = bytes(4)
"""Masking guards proxies against hostile pages. With the key 0 the payload stays as it is: the
server does the same work, the load client does none."""

_HEADER_END: Final = b"\r\n\r\n"

Frame = tuple[int, int, int, int]
"""opcode; start of the frame, start of its payload, end of the frame."""


class NotWebSocket(Exception):
    """The server's bytes are not what this client understands."""


def upgrade_request(port: int, path: str, subprotocol: str | None) -> bytes:
    """The HTTP upgrade, without Origin: no browser is behind it. The key is the RFC's example;
    nothing depends on it here."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return "\r\n".join(lines).encode() + _HEADER_END


def read_upgrade(data: bytes) -> bytes | None:
    """What follows the server's 101; None while its header is not complete."""
    header, end, after = data.partition(_HEADER_END)
    if not end:
        return None
    status = header[:64].split(b" ", 2)[1:2]
    if status != [b"101"]:
        raise NotWebSocket(f"HTTP {status[0].decode(errors='replace') if status else '?'}")
    return after


def client_frame(opcode: int, payload: bytes) -> bytes:
    """One whole masked frame; `payload` under 64 KiB."""
    size = len(payload)
    if size < 126:
        head = bytes((_FIN | opcode, _MASKED | size))
    else:
        head = bytes((_FIN | opcode, _MASKED | 126)) + size.to_bytes(2, "big")
    return head + _MASK_KEY + payload


def split_frames(data: bytes) -> tuple[list[Frame], int]:
    """The whole frames at the start of `data`, and where the unfinished rest begins."""
    frames: list[Frame] = []
    start, end = 0, len(data)
    while end - start >= 2:
        opcode, size = data[start] & 0x0F, data[start + 1]
        payload = start + 2
        if size == 126:
            payload += 2
            size = int.from_bytes(data[start + 2 : payload], "big")
        elif size == 127:
            payload += 8
            size = int.from_bytes(data[start + 2 : payload], "big")
        if payload + size > end:
            break
        if not data[start] & _FIN:
            raise NotWebSocket("fragmented message")
        frames.append((opcode, start, payload, payload + size))
        start = payload + size
    return frames, start
