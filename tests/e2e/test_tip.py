"""The main job: a tip on real sockets becomes a command for the model's toy, and all is traced."""

from datetime import datetime
from typing import Any

import pytest

from tests.e2e.members import JSON, MSGPACK, Client, Member, node_client, websockets_client
from tests.e2e.site import MODEL, TOY, Site, new_tip_id


@pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])
@pytest.mark.parametrize("client", [websockets_client, node_client])
def test_a_tip_reaches_the_models_toy_and_everyone_hears_of_it(
    site: Site, client: Client, subprotocol: str
) -> None:
    """Both ends on the same foreign client."""
    tip_id = new_tip_id()
    with (
        site.socket(subprotocol, client) as model,
        site.socket(subprotocol, client) as tipper,
        site.viewer("sam") as other,
    ):
        model.join(site.demo_token("model"), integration="EXTENSION", pageId="page-1")
        site.report(model)
        before = tipper.join(site.demo_token("alex"))["self"]["balance"]

        answer = tipper.tip(tip_id, 15)
        assert answer["type"] == "ok"
        assert {**answer["result"], "timestamp": None} == {
            "tipId": tip_id,
            "amount": 15,
            "balance": before - 15,
            "itemName": "A gentle hello",
            "timestamp": None,
        }
        assert answer["result"]["timestamp"].endswith("-05:00")

        command = model.until("command", tipId=tip_id)
        assert command["attempt"] == 1
        assert command["call"] == {
            "integration": "EXTENSION",
            "method": "receiveTip",
            "args": [15, "alex"],
        }
        assert command["durationSec"] == 3
        model.run(command)

        notices = [each.until("tipNotice") for each in (model, tipper, other)]
        assert notices[0] == notices[1] == notices[2]
        assert notices[0]["username"] == "alex"
        assert notices[0]["amount"] == 15
        assert notices[0]["itemName"] == notices[0]["descriptionPublic"] == "A gentle hello"
        assert tipper.until("selfChanged")["self"]["balance"] == before - 15
        assert tipper.until("activationChanged", state="done")["tipId"] == tip_id

    _check_trace(site.trace(tip_id), tip_id)


def _check_trace(trace: dict[str, Any], tip_id: str) -> None:
    """Ledger refs, consumers, targets, attempts, times: each points at the other."""
    event, entries = trace["event"], {each["entryId"]: each for each in trace["entries"]}
    assert event["eventName"] == "TipActivated"
    assert event["tipId"] == trace["tipId"] == tip_id
    assert event["ledger"]["status"] == "SETTLED"
    assert event["ledger"]["sourceRef"] == f"tip:{tip_id}"
    debit, credit = entries[event["ledger"]["debitRef"]], entries[event["ledger"]["creditRef"]]
    assert (debit["accountId"], debit["amount"]) == ("user:alex", -15)
    assert (credit["accountId"], credit["amount"]) == (f"model:{MODEL}", 7)
    assert sum(each["amount"] for each in entries.values()) == 0

    assert {each["consumer"] for each in trace["consumers"]} == {"room", "loyalty", "messaging"}
    assert next(each for each in trace["consumers"] if each["consumer"] == "room")["done"]

    assert event["routing"]["targets"] == [{"type": "MODEL_TOY", "modelId": MODEL}]
    life = [
        (each["targetType"], each["targetId"], each["attempt"], each["state"])
        for each in trace["targets"]
    ]
    assert life == [
        ("MODEL_TOY", MODEL, 0, "QUEUED"),
        ("MODEL_TOY", MODEL, 1, "SENT"),
        ("MODEL_TOY", MODEL, 1, "ACTIVATED"),
    ]
    sent = trace["targets"][1]
    assert sent["call"]["method"] == "receiveTip"
    assert sent["fit"]["level"] == "level1"
    times = [datetime.fromisoformat(each["at"]) for each in trace["targets"]]
    assert times == sorted(times)
    assert all(time.utcoffset() is not None for time in times)


