"""The canonical event: the specification's payload, byte for byte, and everything it refuses."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from protocol import tip_activated
from protocol.codec import field_path
from protocol.tip_activated import (
    MembershipTier,
    ModelToy,
    TipperToy,
    VipViewerToy,
    decode,
    encode,
    format_timestamp,
    parse_timestamp,
    target_type,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "tip_activated.json").read_text())

FieldPath = tuple[str | int, ...]


def changed(path: FieldPath, value: Any) -> bytes:
    """The golden event with one field set to `value`."""
    event = copy.deepcopy(GOLDEN)
    parent(event, path)[path[-1]] = value
    return json.dumps(event).encode()


def parent(event: Any, path: FieldPath) -> Any:
    for step in path[:-1]:
        event = event[step]
    return event


def fields(value: Any, path: FieldPath = ()) -> Iterator[FieldPath]:
    """The path of every field of every object in `value`."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        if isinstance(value, dict):
            yield (*path, key)
        if isinstance(inner, dict | list):
            yield from fields(inner, (*path, key))


def dotted(path: FieldPath) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def refused_path(data: bytes) -> str | None:
    with pytest.raises(msgspec.ValidationError) as caught:
        decode(data)
    return field_path(caught.value)


# ---- the golden event ------------------------------------------------------------------------


def test_golden_event_comes_back_byte_for_byte() -> None:
    compact = json.dumps(GOLDEN, separators=(",", ":")).encode()
    assert encode(decode(compact)) == compact


def test_golden_event_is_read_as_what_it_means() -> None:
    event = decode(json.dumps(GOLDEN))
    assert event.tipper.membership_tier is MembershipTier.VIP_GOLD
    assert event.item.vibration is not None
    assert event.item.vibration.preset_name == "earthquake"
    assert event.item.vibration.strength == 16
    assert event.routing.targets == (
        ModelToy("model-aurora"),
        TipperToy("viewer-gold"),
        VipViewerToy("viewer-diamond"),
    )
    assert [target_type(target) for target in event.routing.targets] == [
        "MODEL_TOY",
        "TIPPER_TOY",
        "VIP_VIEWER_TOY",
    ]
    assert [target.owner_id for target in event.routing.targets] == [
        "model-aurora",
        "viewer-gold",
        "viewer-diamond",
    ]


def test_fields_come_out_in_the_specified_order_whatever_order_they_came_in() -> None:
    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reverse(value[key]) for key in reversed(value)}
        return [reverse(each) for each in value] if isinstance(value, list) else value

    compact = json.dumps(GOLDEN, separators=(",", ":")).encode()
    assert encode(decode(json.dumps(reverse(GOLDEN)))) == compact


def test_event_without_vibration_and_targets_comes_back() -> None:
    event = copy.deepcopy(GOLDEN)
    event["item"]["vibration"] = None
    event["routing"]["targets"] = []
    compact = json.dumps(event, separators=(",", ":")).encode()
    assert encode(decode(compact)) == compact


def test_event_with_a_pattern_comes_back() -> None:
    compact = changed(
        ("item", "vibration"),
        {
            "type": "PATTERN",
            "strength": None,
            "durationSec": 8,
            "presetName": None,
            "pattern": {"values": [0, 20, 5], "intervalMs": 200},
        },
    )
    assert json.loads(encode(decode(compact))) == json.loads(compact)


# ---- what is refused, with its path ----------------------------------------------------------


@pytest.mark.parametrize("path", list(fields(GOLDEN)), ids=dotted)
def test_missing_field_is_refused_with_its_path(path: FieldPath) -> None:
    event = copy.deepcopy(GOLDEN)
    del parent(event, path)[path[-1]]
    assert refused_path(json.dumps(event).encode()) == dotted(path)


OBJECTS = [path for path in fields(GOLDEN) if isinstance(parent(GOLDEN, path)[path[-1]], dict)]


@pytest.mark.parametrize("path", [(), *OBJECTS, ("routing", "targets", 0)], ids=dotted)
def test_unknown_field_is_refused_with_its_path(path: FieldPath) -> None:
    assert refused_path(changed((*path, "surprise"), 1)) == dotted((*path, "surprise"))


@pytest.mark.parametrize(
    "path",
    [
        ("eventName",),
        ("ledger", "status"),
        ("model", "lovenseMode"),
        ("model", "viewerSyncMode"),
        ("tipper", "membershipTier"),
        ("transaction", "currency"),
        ("item", "itemType"),
        ("item", "vibration", "type"),
        ("item", "vibration", "presetName"),
        ("routing", "targets", 0, "type"),
    ],
    ids=dotted,
)
@pytest.mark.parametrize("value", ["NEW_VALUE", "", 0], ids=repr)
def test_unknown_enum_value_is_refused_with_its_path(path: FieldPath, value: Any) -> None:
    assert refused_path(changed(path, value)) == dotted(path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("eventId",), "not-a-uuid"),
        (("tipId",), ""),
        (("tipId",), "a b"),
        (("tipId",), "-leading"),
        (("tipId",), "nul\x00"),
        (("tipId",), "line\n"),
        (("tipId",), "x" * 65),
        (("tipId",), 7),
        (("tipper", "username"), ""),
        (("tipper", "username"), "nul\x00"),
        (("item", "itemName"), "nul\x00"),
        (("item", "itemName"), "x" * 201),
        (("transaction", "amount"), 0),
        (("transaction", "amount"), -5),
        (("transaction", "amount"), 100_000),
        (("transaction", "amount"), 150.0),
        (("transaction", "amount"), "150"),
        (("transaction", "amount"), True),
        (("item", "bonusPoints"), -1),
        (("item", "vibration", "strength"), 21),
        (("item", "vibration", "strength"), -1),
        (("item", "vibration", "durationSec"), 0),
        (("item", "vibration", "durationSec"), 3601),
        (("item", "vibration", "durationSec"), None),
        (("viewerSync", "tipperToyConnected"), 1),
        (("routing", "targets", 0, "modelId"), "a b"),
        (("ledger",), None),
    ],
    ids=lambda value: dotted(value) if isinstance(value, tuple) else ascii(value)[:20],
)
def test_value_out_of_range_is_refused_with_its_path(path: FieldPath, value: Any) -> None:
    assert refused_path(changed(path, value)) == dotted(path)


