"""A model's tip menu and patterns over HTTP, and what a change does to a live room."""

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from tests.e2e.members import Member
from tests.e2e.site import LEVELS, MODEL, Site, new_tip_id, token

MENU, ROW, ORDER = "/lovense/tip-menu", "/lovense/tip-menu/{row_id}", "/lovense/tip-menu/reorder"
COVERAGE = "/lovense/tip-menu/coverage"
PATTERNS, PATTERN = "/lovense/patterns", "/lovense/patterns/{pattern_id}"

LEVEL: Final = {"type": "LEVEL", "strength": 5, "durationSec": 3}
TIDE: Final = {"values": [1, 20, 3], "intervalMs": 250}
GOOD_ROW: Final = {
    "tipAmount": 1_234,
    "vibration": LEVEL,
    "description": "A test's own",
    "active": True,
}
GOOD_PATTERN: Final = {"name": "Tide", "pattern": TIDE}
DEMO_AMOUNTS: Final = [15, 30, 60, 100, 200, 500]


@pytest.fixture(autouse=True)
def _as_it_was(site: Site) -> Iterator[None]:
    """The demo's menu has its rows in their order afterwards, and the library is empty."""
    before = [row["rowId"] for row in menu(site)]
    yield
    for row in menu(site):
        if row["rowId"] not in before:
            assert delete(site, ROW, row_id=row["rowId"]).status_code == 200
    assert send(site, "PUT", ORDER, {"rowIds": before}).status_code == 200
    for pattern in patterns(site):
        assert delete(site, PATTERN, pattern_id=pattern["patternId"]).status_code == 200


def menu(site: Site) -> list[dict[str, Any]]:
    rows = site.request("GET", MENU, "model").json()["rows"]
    assert isinstance(rows, list)
    return rows


def patterns(site: Site) -> list[dict[str, Any]]:
    found = site.request("GET", PATTERNS, "model").json()["patterns"]
    assert isinstance(found, list)
    return found


def send(site: Site, method: str, path: str, body: Any, **ids: str) -> httpx.Response:
    return site.request(method, path, "model", json=body, ids=ids)


def delete(site: Site, path: str, **ids: str) -> httpx.Response:
    return site.request("DELETE", path, "model", ids=ids)


def add_row(site: Site, **changes: Any) -> dict[str, Any]:
    answer = send(site, "POST", MENU, GOOD_ROW | changes)
    assert answer.status_code == 200, answer.text
    row = answer.json()
    assert isinstance(row, dict)
    return row


def add_pattern(site: Site) -> str:
    answer = send(site, "POST", PATTERNS, GOOD_PATTERN)
    assert answer.status_code == 200, answer.text
    pattern_id = answer.json()["patternId"]
    assert isinstance(pattern_id, str)
    return pattern_id


# ---- rows --------------------------------------------------------------------------------------


def test_the_menu_of_the_demo(site: Site) -> None:
    rows = menu(site)
    assert [row["tipAmount"] for row in rows] == DEMO_AMOUNTS
    assert [row["order"] for row in rows] == list(range(len(DEMO_AMOUNTS)))
    assert rows[0] == {
        "rowId": "menu-15",
        "tipAmount": 15,
        "vibration": LEVEL,
        "description": "A gentle hello",
        "active": True,
        "order": 0,
        "priority": None,
        "deviceIds": [],
    }
    by_admin = site.request("GET", MENU, "admin", params={"modelId": MODEL})
    assert by_admin.json()["rows"] == rows


