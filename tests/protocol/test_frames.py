"""Frames on the wire: golden bytes for both encodings, and one kind of answer to any nonsense."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import frames
from protocol.codec import CODECS, JSON, MSGPACK, Codec, field_path
from protocol.errors import ErrorCode, Refused
from protocol.frames import ClientFrame, ServerFrame
from protocol.gating import Gates
from protocol.lovense import (
    Integration,
    Level,
    ReportedSettings,
    ReportedToy,
    Toy,
    VendorCall,
)
from protocol.mood_messages import AuthorKind, MessageType, Mood
from protocol.stage import StageOrder, StageState
from protocol.tip_activated import LovenseMode, MembershipTier, ViewerSyncMode
from protocol.toy_settings import QueueMode

GOLDEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "frames.json").read_text()
)
"""Name -> `json`: the message as an object, `msgpack`: the message's bytes in hexadecimal."""

EPOCH = "5f0c2b9a"
MESSAGE = "019bb8a0-0000-7000-8000-000000000001"
ROOM_VIEW = frames.RoomView(
    room_id="room-aurora",
    model_id="model-aurora",
    model_display_name="Aurora",
    live=True,
    broadcast_id="broadcast-7",
    lovense_mode=LovenseMode.EXTENSION,
    viewer_sync_mode=ViewerSyncMode.VIP_ROOM_SYNC,
    enable_lovense=True,
    toys_paused=False,
    model_toy_connected=True,
    tip_options=(frames.TipOption(50, "Wave", has_vibration=True),),
)
SELF_VIEW = frames.SelfView(
    toys_paused=False,
    user_id="viewer-gold",
    username="goldie",
    role="viewer",
    membership_tier=MembershipTier.VIP_GOLD,
    balance=850,
    toy_connected=True,
    react_to_my_tips=True,
    feel_all_tips=False,
    gates=Gates(react_to_my_tips=True, feel_all_tips=True),
)
MEMBER = frames.MemberView(
    17, "goldie", "viewer", MembershipTier.VIP_GOLD, tipper=True, state="online"
)
RECEIVE_TIP = VendorCall(Integration.EXTENSION, "receiveTip", (150, "goldie"))
VIBRATE = VendorCall(Integration.BASIC_SDK, "sendToyCommand", ({"vibrate": 16, "time": 5.0},))

CLIENT_FRAMES: dict[str, ClientFrame] = {
    "connect": frames.Connect(1, "header.claims.signature"),
    "connect as a model who returns": frames.Connect(
        1,
        "header.claims.signature",
        LovenseMode.CAM_KIT,
        frames.Resume(EPOCH, 41),
        page_id="page-1",
    ),
    "refreshToken": frames.RefreshToken(2, "header.claims.signature"),
    "tip": frames.Tip(3, "tip-0001", "broadcast-7", 150),
    "setPreferences": frames.SetPreferences(4, react_to_my_tips=True),
    "reportToys": frames.ReportToys(
        5,
        (
            ReportedToy("t1", "Lush", type="lush", status="on", battery="80"),
            ReportedToy("t2", "Nora 1", toy_type="nora", connected=True, battery=55),
        ),
    ),
    "reportSettings": frames.ReportSettings(
        6,
        ReportedSettings(
            {"level1": {"min": 3, "max": "10", "time": 5, "rLevel": 0, "vLevel": 8}},
            {"wave": {"enable": True, "type": "wave", "time": "22", "token": "120"}},
        ),
    ),
    "reportSettings of none": frames.ReportSettings(7, None),
    "setPresence": frames.SetPresence("away"),
    "typing": frames.Typing(),
    "listMembers": frames.ListMembers(12, after="2.17.goldie", limit=20),
    "commandAccepted": frames.CommandAccepted("command-1"),
    "commandActivated": frames.CommandActivated("command-1"),
    "commandFailed": frames.CommandFailed("command-1", "toy_offline"),
    "stopToys": frames.StopToys(8),
    "resumeToys": frames.ResumeToys(9),
    "startBroadcast": frames.StartBroadcast(10, LovenseMode.EXTENSION),
    "endBroadcast": frames.EndBroadcast(2**53 - 1),
    "testActivation": frames.ToyTest(11, "row-1"),
    "messageDelivered": frames.MessageDelivered(MESSAGE),
    "messageRead": frames.MessageRead(MESSAGE),
}

