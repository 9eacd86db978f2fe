"""Webhooks from end to end: a real receiver that checks signatures, fails, hangs and comes back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.receiver import Receiver, listening
from tests.e2e.site import SERVICE, Site, new_tip_id, problem_of, running_site, token

pytestmark = pytest.mark.slow  # a real server and a real receiver

ADMIN = token("admin", "boss", room=None)
TIPPER = token("viewer", "jo", tier="VIP_GOLD")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def call(site: Site, method: str, path: str, bearer: str = SERVICE, **more: Any) -> httpx.Response:
    return site.request(method, f"/webhooks{path}", bearer=bearer, **more)


def subscribe(site: Site, receiver: Receiver) -> dict[str, str]:
    """The id of a new endpoint, to fill in paths with."""
    answer = call(site, "POST", "", json={"url": receiver.url, "description": "the tests'"})
    assert answer.status_code == 200, answer.text
    receiver.secret = answer.json()["secret"]
    return {"webhook_id": answer.json()["webhook"]["webhookId"]}


def unsubscribe(site: Site, ids: dict[str, str]) -> None:
    assert call(site, "DELETE", "/{webhook_id}", ids=ids).status_code == 200


@pytest.fixture
def hooked(site: Site, receiver: Receiver) -> Iterator[dict[str, str]]:
    ids = subscribe(site, receiver)
    yield ids
    unsubscribe(site, ids)


def tip(site: Site, amount: int = 3) -> str:
    tip_id = new_tip_id()
    answer = site.post_tip(TIPPER, tip_id, amount)
    assert answer.status_code == 200, answer.text
    return tip_id


# ---- delivery --------------------------------------------------------------------------------


@pytest.mark.usefixtures("hooked")
def test_every_tip_arrives_signed_in_order_and_byte_for_byte(
    site: Site, receiver: Receiver
) -> None:
    tip_ids = [tip(site) for _ in range(5)]
    receiver.until(tip_ids[-1])
    assert (receiver.tip_ids, receiver.forged) == (tip_ids, 0)
    assert receiver.attempts == [1] * 5
    rows = site.query(
        "SELECT event::text FROM outbox WHERE tip_id = ANY ($1) ORDER BY seq", tip_ids
    )
    assert receiver.bodies == [row["event"].encode() for row in rows]


def test_one_that_fails_gets_the_event_when_it_is_back(
    site: Site, receiver: Receiver, hooked: dict[str, str]
) -> None:
    receiver.status = 503
    lost = tip(site)
    receiver.until_refused(1)
    receiver.status = 200
    later = tip(site)
    receiver.until(later)
    [delivery] = call(site, "GET", "/{webhook_id}/deliveries", ids=hooked).json()["deliveries"]
    assert delivery["tipId"] == lost
    assert (delivery["state"], delivery["lastStatus"]) in (("retrying", 503), ("delivered", 200))
    again = {**hooked, "seq": str(delivery["seq"])}
    answer = call(site, "POST", "/{webhook_id}/deliveries/{seq}/redeliver", ids=again)
    assert answer.status_code == 200
    receiver.until(lost)


@pytest.mark.parametrize("status", [302, 400, 500])
def test_only_2xx_is_a_yes_and_no_redirect_is_followed(
    site: Site, receiver: Receiver, hooked: dict[str, str], status: int
) -> None:
    receiver.status = status
    for attempts in (1, 2):  # it is sent the second only when the first is written down
        tip(site)
        receiver.until_refused(attempts)
    page = call(site, "GET", "/{webhook_id}/deliveries", ids=hooked, params={"state": "retrying"})
    assert page.json()["deliveries"][0]["lastStatus"] == status
    assert receiver.got == []


@pytest.mark.usefixtures("hooked")
def test_one_that_hangs_delays_no_other(site: Site, receiver: Receiver) -> None:
    receiver.status = None
    with listening() as other:
        ids = subscribe(site, other)
        tip_ids = [tip(site) for _ in range(3)]
        other.until(tip_ids[-1])
        assert other.tip_ids == tip_ids
        assert receiver.got == []
        assert receiver.refused == 1, "its first attempt still waits"
        unsubscribe(site, ids)


def test_gone_pauses_it_until_it_is_resumed(
    site: Site, receiver: Receiver, hooked: dict[str, str]
) -> None:
    receiver.status = 410
    lost = tip(site)
    receiver.until_refused(1)
    receiver.status = 200
    # It is paused right after the answer: asked again until that has happened.
    for _ in range(1_000):
        shown = call(site, "GET", "/{webhook_id}", ids=hooked).json()
        if shown["state"] == "paused":
            break
    assert (shown["pausedBecause"], shown["waiting"]) == ("gone", 1)
    resumed = call(site, "PATCH", "/{webhook_id}", ids=hooked, json={"state": "active"})
    assert resumed.json()["state"] == "active"
    receiver.until(lost)


def test_a_replay_brings_it_all_again(
    site: Site, receiver: Receiver, hooked: dict[str, str]
) -> None:
    first = call(site, "GET", "/{webhook_id}", ids=hooked).json()["cursor"]
    tip_ids = [tip(site) for _ in range(2)]
    receiver.until(tip_ids[-1])
    replayed = call(site, "POST", "/{webhook_id}/replay", ids=hooked, json={"after": first})
    assert replayed.status_code == 200
    marker = tip(site)
    receiver.until(marker)
    assert receiver.tip_ids in (
        [*tip_ids, *tip_ids, marker],
        [*tip_ids, marker, *tip_ids, marker],
    )


def test_killed_between_nothing_is_lost(data_dir: Path, receiver: Receiver) -> None:
    """At least once: the same event may come twice, and is known by its eventId."""
    with running_site(data_dir) as site:
        subscribe(site, receiver)
        before = [tip(site) for _ in range(3)]
        receiver.until(before[-1])
        receiver.status = None  # takes the next and says nothing
        during = [tip(site) for _ in range(3)]
        receiver.until_refused(1)
        site.server.kill()
        receiver.status = 200
        receiver.hung.set()
        # What it had taken is its own for 15 s yet; let them pass.
        [left] = site.query(
            """UPDATE webhook_endpoints held SET leased_until = now() FROM webhook_endpoints before
            WHERE held.endpoint_id = before.endpoint_id
            RETURNING before.leased_until > now() AS was_held"""
        )
        assert left["was_held"]
        site.server.restart()
        after = [tip(site) for _ in range(3)]
        receiver.until(after[-1])
        assert list(dict.fromkeys(receiver.tip_ids)) == before + during + after
        assert len({event["eventId"] for event in receiver.got}) == 9
        assert receiver.forged == 0


def test_the_trace_of_a_tip_shows_it(
    site: Site, receiver: Receiver, hooked: dict[str, str]
) -> None:
    receiver.status = 500
    tip_id = tip(site)
    receiver.until_refused(1)
    name = f"webhook:{hooked['webhook_id']}"
    [shown] = [each for each in site.trace(tip_id)["consumers"] if each["consumer"] == name]
    assert shown["done"] is False


@pytest.mark.usefixtures("hooked")
def test_the_numbers(site: Site, receiver: Receiver) -> None:
    receiver.until(tip(site))
    headers = {"Authorization": f"Bearer {SERVICE}"}
    text = site.http.get("/metrics", headers=headers).text
    for name in (
        'tiproom_webhook_attempts_total{outcome="delivered"}',
        'tiproom_webhook_attempts_total{outcome="failed"}',
        "tiproom_webhook_dead_letters_total",
        "tiproom_webhooks",
        "tiproom_webhooks_behind",
        "tiproom_event_streams",
    ):
        assert f"\n{name} " in text, name


# ---- who may do what -------------------------------------------------------------------------


def test_a_secret_is_answered_once_and_its_successor_signs_from_then_on(
    site: Site, receiver: Receiver, hooked: dict[str, str]
) -> None:
    old = receiver.secret
    assert old.startswith("whsec_")
    assert old not in call(site, "GET", "").text
    assert old not in call(site, "GET", "/{webhook_id}", ids=hooked).text
    receiver.secret = call(site, "POST", "/{webhook_id}/secret", ids=hooked).json()["secret"]
    assert receiver.secret != old
    receiver.until(tip(site))
    assert receiver.forged == 0
    logged = repr(site.server.log)
    assert old not in logged
    assert receiver.secret not in logged


def test_every_change_is_logged_with_who(
    site: Site, receiver: Receiver, hooked: dict[str, str]
) -> None:
    change = {"description": None, "url": receiver.url + "/new"}
    changed = call(site, "PATCH", "/{webhook_id}", ADMIN, ids=hooked, json=change).json()
    assert (changed["url"], changed["description"]) == (change["url"], None)
    site.server.wait_for_line("webhook_changed", who="boss", webhook_id=hooked["webhook_id"])


def test_pages(site: Site, hooked: dict[str, str]) -> None:
    with listening() as other:
        ids = subscribe(site, other)
        first = call(site, "GET", "", params={"limit": 1}).json()
        rest = call(site, "GET", "", params={"after": first["next"]}).json()
        shown = [each["webhookId"] for each in first["webhooks"] + rest["webhooks"]]
        assert {hooked["webhook_id"], ids["webhook_id"]} <= set(shown)
        assert shown == sorted(shown)
        assert rest["next"] is None
        unsubscribe(site, ids)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "https://",
        "https://user:secret@example.org/",
        "https://example.org/#there",
        "https://exämple.org/",
        "https://example.org:0/",
        "nonsense",
        "https://example.org/" + "x" * 2048,
    ],
)
def test_an_address_that_is_none_changes_nothing(
    site: Site, hooked: dict[str, str], url: str
) -> None:
    before = call(site, "GET", "").json()
    for answer in (
        call(site, "POST", "", json={"url": url}),
        call(site, "PATCH", "/{webhook_id}", ids=hooked, json={"url": url, "state": "paused"}),
    ):
        problem = problem_of(answer)
        assert (answer.status_code, problem["code"]) == (422, "INVALID_FIELD")
        assert problem["field"] == "url"
        assert url not in answer.text
    after = call(site, "GET", "").json()
    assert [(each["url"], each["state"]) for each in after["webhooks"]] == [
        (each["url"], each["state"]) for each in before["webhooks"]
    ]


@pytest.mark.parametrize("role", ["viewer", "model", "moderator"])
def test_members_may_not(site: Site, role: str) -> None:
    answer = call(site, "GET", "", token(role, "jo"))
    assert problem_of(answer)["code"] == "FORBIDDEN"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/{webhook_id}", "WEBHOOK_UNKNOWN"),
        ("DELETE", "/{webhook_id}", "WEBHOOK_UNKNOWN"),
        ("POST", "/{webhook_id}/secret", "WEBHOOK_UNKNOWN"),
        ("GET", "/{webhook_id}/deliveries", "WEBHOOK_UNKNOWN"),
        ("POST", "/{webhook_id}/deliveries/{seq}/redeliver", "WEBHOOK_UNKNOWN"),
    ],
)
def test_one_that_there_is_not(site: Site, method: str, path: str, code: str) -> None:
    for webhook_id in ("none", "no id at all", "x" * 200):
        answer = call(site, method, path, ids={"webhook_id": webhook_id, "seq": "1"})
        assert (answer.status_code, problem_of(answer)["code"]) == (404, code)


@pytest.mark.parametrize("seq", ["1", "0", "-1", "x", "9" * 30, "1.0"])
def test_a_delivery_that_there_is_not(site: Site, hooked: dict[str, str], seq: str) -> None:
    ids = {**hooked, "seq": seq}
    answer = call(site, "POST", "/{webhook_id}/deliveries/{seq}/redeliver", ids=ids)
    assert problem_of(answer)["code"] == "DELIVERY_UNKNOWN"


def test_a_replay_from_the_future_is_refused(site: Site, hooked: dict[str, str]) -> None:
    body = {"after": 2**62}
    answer = call(site, "POST", "/{webhook_id}/replay", ids=hooked, json=body)
    assert (problem_of(answer)["code"], problem_of(answer)["field"]) == ("INVALID_FIELD", "after")
