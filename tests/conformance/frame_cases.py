"""What RFC 6455 says of frames, as a table: what a client sends, what an echo server answers.

Numbers are those of the Autobahn test suite where it has the same case; a letter behind one is
ours. In the answers a close frame stands by its code alone.
"""

from dataclasses import dataclass
from typing import Final

from tests.conformance.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    binary,
    close,
    each_byte,
    frame,
    text,
)

Answer = tuple[int, bytes | int]
"""A message or a pong with its payload; a close frame with its code, or b"" without one."""

BREACH: Final[Answer] = (CLOSE, 1002)
NOT_UTF8: Final[Answer] = (CLOSE, 1007)
BYE: Final[Answer] = (CLOSE, 1000)
"""Behind a case that breaks no rule our own close is answered."""


@dataclass(frozen=True, slots=True)
class Case:
    """`then`: is sent once there is nothing more to come but what it leads to, the last answer."""

    number: str
    what: str
    sent: bytes
    answers: tuple[Answer, ...]
    then: bytes = b""


def _lives(number: str, what: str, sent: bytes, *answers: Answer) -> Case:
    return Case(number, what, sent, (*answers, BYE), then=close())


def _ends(number: str, what: str, sent: bytes, *answers: Answer) -> Case:
    return Case(number, what, sent, answers)


_SIZES = (0, 125, 126, 127, 128, 65535, 65536)
_PAYLOAD = b"Hello, \xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!"
_ALL_ONES = b"\xfe\xff" * 60

MESSAGES: Final = [
    *(
        _lives(f"1.1.{n}", f"text of {size} bytes", text(b"*" * size), (TEXT, b"*" * size))
        for n, size in enumerate(_SIZES, 1)
    ),
    *(
        _lives(
            f"1.2.{n}", f"binary of {size} bytes", binary(b"\xfe" * size), (BINARY, b"\xfe" * size)
        )
        for n, size in enumerate(_SIZES, 1)
    ),
    _lives("1.1a", "many in one segment", text(b"a") * 50, *[(TEXT, b"a")] * 50),
    _lives("1.2a", "any mask", frame(BINARY, b"abc", mask=bytes(4)), (BINARY, b"abc")),
]

PINGS: Final = [
    _lives("2.1", "ping without payload", frame(PING), (PONG, b"")),
    _lives("2.2", "ping with text", frame(PING, b"Hello, world!"), (PONG, b"Hello, world!")),
    _lives("2.3", "ping with bytes", frame(PING, b"\0\xff\xfe\xfd"), (PONG, b"\0\xff\xfe\xfd")),
    _lives("2.4", "ping of 125 bytes", frame(PING, b"\xfe" * 125), (PONG, b"\xfe" * 125)),
    _ends("2.5", "ping of 126 bytes", frame(PING, b"\xfe" * 126), BREACH),
    _lives("2.7", "unasked pong", frame(PONG)),
    _lives("2.8", "unasked pong with payload", frame(PONG, b"unasked")),
    _lives("2.9", "unasked pong, then ping", frame(PONG, b"u") + frame(PING, b"p"), (PONG, b"p")),
    _lives(
        "2.10",
        "ten pings",
        b"".join(frame(PING, b"%d" % n) for n in range(10)),
        *((PONG, b"%d" % n) for n in range(10)),
    ),
    _lives("2.10a", "a ping behind a message", text(b"a") + frame(PING), (TEXT, b"a"), (PONG, b"")),
]

RESERVED: Final = [
    _ends("3.1", "reserved bit 3", frame(TEXT, _PAYLOAD, reserved=1), BREACH),
    _ends(
        "3.2",
        "behind a good message reserved bit 2, then ping",
        text(b"good") + frame(TEXT, _PAYLOAD, reserved=2) + frame(PING),
        (TEXT, b"good"),
        BREACH,
    ),
    _ends(
        "3.4", "reserved bit 1: compressed, but not agreed", frame(TEXT, b"x", reserved=4), BREACH
    ),
    _ends("3.5", "two reserved bits of binary", frame(BINARY, _ALL_ONES, reserved=5), BREACH),
    _ends("3.6", "reserved bits of ping", frame(PING, b"x", reserved=6), BREACH),
    _ends("3.7", "reserved bits of close", frame(CLOSE, reserved=7), BREACH),
    *(
        _ends(f"4.1.{n}", f"opcode {opcode}", frame(opcode, b"x" * (n % 2)), BREACH)
        for n, opcode in enumerate(range(3, 8), 1)
    ),
    *(
        _ends(f"4.2.{n}", f"opcode {opcode}", frame(opcode, b"x" * (n % 2)), BREACH)
        for n, opcode in enumerate(range(11, 16), 1)
    ),
    _ends(
        "4.1a", "an opcode, then ping", text(b"a") + frame(5) + frame(PING), (TEXT, b"a"), BREACH
    ),
]