@pytest.mark.parametrize("tier", list(MembershipTier))
@pytest.mark.parametrize("is_vip", [True, False])
def test_is_vip_that_contradicts_the_tier_is_refused(tier: MembershipTier, is_vip: bool) -> None:
    event = copy.deepcopy(GOLDEN)
    event["tipper"] |= {"membershipTier": tier.value, "isVip": is_vip}
    data = json.dumps(event).encode()
    if is_vip is (tier.value != "FREE"):
        assert decode(data).tipper.is_vip is is_vip
    else:
        assert refused_path(data) == "tipper.isVip"


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '"TipActivated"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(text)


# ---- timestamps ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-01T20:15:30Z",
        "2026-07-01T20:15:30+00:00",
        "2026-07-01T20:15:30-04:00",
        "2026-07-01T20:15:30-0500",
        "2026-07-01T20:15:30-05",
        "2026-07-01T20:15:30",
        "2026-07-01T20:15:30.5-05:00",
        "2026-07-01T20:15:30.000-05:00",
        "2026-07-01 20:15:30-05:00",
        "2026-07-01t20:15:30-05:00",
        "2026-7-1T20:15:30-05:00",
        "20260701T201530-05:00",
        "2026-07-01T20:15-05:00",
        "2026-07-01T20:15:30-05:00\n",
        " 2026-07-01T20:15:30-05:00",
        "٢٠٢٦-07-01T20:15:30-05:00",
        "2026-02-29T20:15:30-05:00",
        "2026-13-01T20:15:30-05:00",
        "2026-07-01T24:00:01-05:00",
        "2026-07-01T20:15:60-05:00",
        "0000-07-01T20:15:30-05:00",
        "9999-12-31T23:59:59-05:00",
        "",
    ],
)
def test_any_other_form_of_timestamp_is_refused(text: str) -> None:
    assert refused_path(changed(("timestamp",), text)) == "timestamp"
    with pytest.raises(ValueError, match="timestamp"):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-15T12:00:00-05:00", datetime(2026, 1, 15, 17, tzinfo=UTC)),
        ("2026-07-15T12:00:00-05:00", datetime(2026, 7, 15, 17, tzinfo=UTC)),
        ("2026-12-31T23:59:59-05:00", datetime(2027, 1, 1, 4, 59, 59, tzinfo=UTC)),
        ("2024-02-29T00:00:00-05:00", datetime(2024, 2, 29, 5, tzinfo=UTC)),
    ],
)
def test_offset_is_the_same_in_winter_and_in_summer(text: str, utc: datetime) -> None:
    assert decode(changed(("timestamp",), text)).timestamp == text
    assert parse_timestamp(text) == utc
    assert format_timestamp(utc) == text
    elsewhere = utc.astimezone(timezone(timedelta(hours=9, minutes=30)))
    assert format_timestamp(elsewhere) == text


def test_fraction_of_a_second_is_cut_off() -> None:
    moment = datetime(2026, 7, 15, 17, 0, 0, 999_999, tzinfo=UTC)
    assert format_timestamp(moment) == "2026-07-15T12:00:00-05:00"


def test_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        format_timestamp(datetime(2026, 7, 15, 17))


# ---- JSON Schema -----------------------------------------------------------------------------

VALIDATOR = jsonschema.Draft202012Validator(
    tip_activated.json_schema(), format_checker=jsonschema.FormatChecker()
)


def test_schema_is_a_schema_and_accepts_the_golden_event() -> None:
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)
    VALIDATOR.validate(GOLDEN)


@pytest.mark.parametrize("path", list(fields(GOLDEN)), ids=dotted)
def test_schema_requires_every_field(path: FieldPath) -> None:
    event = copy.deepcopy(GOLDEN)
    del parent(event, path)[path[-1]]
    assert not VALIDATOR.is_valid(event)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("surprise",), 1),
        (("timestamp",), "2026-07-01T20:15:30Z"),
        (("timestamp",), "2026-07-01T20:15:30-05:00\n"),
        (("tipId",), "line\n"),
        (("ledger", "status"), "PENDING"),
        (("model", "lovenseMode"), "BASIC_SDK"),
        (("transaction", "amount"), 0),
        (("item", "vibration", "durationSec"), 0),
        (("routing", "targets", 0, "type"), "EVERYONE_TOY"),
    ],
)
def test_schema_refuses_what_the_decoder_refuses(path: FieldPath, value: Any) -> None:
    data = changed(path, value)
    assert not VALIDATOR.is_valid(json.loads(data))
    with pytest.raises(msgspec.ValidationError):
        decode(data)
