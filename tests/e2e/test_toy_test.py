"""A model tries a row of her own menu on her own toy, over HTTP and over her socket."""

from typing import Any

import pytest

from tests.e2e.site import MODEL, ROOM, SERVICE, Site, token

PATH = "/lovense/test-activation"
ROW = {"rowId": "menu-15"}
ROW_AMOUNT = 15
"""As the demo's menu has it."""


def try_row(site: Site, body: Any = ROW, who: str = "model") -> tuple[int, dict[str, Any]]:
    answer = site.request("POST", PATH, who, json=body)
    return answer.status_code, answer.json()


def test_her_page_alone_gets_it_and_no_money_moves(site: Site) -> None:
    money = "SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM outbox)"
    before = site.query(money)
    with site.model() as model, site.viewer("dee", toy=True) as viewer:
        status, started = try_row(site)
        assert status == 200, started
        command = model.until("testCommand")
        assert command["commandId"] == started["testId"]
        assert command["call"]["args"] == [ROW_AMOUNT, "Test"]
        assert "tipId" not in command
        model.run(command)
        assert viewer.so_far("testCommand") == viewer.so_far("command") == []
    assert site.query(money) == before


def test_over_her_socket_it_is_the_same(site: Site) -> None:
    with site.model() as model, site.viewer("dee", toy=True) as viewer:
        assert viewer.ask("testActivation", **ROW)["code"] == "FORBIDDEN"
        answer = model.ask("testActivation", **ROW)
        assert answer["type"] == "ok", answer
        command = model.until("testCommand")
        assert command["commandId"] == answer["result"]["testId"]
        model.run(command)
        assert viewer.so_far("testCommand") == []


def test_its_audit_says_that_it_was_a_test(site: Site) -> None:
    with site.model() as model:
        status, started = try_row(site)
        assert status == 200, started
        model.run(model.until("testCommand"))
        model.ask("resumeToys")  # the answer comes behind all that the room was told before
        site.request("GET", "/admin/lovense/dead-letters", "admin")  # waits for the audit
    rows = site.query(
        """SELECT state, tip_id, target_id FROM activation_audit
        WHERE test_id = $1::uuid ORDER BY seq""",
        started["testId"],
    )
    assert [tuple(row) for row in rows] == [("SENT", None, MODEL), ("ACTIVATED", None, MODEL)]


def test_it_is_refused_without_her_page_and_while_toys_are_stopped(site: Site) -> None:
    status, problem = try_row(site)
    assert (status, problem["code"]) == (409, "TOY_UNAVAILABLE")
    with site.model() as model:
        model.ask("stopToys")
        status, problem = try_row(site)
        assert (status, problem["code"]) == (409, "TOYS_PAUSED")


def test_nobody_else_may(site: Site) -> None:
    for who in ("alex", "admin"):
        status, problem = try_row(site, who=who)
        assert (status, problem["code"]) == (403, "FORBIDDEN")
    for bearer in (SERVICE, token("model", "model-2"), token("moderator", "mo")):
        answer = site.request("POST", PATH, bearer=bearer, json=ROW)
        assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


def test_her_own_row_decides_whatever_room_her_token_names(site: Site) -> None:
    elsewhere = token("model", MODEL, room="room-9")
    with site.model() as model:
        answer = site.request("POST", PATH, bearer=elsewhere, json=ROW)
        assert answer.status_code == 200, answer.text
        model.run(model.until("testCommand"))
    assert site.request("GET", "/admin/rooms/{room_id}", "admin").json()["room"]["roomId"] == ROOM


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 422, "INVALID_FIELD", "rowId"),
        ({"rowId": ""}, 422, "INVALID_FIELD", "rowId"),
        ({"rowId": 5}, 422, "INVALID_FIELD", "rowId"),
        ({"rowId": "a\0"}, 422, "INVALID_FIELD", "rowId"),
        ({**ROW, "userId": "alex"}, 422, "INVALID_FIELD", None),
        ({"rowId": "no-such-row"}, 404, "MENU_ROW_UNKNOWN", "rowId"),
        ([], 422, "INVALID_FIELD", None),
    ],
)
def test_a_bad_body(site: Site, body: Any, status: int, code: str, field: str | None) -> None:
    answered, problem = try_row(site, body)
    assert (answered, problem["code"]) == (status, code)
    assert field is None or problem["field"] == field