SERVER_FRAMES: dict[str, ServerFrame] = {
    "ok": frames.Ok(4),
    "ok with a result": frames.Ok(
        3, {"tipId": "tip-0001", "amount": 150, "balance": 850, "itemName": "Tip"}
    ),
    "error": frames.Error(
        3, ErrorCode.INVALID_FIELD, "A field is missing or not allowed.", False, "toys[0].id"
    ),
    "error without a ref": frames.Error(
        None, ErrorCode.RATE_LIMITED, "Too many requests; wait and try again.", True, None, 1.5
    ),
    "tipNotice": frames.TipNotice(
        EPOCH, 42, "goldie", 150, "Wave", "A wave for 5 seconds", "2026-07-01T20:15:30-05:00"
    ),
    "roomChanged": frames.RoomChanged(EPOCH, 42, ROOM_VIEW),
    "presenceChanged": frames.PresenceChanged(
        EPOCH, 42, 1000, reconnect_within_s=2.0, version=9, here=(MEMBER,), gone=(4,), omitted=3
    ),
    "typingChanged": frames.TypingChanged(
        EPOCH, 42, frames.TypingView((frames.TypingMember(17, "goldie"),), 1)
    ),
    "publicMessage": frames.PublicMessage(
        EPOCH,
        45,
        MESSAGE,
        MessageType.PUBLIC_MICRO,
        "Aurora",
        Mood.HAPPY,
        "Thank you, goldie!",
        1_782_954_930_000,
    ),
    "moodChanged": frames.MoodChanged(EPOCH, 46, Mood.HAPPY, 80, 1_782_954_990_000),
    "moodChanged for good": frames.MoodChanged(EPOCH, 47, Mood.NEUTRAL, 100, None),
    "privateMessage": frames.PrivateMessage(
        MESSAGE,
        MessageType.PRIVATE_CUSTOM,
        AuthorKind.VIEWER,
        "viewer-gold",
        "goldie",
        "model-aurora",
        Mood.EXCITED,
        86,
        "What a show!",
        1_782_954_930_000,
    ),
    "receiptWanted": frames.ReceiptWanted(MESSAGE),
    "snapshot": frames.Snapshot(
        EPOCH,
        44,
        False,
        1_782_954_930_000,
        ROOM_VIEW,
        SELF_VIEW,
        viewers=1000,
        reconnect_within_s=2.0,
    ),
    "snapshot of one who returns": frames.Snapshot(
        EPOCH,
        42,
        True,
        1_782_954_930_000,
        ROOM_VIEW,
        SELF_VIEW,
        viewers=1000,
        missed=(
            frames.TipNotice(
                EPOCH, 42, "goldie", 150, "Wave", "A wave", "2026-07-01T20:15:30-05:00"
            ),
        ),
        reconnect_within_s=2.0,
    ),
    "selfChanged": frames.SelfChanged(SELF_VIEW),
    "command": frames.Command(
        "command-1", "tip-0001", 1, RECEIVE_TIP, duration_sec=5, expires_at=1_782_954_935_000
    ),
    "command to a viewer": frames.Command(
        "command-2", "tip-0001", 2, VIBRATE, duration_sec=5, expires_at=1_782_954_935_000
    ),
    "testCommand": frames.ToyTestCommand(
        "test-1", RECEIVE_TIP, duration_sec=5, expires_at=1_782_954_935_000
    ),
    "deviceWarning": frames.DeviceWarning("device-1", "Lush", "battery", 15),
    "gap": frames.Gap(sampled=12, latest_only=3),
    "stagePlace": frames.StagePlace("purchase-1", "Song", StageState.READY, 4, 180.0),
    "stagePlace of an ended one": frames.StagePlace(
        "purchase-1", "Song", StageState.ABANDONED, refunded=20
    ),
    "stageNear": frames.StageNear("purchase-1", "Song", 120.0),
    "stageChanged": frames.StageChanged(
        StageOrder.FIFO,
        (
            frames.StageEntry(
                "purchase-1", "goldie", "Song", 50, False, 60, StageState.READY, 1, 0.0
            ),
        ),
    ),
    "stop": frames.ToysStopped(VendorCall(Integration.BASIC_SDK, "stopToyAction", ({},))),
    "stop without a call": frames.ToysStopped(None),
    "queueChanged": frames.QueueChanged(
        2,
        "tip-0001",
        False,
        3.5,
        QueueMode.BATCH,
        (frames.QueuedTip("tip-0002", "goldie", 150, 3.5),),
    ),
    "activationChanged": frames.ActivationChanged("tip-0001", "queued", 2, 8.5),
    "modelToysChanged": frames.ModelToysChanged(
        (Toy("t1", "Lush", "lush", "", connected=True, battery=80),),
        (Level("level1", 3, 10, 8, 5.0),),
    ),
}
EXAMPLES: dict[str, ClientFrame | ServerFrame] = {**CLIENT_FRAMES, **SERVER_FRAMES}