MASKS_AND_LENGTHS: Final = [
    _ends("mask.1", "text that is not masked", frame(TEXT, b"a", mask=None), BREACH),
    _ends("mask.2", "ping that is not masked", frame(PING, mask=None), BREACH),
    _ends("mask.3", "close that is not masked", frame(CLOSE, mask=None), BREACH),
    _ends("mask.4", "a fragment that is not masked",
          frame(TEXT, b"a", final=False) + frame(CONTINUATION, b"b", mask=None), BREACH),
    _ends("len.1", "3 bytes with a length of 2", frame(TEXT, b"abc", length_bytes=2), BREACH),
    _ends("len.2", "125 bytes with a length of 2",
          frame(BINARY, bytes(125), length_bytes=2), BREACH),
    _ends("len.3", "0 bytes with a length of 8", frame(BINARY, b"", length_bytes=8), BREACH),
    _ends("len.4", "65,535 bytes with a length of 8",
          frame(BINARY, bytes(65535), length_bytes=8), BREACH),
    _ends("len.5", "a length of 2^63", frame(BINARY, b"a", length=1 << 63, length_bytes=8), BREACH),
    _ends("len.6", "a length of 2^64 - 1",
          frame(TEXT, b"a", length=(1 << 64) - 1, length_bytes=8), BREACH),
    _ends("len.7", "a ping with a length of 2", frame(PING, b"abc", length_bytes=2), BREACH),
    _ends("len.8", "a ping with a length of 8", frame(PING, b"", length_bytes=8), BREACH),
]  # fmt: skip

FRAGMENTS: Final = [
    _ends("5.1", "ping in fragments", frame(PING, b"a", final=False) + text(b"b"), BREACH),
    _ends("5.2", "pong in fragments", frame(PONG, b"a", final=False) + text(b"b"), BREACH),
    _ends("5.2a", "close in fragments", frame(CLOSE, b"\x03\xe8", final=False), BREACH),
    _lives("5.3", "text in two", text(b"frag", b"ment"), (TEXT, b"fragment")),
    _lives("5.3a", "binary in two", binary(b"\xfe", b"\xff"), (BINARY, b"\xfe\xff")),
    _lives(
        "5.6",
        "ping between two fragments",
        frame(TEXT, b"frag", final=False) + frame(PING, b"p") + frame(CONTINUATION, b"ment"),
        (PONG, b"p"),
        (TEXT, b"fragment"),
    ),
    _ends("5.9", "continuation of nothing", frame(CONTINUATION, b"x") + text(b"a"), BREACH),
    _ends(
        "5.12", "unfinished continuation of nothing",
        frame(CONTINUATION, b"x", final=False) + text(b"a"), BREACH,
    ),
    _ends(
        "5.15",
        "behind a whole message an unfinished continuation of nothing",
        text(b"frag", b"ment") + frame(CONTINUATION, b"x", final=False) + text(b"a"),
        (TEXT, b"fragment"),
        BREACH,
    ),
    _ends("5.18", "text within text", frame(TEXT, b"a", final=False) + text(b"b"), BREACH),
    _ends("5.18a", "binary within text", frame(TEXT, b"a", final=False) + binary(b"b"), BREACH),
    _ends(
        "5.18b", "an unfinished text within binary",
        frame(BINARY, b"a", final=False) + frame(TEXT, b"b", final=False), BREACH,
    ),
    _lives(
        "5.19",
        "five fragments, pings between",
        frame(TEXT, b"1", final=False)
        + frame(CONTINUATION, b"2", final=False)
        + frame(PING, b"p1")
        + frame(CONTINUATION, b"3", final=False)
        + frame(CONTINUATION, b"4", final=False)
        + frame(PING, b"p2")
        + frame(CONTINUATION, b"5"),
        (PONG, b"p1"),
        (PONG, b"p2"),
        (TEXT, b"12345"),
    ),
    _lives(
        "5.19a",
        "between messages in fragments a whole one",
        text(b"a", b"b") + text(b"c") + binary(b"d", b"e"),
        (TEXT, b"ab"),
        (TEXT, b"c"),
        (BINARY, b"de"),
    ),
    _lives("6.1.2", "three empty fragments", text(b"", b"", b""), (TEXT, b"")),
    _lives("6.1.3", "empty first and last", text(b"", b"middle", b""), (TEXT, b"middle")),
    _lives(
        "10.1.1",
        "65,536 bytes in fragments of 1,300",
        text(*(b"*" * min(1300, 65536 - at) for at in range(0, 65536, 1300))),
        (TEXT, b"*" * 65536),
    ),
]  # fmt: skip