@pytest.mark.parametrize(
    ("vibration", "stored"),
    [
        ({"type": "LEVEL", "strength": 20, "durationSec": 3600}, None),
        (
            {"type": "PRESET", "presetName": "earthquake", "durationSec": 1},
            {"type": "PRESET", "presetName": "earthquake", "durationSec": 1, "strength": None},
        ),
        ({"type": "PATTERN", "pattern": TIDE, "durationSec": 9}, None),
    ],
)
def test_a_row_is_added_changed_and_removed(
    site: Site, vibration: dict[str, Any], stored: Any
) -> None:
    row = add_row(site, vibration=vibration, priority=20, deviceIds=["toy-1", "toy-2"])
    assert row["vibration"] == (stored or vibration)
    assert (row["priority"], row["deviceIds"], row["order"]) == (20, ["toy-1", "toy-2"], 6)
    assert menu(site)[-1] == row

    changed = send(site, "PUT", ROW, GOOD_ROW | {"active": False}, row_id=row["rowId"])
    assert changed.status_code == 200
    assert changed.json() == GOOD_ROW | {
        "rowId": row["rowId"],
        "active": False,
        "order": 6,
        "priority": None,
        "deviceIds": [],
    }
    assert menu(site)[-1] == changed.json()

    assert delete(site, ROW, row_id=row["rowId"]).status_code == 200
    assert len(menu(site)) == len(DEMO_AMOUNTS)
    gone = delete(site, ROW, row_id=row["rowId"])
    assert (gone.status_code, gone.json()["code"]) == (404, "MENU_ROW_UNKNOWN")


BAD_ROWS: Final = [
    ({"tipAmount": 0, "description": "x" * 201}, {"tipAmount", "description"}),
    ({"tipAmount": 100_000, "active": "yes", "x": 1}, {"tipAmount", "active", "x"}),
    ({"priority": 0, "deviceIds": [""]}, {"priority", "deviceIds[0]"}),
    (
        {"vibration": {"type": "LEVEL", "strength": 0, "durationSec": 3601}, "priority": 21},
        {"vibration.strength", "vibration.durationSec", "priority"},
    ),
    (
        {"vibration": {"type": "PRESET", "presetName": "rain", "durationSec": 0}},
        {"vibration.presetName", "vibration.durationSec"},
    ),
    (
        {
            "vibration": {
                "type": "PATTERN",
                "durationSec": 5,
                "pattern": {"values": [5, 21], "intervalMs": 100},
            },
            "description": "nul\0",
        },
        {"vibration.pattern.values[1]", "vibration.pattern.intervalMs", "description"},
    ),
    ({"vibration": {"type": "SHAKE"}, "tipAmount": "15"}, {"vibration.type", "tipAmount"}),
]


@pytest.mark.parametrize(("change", "fields"), BAD_ROWS)
def test_every_bad_field_of_a_row_is_named_and_nothing_changes(
    site: Site, change: dict[str, Any], fields: set[str]
) -> None:
    before = menu(site)
    for method, path in (("POST", MENU), ("PUT", ROW)):
        answer = send(site, method, path, GOOD_ROW | change, row_id="menu-15")
        assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_FIELD")
        assert {error["field"] for error in answer.json()["errors"]} == fields
    assert menu(site) == before


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b'"\\ud800"', 400),
        (b"", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b" " * 70_000, 413),
    ],
)
def test_a_body_that_is_no_row(site: Site, content: bytes, status: int) -> None:
    for method, path in (("POST", MENU), ("PUT", ROW), ("POST", PATTERNS), ("PUT", PATTERN)):
        assert site.request(method, path, "model", content=content).status_code == status


def test_an_amount_buys_one_thing(site: Site) -> None:
    before = menu(site)
    row = add_row(site, tipAmount=15, active=False)
    taken = GOOD_ROW | {"tipAmount": 15}
    for method, path in (("POST", MENU), ("PUT", ROW)):
        answer = send(site, method, path, taken, row_id=row["rowId"])
        assert (answer.status_code, answer.json()["code"]) == (409, "TIP_AMOUNT_TAKEN")
        assert answer.json()["field"] == "tipAmount"
    assert menu(site) == [*before, row]


