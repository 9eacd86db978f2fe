"""What is nearly a frame: one kind of answer, which names the field, and nothing has happened."""

import re
from typing import get_args

import pytest

from protocol.codec import CODECS, JSON, MSGPACK
from protocol.errors import ErrorCode, Refused
from protocol.frames import ClientFrame
from tests.conformance.hostile_messages import VALID, hostile_messages

KINDS = {kind.__struct_config__.tag for kind in get_args(ClientFrame)}


def test_every_frame_of_a_client_is_tried() -> None:
    assert {frame["type"] for frame in VALID} == KINDS


@pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])
def test_what_is_no_frame_is_refused_with_a_code_and_its_field(subprotocol: str) -> None:
    codec, refused = CODECS[subprotocol], 0
    for hostile in hostile_messages(subprotocol):
        try:
            frame = codec.decode(hostile.message)
        except Refused as error:
            refused += 1
            refusal = error.refusal
            match refusal.code:
                case ErrorCode.UNKNOWN_FRAME:
                    assert hostile.field in ("type", None), hostile.what
                    assert refusal.field == "type", hostile.what
                case ErrorCode.INVALID_FIELD:
                    right = hostile.field is None or _is_in(refusal.field, hostile.field)
                    assert right, (hostile.what, refusal)
                case _:
                    assert refusal.code is ErrorCode.MALFORMED_FRAME, hostile.what
                    assert refusal.field is None, hostile.what
        else:
            assert type(frame).__struct_config__.tag in KINDS
    assert refused > 0.6 * len(hostile_messages(subprotocol))


def _is_in(path: str | None, field: str) -> bool:
    """A name that does not look like one is not given back."""
    if path is None:
        return re.fullmatch(r"[A-Za-z]\w{0,63}", field, re.ASCII) is None
    return path == field or path.startswith((f"{field}.", f"{field}["))