def on_the_wire(name: str, codec: Codec) -> bytes | str:
    """The golden message, as a socket delivers it: bytes if binary, else text."""
    if codec.binary:
        return bytes.fromhex(GOLDEN[name]["msgpack"])
    return json.dumps(GOLDEN[name]["json"], separators=(",", ":"))


both = pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.subprotocol)


# ---- golden frames ---------------------------------------------------------------------------


def test_every_frame_has_its_golden_message() -> None:
    assert set(GOLDEN) == set(EXAMPLES)
    assert {type(frame) for frame in CLIENT_FRAMES.values()} == set(get_args(ClientFrame))
    assert {type(frame) for frame in SERVER_FRAMES.values()} == set(get_args(ServerFrame))


@both
@pytest.mark.parametrize("name", EXAMPLES)
def test_frame_is_encoded_as_it_ever_was(name: str, codec: Codec) -> None:
    expected = on_the_wire(name, codec)
    encoded = codec.encode(EXAMPLES[name])
    assert (encoded if codec.binary else encoded.decode()) == expected


@both
@pytest.mark.parametrize("name", CLIENT_FRAMES)
def test_client_frame_is_read(name: str, codec: Codec) -> None:
    assert codec.decode(on_the_wire(name, codec)) == CLIENT_FRAMES[name]


@both
@pytest.mark.parametrize("name", SERVER_FRAMES)
def test_server_frame_is_read(name: str, codec: Codec) -> None:
    read = codec.decode_server(on_the_wire(name, codec))
    assert type(read) is type(SERVER_FRAMES[name])
    assert codec.encode(read) == codec.encode(SERVER_FRAMES[name])


def test_default_encoding_comes_first() -> None:
    assert list(CODECS) == ["tiproom.v1.msgpack", "tiproom.v1.json"]
    assert CODECS[MSGPACK].binary
    assert not CODECS[JSON].binary


# ---- what is refused -------------------------------------------------------------------------


def refusal(codec: Codec, message: bytes | str) -> tuple[ErrorCode, str | None]:
    with pytest.raises(Refused) as caught:
        codec.decode(message)
    return caught.value.refusal.code, caught.value.refusal.field


def encoded(codec: Codec, value: Any) -> bytes | str:
    if codec.binary:
        return msgspec.msgpack.encode(value)
    return msgspec.json.encode(value).decode()


TIP = {"type": "tip", "ref": 3, "tipId": "tip-1", "broadcastId": "b", "amount": 5}
TOYS = {"type": "reportToys", "ref": 5}
SETTINGS = {"type": "reportSettings", "ref": 6}