def test_a_menu_has_an_end(site: Site) -> None:
    site.query(
        "INSERT INTO tip_menu_rows SELECT model_id, 'full-' || n, 2000 + n, vibration, '', true, n "
        "FROM tip_menu_rows, generate_series(6, 49) n WHERE row_id = 'menu-15'"
    )
    try:
        assert len(menu(site)) == 50
        answer = send(site, "POST", MENU, GOOD_ROW)
        assert (answer.status_code, answer.json()["code"]) == (409, "LIMIT_REACHED")
        assert len(menu(site)) == 50
    finally:
        site.query("DELETE FROM tip_menu_rows WHERE row_id LIKE 'full-%'")


def test_who_changed_the_menu_is_written_down(site: Site) -> None:
    row = add_row(site)
    body = GOOD_ROW | {"tipAmount": 4_321}
    changed = site.request(
        "PUT", ROW, "admin", json=body, ids={"row_id": row["rowId"]}, params={"modelId": MODEL}
    )
    assert changed.status_code == 200
    assert delete(site, ROW, row_id=row["rowId"]).status_code == 200
    changes = site.query(
        "SELECT owner_id, old ->> 'tipAmount' AS old, new ->> 'tipAmount' AS new, who, at "
        "FROM settings_history WHERE name = $1 ORDER BY change_id",
        f"tipMenu.{row['rowId']}",
    )
    assert [(each["owner_id"], each["old"], each["new"], each["who"]) for each in changes] == [
        (MODEL, None, "1234", MODEL),
        (MODEL, "1234", "4321", "demo-admin"),
        (MODEL, "4321", None, MODEL),
    ]


# ---- whose menu --------------------------------------------------------------------------------

EVERYTHING: Final = [
    ("GET", MENU, None),
    ("POST", MENU, GOOD_ROW),
    ("PUT", ROW, GOOD_ROW),
    ("DELETE", ROW, None),
    ("PUT", ORDER, {"rowIds": []}),
    ("GET", COVERAGE, None),
    ("GET", PATTERNS, None),
    ("POST", PATTERNS, GOOD_PATTERN),
    ("PUT", PATTERN, GOOD_PATTERN),
    ("DELETE", PATTERN, None),
]


@pytest.mark.parametrize(("method", "path", "body"), EVERYTHING)
def test_a_model_has_her_own_menu_and_staff_name_the_model(
    site: Site, method: str, path: str, body: Any
) -> None:
    before = menu(site)
    ids = {"row_id": "menu-15"}
    for who, model, status, code in [
        ("model", "model-2", 403, "FORBIDDEN"),
        ("admin", None, 422, "INVALID_FIELD"),
        ("admin", "nobody", 404, "USER_UNKNOWN"),
        ("admin", "no id", 422, "INVALID_FIELD"),
    ]:
        params = {} if model is None else {"modelId": model}
        answer = site.request(method, path, who, json=body, params=params, ids=ids)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["field"] == "modelId"
    unregistered = token("model", "model-9")
    answer = site.request(method, path, bearer=unregistered, json=body, ids=ids)
    assert (answer.status_code, answer.json()["code"]) == (404, "USER_UNKNOWN")
    assert menu(site) == before


# ---- live --------------------------------------------------------------------------------------


def options(member: Member) -> list[int]:
    """The amounts that the viewer's page offers after its next change of the room."""
    return [each["amount"] for each in member.until("roomChanged")["room"]["tipOptions"]]


def test_a_change_reaches_viewers_at_once_and_the_next_tip_plays_it(site: Site) -> None:
    with site.model() as model, site.viewer("alex") as alex:
        vibration = {"type": "LEVEL", "strength": 15, "durationSec": 2}
        row = add_row(site, vibration=vibration, tipAmount=120)
        shown = alex.until("roomChanged")["room"]["tipOptions"]
        assert shown[-1] == {
            "amount": 120,
            "description": "A test's own",
            "hasVibration": True,
        }
        tip_id = new_tip_id()
        assert alex.tip(tip_id, 120)["result"]["itemName"] == "A test's own"
        command = model.until("command", tipId=tip_id)
        assert command["call"]["args"] == [120, "alex"]
        assert command["durationSec"] == 2
        model.run(command)
        event = site.trace(tip_id)["event"]
        assert event["item"]["itemId"] == row["rowId"]
        assert event["item"]["vibration"] == {
            "type": "LEVEL",
            "strength": 15,
            "durationSec": 2,
            "presetName": None,
            "pattern": None,
        }

        send(site, "PUT", ROW, GOOD_ROW | {"tipAmount": 121}, row_id=row["rowId"])
        assert options(alex) == [*DEMO_AMOUNTS, 121]
        ids = [row["rowId"], *(f"menu-{amount}" for amount in DEMO_AMOUNTS)]
        ordered = send(site, "PUT", ORDER, {"rowIds": ids})
        assert [each["rowId"] for each in ordered.json()["rows"]] == ids
        assert options(alex) == [121, *DEMO_AMOUNTS]
        delete(site, ROW, row_id=row["rowId"])
        assert options(alex) == DEMO_AMOUNTS