_GREEK = "κόσμε".encode()

VALID_UTF8: Final = {
    "6.5.1": _GREEK,
    "6.6.2": b"\xce\xba",
    "6.7.1": b"\0",
    "6.7.2": b"\xc2\x80",
    "6.7.3": b"\xe0\xa0\x80",
    "6.7.4": b"\xf0\x90\x80\x80",
    "6.9.1": b"\x7f",
    "6.9.2": b"\xdf\xbf",
    "6.9.3": b"\xef\xbf\xbf",
    "6.9.4": b"\xf4\x8f\xbf\xbf",
    "6.11.1": b"\xed\x9f\xbf",
    "6.11.2": b"\xee\x80\x80",
    "6.11.3": b"\xef\xbf\xbd",
    "6.11.4": b"\xf4\x8f\xbf\xbf",
    "6.22.1": b"\xef\xbf\xbe",
    "6.23.1": b"\xef\xbf\xbd",
}

INVALID_UTF8: Final = {
    "6.3.1": _GREEK + b"\xed\xa0\x80edited",
    "6.6.1": b"\xce",
    "6.6.3": b"\xce\xba\xe1",
    "6.6.4": b"\xce\xba\xe1\xbd",
    "6.8.1": b"\xf8\x88\x80\x80\x80",
    "6.8.2": b"\xfc\x84\x80\x80\x80\x80",
    "6.10.1": b"\xf7\xbf\xbf\xbf",
    "6.10.2": b"\xfb\xbf\xbf\xbf\xbf",
    "6.10.3": b"\xfd\xbf\xbf\xbf\xbf\xbf",
    "6.11.5": b"\xf4\x90\x80\x80",
    "6.12.1": b"\x80",
    "6.12.2": b"\xbf",
    "6.12.3": b"\x80\xbf",
    "6.12.8": bytes(range(0x80, 0xC0)),
    "6.13.1": b"\xc0 \xc1 \xde ",
    "6.14.1": b"\xc0",
    "6.14.2": b"\xe0\x80",
    "6.14.3": b"\xf0\x80\x80",
    "6.15.1": b"\xc0\xe0\x80\xf0\x80\x80",
    "6.16.1": b"\xfe",
    "6.16.2": b"\xff",
    "6.17.1": b"\xc0\xaf",
    "6.17.2": b"\xe0\x80\xaf",
    "6.17.3": b"\xf0\x80\x80\xaf",
    "6.18.1": b"\xc1\xbf",
    "6.18.2": b"\xe0\x9f\xbf",
    "6.18.3": b"\xf0\x8f\xbf\xbf",
    "6.19.1": b"\xc0\x80",
    "6.20.1": b"\xed\xa0\x80",
    "6.20.4": b"\xed\xaf\xbf",
    "6.20.7": b"\xed\xbf\xbf",
    "6.21.1": b"\xed\xa0\x80\xed\xb0\x80",
}