@both
@pytest.mark.parametrize(
    ("value", "path"),
    [
        (TIP | {"ref": 0}, "ref"),
        (TIP | {"ref": -1}, "ref"),
        (TIP | {"ref": 2**53}, "ref"),
        (TIP | {"ref": "3"}, "ref"),
        (TIP | {"ref": None}, "ref"),
        (TIP | {"tipId": "a b"}, "tipId"),
        (TIP | {"tipId": "a\x00"}, "tipId"),
        (TIP | {"tipId": "x" * 65}, "tipId"),
        (TIP | {"amount": 0}, "amount"),
        (TIP | {"amount": 100_000}, "amount"),
        (TIP | {"amount": 5.5}, "amount"),
        (TIP | {"amount": "5"}, "amount"),
        (TIP | {"isVip": True}, "isVip"),
        (TIP | {"membershipTier": "VIP_GOLD"}, "membershipTier"),
        (TIP | {"tip_id": "tip-1"}, "tip_id"),
        ({key: TIP[key] for key in TIP if key != "amount"}, "amount"),
        ({"type": "connect", "ref": 1, "token": "x" * 4097}, "token"),
        ({"type": "connect", "ref": 1, "token": "x", "integration": "BASIC_SDK"}, "integration"),
        ({"type": "connect", "ref": 1, "token": "x", "resume": {"epoch": "e"}}, "resume.offset"),
        (
            {"type": "connect", "ref": 1, "token": "x", "resume": {"epoch": "e", "offset": -1}},
            "resume.offset",
        ),
        ({"type": "setPreferences", "ref": 1, "feelAllTips": 1}, "feelAllTips"),
        ({"type": "commandFailed", "commandId": "c", "code": "x" * 65}, "code"),
        ({"type": "commandFailed", "commandId": "c", "code": "nul\x00"}, "code"),
        (TOYS | {"toys": [{"id": "t1"}] * 17}, "toys"),
        (TOYS | {"toys": [{"id": "t1"}, {"name": "Lush"}]}, "toys[1].id"),
        (TOYS | {"toys": [{"id": "nul\x00"}]}, "toys[0].id"),
        (TOYS | {"toys": [{"id": "t1", "battery": []}]}, "toys[0].battery"),
        (SETTINGS | {"settings": {"levels": {"level1": 5}}}, "settings.levels[...]"),
        (SETTINGS | {"settings": {"levels": {"x" * 65: {}}}}, "settings.levels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_field_is_named_by_its_path(codec: Codec, value: Any, path: str) -> None:
    assert refusal(codec, encoded(codec, value)) == (ErrorCode.INVALID_FIELD, path)


@both
@pytest.mark.parametrize(
    "value", [{}, {"ref": 1}, {"type": "nothing"}, {"type": 5}, {"type": None}, {"type": "ok"}]
)
def test_unknown_frame(codec: Codec, value: Any) -> None:
    assert refusal(codec, encoded(codec, value)) == (ErrorCode.UNKNOWN_FRAME, "type")


@both
@pytest.mark.parametrize("value", [None, 5, "tip", [], [TIP], True, 1.5])
def test_message_that_is_no_object(codec: Codec, value: Any) -> None:
    assert refusal(codec, encoded(codec, value)) == (ErrorCode.MALFORMED_FRAME, None)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "tip",
        "nan",
        '{"type":"stopToys","ref":1} {}',
        "[" * 100_000,
        '{"ref":' * 50_000,
        '{"type":"commandAccepted","commandId":"\\ud800"}',
        '{"type":"commandAccepted","commandId":"\ud800"}',
        "\ufeff{}",
    ],
    ids=lambda message: ascii(message)[:30],
)
def test_malformed_json(message: str) -> None:
    codec = CODECS[JSON]
    assert refusal(codec, message) == (ErrorCode.MALFORMED_FRAME, None)
    assert codec.ref_of(message) is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        b"\x81\x01\x02",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\x81\xa3ref" * 50_000,
        b"\xd6\xff\x00\x00\x00\x00",
        b"\x82\xa4type\xafcommandAccepted\xa9commandId\xa3\xed\xa0\x80",
        msgspec.msgpack.encode({"type": "stopToys", "ref": 1}) + b"\x80",
    ],
    ids=lambda message: message[:12].hex(),
)
def test_malformed_messagepack(message: bytes) -> None:
    codec = CODECS[MSGPACK]
    assert refusal(codec, message) == (ErrorCode.MALFORMED_FRAME, None)
    assert codec.ref_of(message) is None


def test_text_and_binary_do_not_mix() -> None:
    assert refusal(CODECS[JSON], msgspec.json.encode(TIP))[0] is ErrorCode.MALFORMED_FRAME
    assert refusal(CODECS[MSGPACK], "text")[0] is ErrorCode.MALFORMED_FRAME
    assert CODECS[JSON].ref_of(msgspec.json.encode(TIP)) is None
    assert CODECS[MSGPACK].ref_of("text") is None


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("surprise", "surprise"),
        ("a b", None),
        ("<script>", None),
        ("x" * 65, None),
        ("`", None),
        ("", None),
        ("naïve", None),
    ],
)
@both
def test_unknown_field_is_given_back_only_where_it_looks_like_one(
    codec: Codec, name: str, path: str | None
) -> None:
    assert refusal(codec, encoded(codec, TIP | {name: 1})) == (ErrorCode.INVALID_FIELD, path)