def test_an_order_of_other_rows_is_refused(site: Site) -> None:
    before = menu(site)
    ids = [row["rowId"] for row in before]
    answer = send(site, "PUT", ORDER, {"rowIds": [*ids[1:], ids[1], "nobody"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "MENU_MISMATCH")
    assert [error["field"] for error in answer.json()["errors"]] == [
        "rowIds[5]",
        "rowIds[6]",
        "rowIds",
    ]
    bad = send(site, "PUT", ORDER, {"rowIds": ["a b"], "x": 1})
    assert {error["field"] for error in bad.json()["errors"]} == {"rowIds[0]", "x"}
    assert menu(site) == before


@pytest.mark.parametrize(("path", "allowed"), [(ORDER, {"PUT"}), (COVERAGE, {"GET", "HEAD"})])
def test_a_word_of_ours_is_no_row(site: Site, path: str, allowed: set[str]) -> None:
    answer = site.http.delete(path)
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert {each.strip() for each in answer.headers["allow"].split(",")} - {"OPTIONS"} == allowed


# ---- patterns ----------------------------------------------------------------------------------


def test_a_pattern_is_stored_changed_copied_and_removed(site: Site) -> None:
    presets = site.request("GET", PATTERNS, "model").json()["presets"]
    assert [preset["name"] for preset in presets] == ["pulse", "wave", "fireworks", "earthquake"]
    assert all(preset["description"] for preset in presets)

    pattern_id = add_pattern(site)
    assert patterns(site) == [{"patternId": pattern_id, **GOOD_PATTERN}]
    copied = {"type": "STORED_PATTERN", "patternId": pattern_id, "durationSec": 5}
    row = add_row(site, vibration=copied)
    assert row["vibration"] == {"type": "PATTERN", "pattern": TIDE, "durationSec": 5}

    changed = {"name": "x" * 65, "pattern": {"values": [0] * 50, "intervalMs": 1000}}
    answer = send(site, "PUT", PATTERN, changed, pattern_id=pattern_id)
    assert answer.json() == {"patternId": pattern_id, **changed}
    assert patterns(site) == [answer.json()]
    assert menu(site)[-1] == row

    assert delete(site, PATTERN, pattern_id=pattern_id).status_code == 200
    assert patterns(site) == []
    assert menu(site)[-1] == row
    for method in ("PUT", "DELETE"):
        gone = send(site, method, PATTERN, changed, pattern_id=pattern_id)
        assert (gone.status_code, gone.json()["code"]) == (404, "PATTERN_UNKNOWN")
    answer = send(site, "POST", MENU, GOOD_ROW | {"tipAmount": 4_321, "vibration": copied})
    assert (answer.status_code, answer.json()["field"]) == (404, "vibration.patternId")


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"name": "", "pattern": None}, {"name", "pattern"}),
        (
            {"name": "x" * 66, "pattern": {"values": [5] * 51, "intervalMs": 100}, "id": "x"},
            {"name", "pattern.values", "pattern.intervalMs", "id"},
        ),
    ],
)
def test_every_bad_field_of_a_pattern_is_named_and_nothing_changes(
    site: Site, change: dict[str, Any], fields: set[str]
) -> None:
    pattern_id = add_pattern(site)
    for method, path in (("POST", PATTERNS), ("PUT", PATTERN)):
        answer = send(site, method, path, GOOD_PATTERN | change, pattern_id=pattern_id)
        assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_FIELD")
        assert {error["field"] for error in answer.json()["errors"]} == fields
    assert patterns(site) == [{"patternId": pattern_id, **GOOD_PATTERN}]