UTF8: Final = [
    *(_lives(n, "valid UTF-8", text(data), (TEXT, data)) for n, data in VALID_UTF8.items()),
    *(
        _lives(f"{n}a", "valid, a fragment a byte", text(*each_byte(data)), (TEXT, data))
        for n, data in VALID_UTF8.items()
    ),
    *(_ends(n, "invalid UTF-8", text(data), NOT_UTF8) for n, data in INVALID_UTF8.items()),
    *(
        _ends(f"{n}a", "invalid, a fragment a byte", text(*each_byte(data)), NOT_UTF8)
        for n, data in INVALID_UTF8.items()
    ),
    _lives("6.a", "binary need not be UTF-8", binary(b"\xff"), (BINARY, b"\xff")),
    _ends(
        "6.4.1",
        "at once at a fragment that is none",
        frame(TEXT, _GREEK, final=False) + frame(CONTINUATION, b"\xf4\x90\x80\x80", final=False),
        NOT_UTF8,
    ),
    _ends(
        "6.4.2",
        "at once at the byte that makes it impossible",
        frame(TEXT, _GREEK + b"\xf4", final=False) + frame(CONTINUATION, b"\x90", final=False),
        NOT_UTF8,
    ),
    _ends(
        "6.4.3",
        "at once within a frame",
        frame(TEXT, _GREEK + b"\xf4\x90\x80\x80" + b"*" * 5000)[:60],
        NOT_UTF8,
    ),
]

CLOSING: Final = [
    Case("7.1.1", "a message, then close", text(b"a") + close(), ((TEXT, b"a"), BYE)),
    Case("7.1.1a", "50, then close", text(b"a") * 50 + close(), (*[(TEXT, b"a")] * 50, BYE)),
    Case("7.1.2", "two closes", close() + close(1001), (BYE,)),
    Case("7.1.3", "a ping behind close", close() + frame(PING), (BYE,)),
    Case("7.1.4", "a message behind close", close() + text(b"a"), (BYE,)),
    Case(
        "7.1.5", "close within a message",
        frame(TEXT, b"a", final=False) + close() + frame(CONTINUATION, b"b"), (BYE,),
    ),
    Case("7.3.1", "without a code", frame(CLOSE), ((CLOSE, b""),)),
    Case("7.3.2", "half a code", frame(CLOSE, b"\x03"), (BREACH,)),
    Case("7.3.3", "with a code", close(1000), (BYE,)),
    Case("7.3.4", "with a reason", close(1000, _PAYLOAD), (BYE,)),
    Case("7.3.5", "with the longest reason", close(1000, b"*" * 123), (BYE,)),
    Case("7.3.6", "with a reason that is too long", close(1000, b"*" * 124), (BREACH,)),
    Case("7.5.1", "with a reason that is no UTF-8", close(1000, b"\xce\xed\xa0"), (NOT_UTF8,)),
    *(
        Case(f"7.7.{n}", f"code {code}", close(code), ((CLOSE, code),))
        for n, code in enumerate(
            (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999), 1
        )
    ),
    *(Case(f"7.7a.{code}", f"code {code}", close(code), ((CLOSE, code),)) for code in (1012, 1013)),
    *(
        Case(f"7.9.{n}", f"code {code}", close(code), (BREACH,))
        for n, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1)
    ),
    Case("7.9a", "code 1015, of TLS", close(1015), (BREACH,)),
    Case("7.13.1", "code 5000", close(5000), (BREACH,)),
    Case("7.13.2", "code 65535", close(65535), (BREACH,)),
]  # fmt: skip

DEVIATIONS: Final = [
    Case("dev.1", "code 1014, registered after wsproto's list was made", close(1014), (BREACH,)),
    Case(
        "dev.2", "a surrogate in fragments: at its last byte, not at the one before",
        frame(TEXT, b"\xed", final=False) + frame(CONTINUATION, b"\xa0", final=False)
        + frame(PING, b"still here") + frame(CONTINUATION, b"\x80", final=False),
        ((PONG, b"still here"), NOT_UTF8),
    ),
]  # fmt: skip
"""docs/protocol.md, "WebSocket": what is not as the RFC has it."""

CASES: Final = [
    *MESSAGES,
    *PINGS,
    *RESERVED,
    *MASKS_AND_LENGTHS,
    *FRAGMENTS,
    *UTF8,
    *CLOSING,
    *DEVIATIONS,
]
