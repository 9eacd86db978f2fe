"""The model's page: one at a time, one integration, and what happens when it reloads or stops."""

from typing import Any

import pytest

from tests.e2e.members import WebsocketsSocket
from tests.e2e.site import MODEL, Site, new_tip_id

FINAL_STATES = {"ACTIVATED", "FAILED", "EXPIRED", "SKIPPED", "MERGED", "DEAD"}


def life(site: Site, tip_id: str) -> list[tuple[int, str, str | None]]:
    """Of the tip's only target: attempt, state, reason."""
    targets = site.trace(tip_id)["targets"]
    assert {(each["targetType"], each["targetId"]) for each in targets} == {("MODEL_TOY", MODEL)}
    return [(each["attempt"], each["state"], each["reason"]) for each in targets]


# ---- reload ------------------------------------------------------------------------------------


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("noticed", [False, True])
def test_a_page_that_reloads_gets_its_command_again_under_the_same_id(
    site: Site, accepted: bool, noticed: bool
) -> None:
    """`noticed`: the old socket was closed in order before the new one came; otherwise the
    server still takes it for open when the page is back."""
    tip_id = new_tip_id()
    with site.viewer("alex") as alex, site.socket() as old:
        old.join(site.demo_token("model"), integration="EXTENSION", pageId="page-1")
        site.report(old)
        assert alex.tip(tip_id, 15)["type"] == "ok"
        first = old.until("command", tipId=tip_id)
        if accepted:
            old.send("commandAccepted", commandId=first["commandId"])
            old.so_far("command")
        if noticed:
            assert isinstance(old.socket, WebsocketsSocket)
            old.socket.connection.close()

        with site.model() as new:
            again = new.until("command", tipId=tip_id)
            assert again["commandId"] == first["commandId"]
            assert again["call"] == first["call"]
            if not noticed:
                assert old.closed().code == 4502
            # The page knows the id: it answers as it did, and does not run it a second time.
            new.run(again)
            alex.until("activationChanged", tipId=tip_id, state="done")
            assert [each["commandId"] for each in new.so_far("command")] == [first["commandId"]]
    states = life(site, tip_id)
    assert [each for each in states if each[1] in FINAL_STATES] == [(2, "ACTIVATED", None)]
    assert [each[:2] for each in states[:2]] == [(0, "QUEUED"), (1, "SENT")]


def test_a_page_that_reloads_after_its_answer_gets_nothing_again(site: Site) -> None:
    tip_id = new_tip_id()
    with site.viewer("alex") as alex:
        with site.model() as old:
            assert alex.tip(tip_id, 15)["type"] == "ok"
            old.run(old.until("command", tipId=tip_id))
            alex.until("activationChanged", tipId=tip_id, state="done")
        with site.model() as new:
            assert new.so_far("command") == []
    assert life(site, tip_id) == [
        (0, "QUEUED", None),
        (1, "SENT", None),
        (1, "ACTIVATED", None),
    ]


def test_a_command_that_fails_is_final_and_the_next_one_plays(site: Site) -> None:
    first, second = new_tip_id(), new_tip_id()
    with site.model() as model, site.viewer("alex") as alex:
        assert alex.tip(first, 15)["type"] == "ok"
        command = model.until("command", tipId=first)
        model.send("commandFailed", commandId=command["commandId"], code="toy_asleep")
        alex.until("activationChanged", tipId=first, state="not_played", reason="page_reported")
        before = alex.ask("setPreferences")  # a failed toy gives no tokens back
        assert before["type"] == "ok"
        assert alex.tip(second, 15)["type"] == "ok"
        model.run(model.until("command", tipId=second))
        alex.until("activationChanged", tipId=second, state="done")
    assert life(site, first)[-1] == (1, "FAILED", "page_reported")
    assert site.trace(first)["targets"][-1]["code"] == "toy_asleep"
    assert life(site, second)[-1] == (1, "ACTIVATED", None)


# ---- one page, one integration -----------------------------------------------------------------


def test_a_second_page_is_refused_and_told_what_is_open(site: Site) -> None:
    with site.model("page-1") as first:
        pages: list[dict[str, Any]] = [{"pageId": "page-2"}, {}]
        for page in pages:
            with site.socket() as second:
                bearer = site.demo_token("model")
                error = second.ask("connect", token=bearer, integration="EXTENSION", **page)
                assert error["code"] == "SECOND_MODEL_PAGE"
                assert "EXTENSION" in error["text"]
                assert second.closed().code == 4502
        first.so_far("command")  # and the first one still is a member


def test_another_integration_is_refused_until_a_new_broadcast(site: Site) -> None:
    assert _refused(site, "CAM_KIT", active="EXTENSION") == 4503
    with site.socket() as model:
        model.join(site.demo_token("model"), integration="EXTENSION", pageId="page-1")
        assert model.ask("startBroadcast", lovenseMode="CAM_KIT")["code"] == "BROADCAST_ACTIVE"
        assert model.ask("endBroadcast")["type"] == "ok"
        assert model.ask("endBroadcast")["code"] == "ROOM_OFFLINE"
        assert model.until("roomChanged")["room"]["live"] is False
        try:
            started = model.ask("startBroadcast", lovenseMode="CAM_KIT")
            assert started["result"]["lovenseMode"] == "CAM_KIT"
            # Her page runs the other one: it is to come back with the right one.
            assert model.closed().code == 4005
            assert _refused(site, "EXTENSION", active="CAM_KIT") == 4503
        finally:
            path = "/rooms/{room_id}/broadcast"
            assert site.request("DELETE", path, "model").status_code == 200
            body = {"lovenseMode": "EXTENSION"}
            assert site.request("POST", path, "model", json=body).status_code == 200


def _refused(site: Site, integration: str, active: str) -> int:
    """The close code."""
    with site.socket() as page:
        bearer = site.demo_token("model")
        error = page.ask("connect", token=bearer, integration=integration, pageId="page-1")
        assert (error["code"], error["field"]) == ("INTEGRATION_CONFLICT", "integration")
        assert active in error["text"]
        return page.closed().code