# ---- who gets a command, and who learns what ---------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "reached"),
    [
        ("OFF", {"model"}),
        ("SHARED_MOMENT", {"model", "sam"}),
        ("VIP_ROOM_SYNC", {"model", "sam", "jo"}),
    ],
)
def test_commands_reach_the_tipper_and_opted_in_vips_by_the_mode(
    site: Site, mode: str, reached: set[str]
) -> None:
    """sam tips with `react`, jo feels all tips, kim is a VIP who does not, alex none."""
    tip_id = new_tip_id()
    with (
        site.model() as model,
        site.viewer("sam", toy=True) as sam,
        site.viewer("jo", toy=True) as jo,
        site.viewer("kim", toy=True) as kim,
        site.viewer("alex", toy=True) as alex,
    ):
        assert sam.ask("setPreferences", reactToMyTips=True, feelAllTips=False)["type"] == "ok"
        assert jo.ask("setPreferences", reactToMyTips=True, feelAllTips=True)["type"] == "ok"
        assert kim.ask("setPreferences", reactToMyTips=True, feelAllTips=False)["type"] == "ok"
        try:
            site.change_model(viewerSyncMode=mode)
            everyone = {"model": model, "sam": sam, "jo": jo, "kim": kim, "alex": alex}
            assert sam.tip(tip_id, 30)["type"] == "ok"
            for name in reached:
                everyone[name].run(everyone[name].until("command", tipId=tip_id))
            sam.until("activationChanged", state="done")
            got = {
                name
                for name, member in everyone.items()
                if any(each["tipId"] == tip_id for each in member.so_far("command"))
            }
            assert got == reached
        finally:
            site.change_model(viewerSyncMode="VIP_ROOM_SYNC")
        _check_privacy(everyone, site.trace(tip_id))


def _check_privacy(everyone: dict[str, Member], trace: dict[str, Any]) -> None:
    """Ledger refs and event ids stay on the server; a toy's id and another viewer's id, too."""
    ledger = trace["event"]["ledger"]
    refs = [ledger["ledgerId"], ledger["debitRef"], ledger["creditRef"], trace["event"]["eventId"]]
    for name, member in everyone.items():
        heard = repr(member.received)
        assert not [ref for ref in refs if ref in heard]
        toys_of_others = [f"toy-of-{each}" for each in everyone if each != name]
        if name != "model":
            toys_of_others.append(TOY["id"])
        assert not [toy for toy in toys_of_others if toy in heard]
    # The tipper's public name is known to all, and who is here; of the tip nobody learns more.
    for name in ("sam", "alex", "model"):
        received = everyone[name].received
        heard = repr([each for each in received if each["type"] != "presenceChanged"])
        assert not [each for each in ("jo", "kim") if f"'{each}'" in heard]


def test_a_viewers_stop_ends_the_own_toy_alone(site: Site) -> None:
    tip_id = new_tip_id()
    with site.model() as model, site.viewer("jo", toy=True) as jo:
        assert jo.ask("setPreferences", reactToMyTips=True, feelAllTips=False)["type"] == "ok"
        assert jo.tip(tip_id, 15)["type"] == "ok"
        jo.until("command", tipId=tip_id)
        assert jo.ask("stopToys")["type"] == "ok"
        assert jo.until("stop")["call"]["method"] == "stopToyAction"
        model.run(model.until("command", tipId=tip_id))
        jo.until("activationChanged", state="done")
        assert model.so_far("stop") == []

        later = new_tip_id()
        assert jo.tip(later, 15)["type"] == "ok"
        model.run(model.until("command", tipId=later))
        jo.until("activationChanged", tipId=later, state="done")
        assert [each["tipId"] for each in jo.so_far("command")] == [tip_id], "the stop holds"
        assert jo.ask("resumeToys")["type"] == "ok"
    assert ("TIPPER_TOY", "SKIPPED", "stopped") in {
        (each["targetType"], each["state"], each["reason"]) for each in _finals(site, later)
    }
    finals = {(each["targetType"], each["state"], each["reason"]) for each in _finals(site, tip_id)}
    assert finals == {("MODEL_TOY", "ACTIVATED", None), ("TIPPER_TOY", "FAILED", "stopped")}


def _finals(site: Site, tip_id: str) -> list[dict[str, Any]]:
    states = {"ACTIVATED", "FAILED", "EXPIRED", "SKIPPED", "MERGED", "DEAD"}
    return [each for each in site.trace(tip_id)["targets"] if each["state"] in states]
