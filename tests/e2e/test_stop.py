"""Stopping toys: the platform's kill switch, the model's stop, an admin's stop."""

from typing import Any

import pytest

from tests.e2e.members import Member
from tests.e2e.site import Site, new_tip_id


def states(site: Site, tip_id: str) -> set[tuple[str, str, str | None]]:
    """Target type, last state and reason."""
    last: dict[str, tuple[str, str, str | None]] = {}
    for each in site.trace(tip_id)["targets"]:
        kind = each["targetType"]
        last[kind] = (kind, each["state"], each["reason"])
    return set(last.values())


def commands(member: Member, *tip_ids: str) -> list[str]:
    return [each["tipId"] for each in member.so_far("command") if each["tipId"] in tip_ids]


def test_the_kill_switch_stops_everything_at_once_and_keeps_it_stopped(site: Site) -> None:
    """One tip plays, one waits, one comes while it is off: no further command, all audited."""
    playing, waiting, late, after = (new_tip_id() for _ in range(4))
    with site.model() as model, site.viewer("jo", toy=True) as jo, site.viewer("alex") as alex:
        assert jo.ask("setPreferences", reactToMyTips=True, feelAllTips=True)["type"] == "ok"
        assert alex.tip(playing, 15)["type"] == "ok"
        model.until("command", tipId=playing)
        jo.until("command", tipId=playing)
        assert alex.tip(waiting, 15)["type"] == "ok"
        alex.until("activationChanged", tipId=waiting, state="queued")
        try:
            site.change_platform(enableLovense=False)
            assert model.until("stop")["call"]["args"][0] == 77  # her special "clear"
            assert jo.until("stop")["call"]["method"] == "stopToyAction"
            assert alex.until("roomChanged")["room"]["enableLovense"] is False
            skipped = alex.until("activationChanged", tipId=waiting, state="not_played")
            assert skipped["reason"] == "lovense_disabled"

            assert alex.tip(late, 15)["type"] == "ok"  # it settles as any other
            skipped = alex.until("activationChanged", tipId=late, state="not_played")
            assert skipped["reason"] == "lovense_disabled"
            for member in (model, jo):
                assert commands(member, playing, waiting, late) == [playing]
        finally:
            site.change_platform(enableLovense=True)

        assert alex.tip(after, 15)["type"] == "ok"
        for member in (model, jo):
            member.run(member.until("command", tipId=after))
            assert commands(member, waiting, late) == []
        alex.until("activationChanged", tipId=after, state="done")

    both = ("MODEL_TOY", "VIP_VIEWER_TOY")
    assert states(site, playing) == {(each, "FAILED", "stopped") for each in both}
    assert states(site, waiting) == {(each, "SKIPPED", "lovense_disabled") for each in both}
    assert states(site, late) == {("MODEL_TOY", "SKIPPED", "lovense_disabled")}
    assert states(site, after) == {(each, "ACTIVATED", None) for each in both}
    assert site.trace(late)["event"]["routing"]["targets"] == []
    assert site.trace(late)["event"]["item"]["vibration"] is not None


@pytest.mark.parametrize("by", ["model", "admin"])
def test_stop_pauses_the_queue_and_resume_goes_on(site: Site, by: str) -> None:
    playing, waiting = new_tip_id(), new_tip_id()

    def act(what: str) -> None:
        if by == "model":
            assert model.ask(f"{what}Toys")["type"] == "ok"
            return
        path, reason = f"/admin/rooms/{{room_id}}/toys/{what}", {"reason": "a complaint"}
        assert site.request("POST", path, "admin", json=reason).status_code == 200

    with site.model() as model, site.viewer("alex") as alex:
        assert alex.tip(playing, 15)["type"] == "ok"
        model.until("command", tipId=playing)

        act("stop")
        assert model.until("stop")["call"]["args"][0] == 77
        assert model.until("queueChanged", paused=True)["playing"] is None
        assert alex.until("roomChanged")["room"]["toysPaused"] is True
        assert alex.tip(waiting, 15)["type"] == "ok"
        alex.until("activationChanged", tipId=waiting, state="queued")
        assert commands(model, waiting) == []

        act("resume")
        model.run(model.until("command", tipId=waiting))
        alex.until("activationChanged", tipId=waiting, state="done")
        assert alex.until("roomChanged")["room"]["toysPaused"] is False
        assert commands(model, playing) == [playing]
    assert states(site, playing) == {("MODEL_TOY", "FAILED", "stopped")}
    assert states(site, waiting) == {("MODEL_TOY", "ACTIVATED", None)}


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 201}, {"why": "x"}])
def test_an_admin_says_why(site: Site, body: dict[str, Any]) -> None:
    for what in ("stop", "resume"):
        path = f"/admin/rooms/{{room_id}}/toys/{what}"
        answer = site.request("POST", path, "admin", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_FIELD")


def test_only_the_model_goes_live(site: Site) -> None:
    with site.viewer("alex") as alex:
        model_only: dict[str, dict[str, Any]] = {
            "startBroadcast": {"lovenseMode": "EXTENSION"},
            "endBroadcast": {},
            "reportSettings": {"settings": None},
        }
        for kind, fields in model_only.items():
            assert alex.ask(kind, **fields)["code"] == "FORBIDDEN", kind