def test_a_library_has_an_end(site: Site) -> None:
    site.query(
        "INSERT INTO patterns SELECT $1, 'full-' || n, 'Tide', $2::json "
        "FROM generate_series(1, 100) n",
        MODEL,
        json.dumps(TIDE),
    )
    try:
        answer = send(site, "POST", PATTERNS, GOOD_PATTERN)
        assert (answer.status_code, answer.json()["code"]) == (409, "LIMIT_REACHED")
        assert len(patterns(site)) == 100
    finally:
        site.query("DELETE FROM patterns WHERE pattern_id LIKE 'full-%'")


# ---- coverage ----------------------------------------------------------------------------------


def coverage(site: Site, who: str = "model") -> Any:
    params = {"modelId": MODEL} if who == "admin" else {}
    answer = site.request("GET", COVERAGE, who, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def kinds(found: Any) -> dict[int, str]:
    return {row["tipAmount"]: row["kind"] for row in found["rows"]}


def test_without_her_page_nothing_is_known(site: Site) -> None:
    assert coverage(site) == {
        "known": False,
        "strengthMax": 20,
        "rows": [],
        "proposal": None,
    }
    with site.socket() as model:
        model.join(site.demo_token("model"), integration="EXTENSION", pageId="page-1")
        assert not coverage(site)["known"]
        model.ask("reportSettings", settings=None)
        found = coverage(site)
        assert found["known"]
        assert {(row["kind"], row["reason"]) for row in found["rows"]} == {
            ("impossible", "no_level_map")
        }


def test_what_her_settings_express_and_what_would_express_all(site: Site) -> None:
    settings = {
        "levels": {**LEVELS, "level3": {"min": 500, "max": 600, "time": "8", "vLevel": 16}},
        "special": {"pulse": {"enable": True, "token": "30"}},
    }
    with site.socket() as model:
        model.join(site.demo_token("model"), integration="EXTENSION", pageId="page-1")
        model.ask("reportSettings", settings=settings)
        found = coverage(site)
        assert found == coverage(site, "admin")
        assert kinds(found) == {
            15: "nearest", 30: "nearest", 60: "exact", 100: "impossible", 200: "nearest",
            500: "nearest",
        }  # fmt: skip
        by_amount = {row["tipAmount"]: row for row in found["rows"]}
        assert by_amount[15] == {
            "rowId": "menu-15",
            "tipAmount": 15,
            "description": "A gentle hello",
            "type": "LEVEL",
            "kind": "nearest",
            "amount": 15,
            "level": "level1",
            "strengthDifference": 0,
            "secondsDifference": 2.9,
            "reason": None,
            "belowMinimum": False,
        }
        assert by_amount[60]["amount"] == 500
        assert by_amount[100]["reason"] == "preset_unavailable"

        proposal = found["proposal"]
        assert proposal["specials"] == [{"name": "wave", "time": 10}]
        assert proposal["levels"][:2] == [
            {"name": "level1", "min": 15, "max": 30, "time": 3, "vLevel": 5},
            {"name": "level2", "min": 31, "max": 59, "time": 5, "vLevel": 10},
        ]
        settings["levels"] = {level.pop("name"): level for level in proposal["levels"]}
        settings["special"]["wave"] = {"enable": True, "token": 777, "time": 10}
        model.ask("reportSettings", settings=json.loads(json.dumps(settings)))
        applied = coverage(site)
        assert kinds(applied) == dict.fromkeys(DEMO_AMOUNTS, "exact") | {200: "nearest"}
        assert applied["proposal"]["specials"] == []
    assert not coverage(site)["known"]