@both
def test_answer_quotes_no_value(codec: Codec) -> None:
    secret = "s3cret value"
    with pytest.raises(Refused) as caught:
        codec.decode(encoded(codec, TIP | {"type": secret, "tipId": secret}))
    assert secret not in repr(caught.value.refusal)
    assert secret not in str(caught.value)


# ---- the ref of a message that is no frame ---------------------------------------------------


@both
@pytest.mark.parametrize(
    ("value", "ref"),
    [
        (TIP | {"amount": 0}, 3),
        ({"type": "nothing", "ref": 2**53 - 1}, 2**53 - 1),
        ({"ref": 1, "deep": [[{"er": []}]]}, 1),
        ({"type": "tip"}, None),
        ({"ref": 0}, None),
        ({"ref": 2**53}, None),
        ({"ref": 2**64 - 1}, None),
        ({"ref": -1}, None),
        ({"ref": 1.5}, None),
        ({"ref": "1"}, None),
        ({"ref": True}, None),
        ({"ref": None}, None),
        ([1], None),
    ],
)
def test_ref_that_an_answer_can_carry(codec: Codec, value: Any, ref: int | None) -> None:
    assert codec.ref_of(encoded(codec, value)) == ref


def test_ref_too_large_for_messagepack_is_no_ref() -> None:
    assert CODECS[JSON].ref_of('{"ref":' + "9" * 30 + "}") is None


# ---- whatever comes --------------------------------------------------------------------------


def read_or_refuse(codec: Codec, message: bytes | str) -> None:
    """Any message is a frame or is refused; either way an answer can be encoded."""
    try:
        frame = codec.decode(message)
    except Refused as refused:
        ref = codec.ref_of(message)
        answer = frames.Error(
            ref, refused.refusal.code, refused.refusal.text, False, refused.refusal.field
        )
        assert codec.decode_server(as_sent(codec, codec.encode(answer))) == answer
    else:
        assert isinstance(frame, ClientFrame)
        assert codec.decode(as_sent(codec, codec.encode(frame))) == frame


def as_sent(codec: Codec, payload: bytes) -> bytes | str:
    return payload if codec.binary else payload.decode()


@given(st.binary(max_size=80))
def test_any_bytes(message: bytes) -> None:
    read_or_refuse(CODECS[MSGPACK], message)


@given(st.text(max_size=80))
def test_any_text(message: str) -> None:
    read_or_refuse(CODECS[JSON], message)


MESSAGES = [CODECS[MSGPACK].encode(frame) for frame in CLIENT_FRAMES.values()]


@given(st.sampled_from(MESSAGES), st.data())
def test_damaged_messages(message: bytes, data: st.DataObject) -> None:
    """A byte changed, or cut short: closer to a frame than random bytes ever are."""
    position = data.draw(st.integers(0, len(message) - 1))
    byte = data.draw(st.integers(0, 255))
    read_or_refuse(CODECS[MSGPACK], message[:position] + bytes([byte]) + message[position + 1 :])
    read_or_refuse(CODECS[MSGPACK], message[:position])


values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "EXTENSION", "tip-1", "nul\x00", "a b", "x" * 70]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "levels", "offset", "type"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FRAME_TAGS = sorted({str(each.__struct_config__.tag) for each in get_args(ClientFrame)})
FIELD_NAMES = sorted(
    {name for each in get_args(ClientFrame) for name in each.__struct_encode_fields__}
)


@given(st.sampled_from(FRAME_TAGS), st.dictionaries(st.sampled_from(FIELD_NAMES), values))
@both
def test_any_values_in_known_fields(codec: Codec, tag: str, fields: dict[str, Any]) -> None:
    read_or_refuse(codec, encoded(codec, {"type": tag, **fields}))


def test_field_path_of_a_hostile_name_stays_inside_the_message() -> None:
    """The name of an unknown field may imitate msgspec's own words; it is only ever a path."""
    for name in ("x` - at `$.type", "` - at `$.tipId", "x - at `$.amount`"):
        with pytest.raises(msgspec.ValidationError) as caught:
            msgspec.json.decode(msgspec.json.encode(TIP | {name: 1}), type=ClientFrame)
        path = field_path(caught.value)
        assert path is None or re.fullmatch(r"[A-Za-z.]{1,32}", path)
