"""Buying from performance menus and running the stage, over HTTP, sockets and the real ledger."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, Final

import httpx
import pytest

from tests.e2e.site import FIRST_TOKENS, MODEL, Site, new_data_dir, running_site, token

pytestmark = pytest.mark.slow  # a server of its own: its limits are used up here

PURCHASES, PURCHASE = "/menus/purchases", "/menus/purchases/{purchase_id}"
STAGE = "/models/{model_id}/stage"
ACT: Final = "/stage/purchases/{{purchase_id}}/{}"
LETTERS = "/stage/dead-letters"
SONG, TIDE, BUZZ = "ready-2-1", "ready-2-6", "ready-1-3"
"""100 tokens on the stage; 250 with a toy; 25 at once with a toy."""
FULL_REFUND: Final = {"kind": "FULL_REFUND"}

_keys = count(1)


@pytest.fixture(scope="module")
def stage_site() -> Iterator[Site]:
    with new_data_dir() as path, running_site(path) as site:
        site.change_platform(lovenseRateLimitPerMin=600)
        yield site
        assert [line for line in site.server.log if line.get("level") == "error"] == []


@pytest.fixture
def site(stage_site: Site) -> Iterator[Site]:
    """Nothing is on the stage before and after, and the books are right."""
    yield stage_site
    for entry in stage(stage_site)["entries"]:
        abandon(stage_site, entry["purchase"]["purchaseId"])
    summary = stage_site.request("GET", "/ledger/summary", "admin").json()
    assert (summary["escrow"], summary["openHolds"]) == (0, 0)


def order(item_id: str = SONG, key: str | None = None, version: int = 1) -> dict[str, Any]:
    return {
        "idempotencyKey": key or f"key-{next(_keys)}",
        "menuId": item_id.rpartition("-")[0],
        "itemId": item_id,
        "version": version,
    }


def buy(site: Site, who: str, item_id: str = SONG, key: str | None = None) -> Any:
    answer = site.request("POST", PURCHASES, who, json=order(item_id, key))
    assert answer.status_code == 200, answer.text
    return answer.json()


def act(
    site: Site, purchase_id: str, action: str, who: str = "model", body: Any = None
) -> httpx.Response:
    path = ACT.format(action)
    return site.request("POST", path, who, json=body, ids={"purchase_id": purchase_id})


def abandon(site: Site, purchase_id: str, who: str = "admin") -> None:
    assert act(site, purchase_id, "abandon", who, FULL_REFUND).status_code == 200


def stage(site: Site, who: str = "admin") -> Any:
    answer = site.request("GET", STAGE, who)
    assert answer.status_code == 200, answer.text
    return answer.json()


def balance(site: Site, who: str) -> int:
    found = site.request(
        "GET", "/ledger/accounts/{account_id}", "admin", ids={"account_id": f"user:{who}"}
    ).json()["balance"]
    assert isinstance(found, int)
    return found


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# ---- both modes --------------------------------------------------------------------------------


def test_queue_mode_off_settles_at_once_and_moves_the_toy(site: Site) -> None:
    before = balance(site, "alex")
    with site.model() as model, site.viewer("alex") as alex:
        receipt = buy(site, "alex", BUZZ, "off-1")
        assert (receipt["queueMode"], receipt["position"]) == ("OFF", None)
        assert receipt["balance"] == before - 25
        tip_id = f"purchase:{receipt['purchaseId']}"
        command = model.until("command", tipId=tip_id)
        model.run(command)
        assert alex.until("tipNotice")["itemName"] == "Gentle buzz"
        event = site.trace(tip_id)["event"]
        assert (event["item"]["itemType"], event["item"]["itemId"]) == ("MENU_ITEM", BUZZ)
        assert event["item"]["bonusPoints"] == 2
    assert buy(site, "alex", BUZZ, "off-1") == receipt
    assert balance(site, "alex") == before - 25
    assert code(act(site, receipt["purchaseId"], "start")) == (409, "STAGE_WRONG_STATE")
    for _ in range(2):
        finished = act(site, receipt["purchaseId"], "finish")
        assert (finished.status_code, finished.json()["state"]) == (200, "FINISHED")


def test_queue_mode_on_holds_waits_starts_settles_and_finishes(site: Site) -> None:
    before = balance(site, "sam")
    with site.model() as model, site.viewer("sam") as sam:
        song, tide = buy(site, "sam"), buy(site, "sam", TIDE)
        assert (song["position"], song["waitSec"]) == (1, 0.0)
        assert (tide["position"], tide["waitSec"]) == (2, 180.0)
        assert balance(site, "sam") == before - 350
        place = sam.until("stagePlace", purchaseId=tide["purchaseId"])
        assert (place["state"], place["position"], place["waitSec"]) == ("READY", 2, 180.0)
        shown = model.until("stageChanged")
        while len(shown["entries"]) < 2:
            shown = model.until("stageChanged")
        assert [(each["itemName"], each["position"]) for each in shown["entries"]] == [
            ("Your song", 1),
            ("Rising tide", 2),
        ]

        assert code(act(site, tide["purchaseId"], "start")) == (409, "STAGE_NOT_NEXT")
        assert act(site, song["purchaseId"], "start").json()["state"] == "STARTED"
        assert code(act(site, tide["purchaseId"], "start")) == (409, "STAGE_BUSY")
        sam.until("stagePlace", purchaseId=song["purchaseId"], state="STARTED")
        sam.until("stagePlace", purchaseId=tide["purchaseId"], position=1)
        assert site.request("GET", "/ledger/summary", "admin").json()["escrow"] == 350
        refused = model.ask("endBroadcast")
        assert refused["code"] == "STAGE_PERFORMING"
        assert act(site, song["purchaseId"], "finish").status_code == 200
        ended = sam.until("stagePlace", purchaseId=song["purchaseId"], state="FINISHED")
        assert ended["refunded"] == 0
        sam.until("tipNotice", itemName="Your song")

        assert act(site, tide["purchaseId"], "start").status_code == 200
        model.run(model.until("command", tipId=f"purchase:{tide['purchaseId']}"))
        assert site.request("GET", "/ledger/summary", "admin").json()["escrow"] == 0
        assert act(site, tide["purchaseId"], "finish").status_code == 200
    history = site.request("GET", PURCHASE, "model", ids={"purchase_id": tide["purchaseId"]}).json()
    assert history["purchase"]["paymentDue"] is False
    assert [(move["after"], move["who"]) for move in history["moves"]] == [
        ("READY", "sam"),
        ("STARTED", MODEL),
        ("FINISHED", MODEL),
    ]
    points = site.query(
        "SELECT sum(points)::int AS points FROM points_entries WHERE source_ref = ANY ($1::text[])",
        [f"purchase:{each['purchaseId']}" for each in (song, tide)],
    )
    assert points[0]["points"] == 35


@pytest.mark.parametrize(
    ("terms", "back"),
    [
        ({"kind": "FULL_REFUND"}, 250),
        ({"kind": "FULL_SETTLE"}, 0),
        ({"kind": "PARTIAL_REFUND", "tokens": 80}, 80),
    ],
)
def test_an_abandon_after_the_start_refunds_by_a_new_transfer_once(
    site: Site, terms: dict[str, Any], back: int
) -> None:
    before = balance(site, "dee")
    purchase_id = buy(site, "dee", TIDE)["purchaseId"]
    with site.model(), site.viewer("dee") as dee:
        assert act(site, purchase_id, "start").status_code == 200
        for _ in range(2):
            answer = act(site, purchase_id, "abandon", body=terms)
            assert (answer.status_code, answer.json()["state"]) == (200, "ABANDONED")
        assert dee.until("stagePlace", state="ABANDONED")["refunded"] == back
        if back:
            dee.until(
                "selfChanged",
            )
    other = act(site, purchase_id, "abandon", body={"kind": "PARTIAL_REFUND", "tokens": 7})
    assert code(other) == (409, "STAGE_WRONG_STATE")
    assert balance(site, "dee") == before - 250 + back
    kinds = site.query(
        "SELECT kind FROM transfers WHERE source_ref LIKE '%' || $1 ORDER BY created_at",
        purchase_id,
    )
    expected = ["hold", "purchase"] + (["refund"] if back else [])
    assert [row["kind"] for row in kinds] == expected


def test_a_buyer_cancels_and_others_may_not(site: Site) -> None:
    before = balance(site, "kim")
    purchase_id = buy(site, "kim", "ready-3-1")["purchaseId"]
    assert code(act(site, purchase_id, "cancel", "alex")) == (403, "FORBIDDEN")
    assert code(act(site, purchase_id, "cancel", "model")) == (403, "FORBIDDEN")
    stranger = site.request(
        "POST",
        ACT.format("start"),
        bearer=token("model", "model-2"),
        ids={"purchase_id": purchase_id},
    )
    assert code(stranger) == (403, "FORBIDDEN")
    for _ in range(2):
        assert act(site, purchase_id, "cancel", "kim").json()["state"] == "CANCELLED"
    assert code(act(site, purchase_id, "start")) == (409, "STAGE_WRONG_STATE")
    for unknown in ("none", "00000000-0000-7000-8000-000000000000"):
        assert code(act(site, unknown, "finish")) == (404, "PURCHASE_UNKNOWN")
    assert balance(site, "kim") == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "HALF"}, "kind"),
        ({"kind": "PARTIAL_REFUND"}, "tokens"),
        ({"kind": "PARTIAL_REFUND", "tokens": 101}, "tokens"),
        ({"kind": "PARTIAL_REFUND", "tokens": 0}, "tokens"),
        ({"kind": "FULL_REFUND", "tokens": 5}, "tokens"),
    ],
)
def test_terms_that_make_no_sense_change_nothing(
    site: Site, body: dict[str, Any], field: str
) -> None:
    purchase_id = buy(site, "jo")["purchaseId"]
    answer = act(site, purchase_id, "abandon", body=body)
    assert (code(answer), answer.json()["field"]) == ((422, "INVALID_FIELD"), field)
    assert stage(site)["entries"][0]["purchase"]["state"] == "READY"


# ---- what is refused ---------------------------------------------------------------------------


def test_the_checks_name_what_is_wrong(site: Site) -> None:
    for body, said in [
        (order("none-1"), (404, "MENU_UNKNOWN")),
        (order("ready-1-99"), (404, "MENU_ITEM_UNKNOWN")),
        (order("ready-3-1"), (403, "MENU_HIDDEN")),
        (order(version=2), (409, "MENU_ITEM_CHANGED")),
        (order() | {"tokens": 1}, (422, "INVALID_FIELD")),
        (order() | {"price": 1}, (422, "INVALID_FIELD")),
    ]:
        assert code(site.request("POST", PURCHASES, "alex", json=body)) == said
    elsewhere = site.request(
        "POST", PURCHASES, bearer=token("viewer", "alex", room="room-2"), json=order()
    )
    assert code(elsewhere) == (403, "WRONG_ROOM")
    assert site.request("POST", PURCHASES, "model", json=order()).status_code == 403
    buy(site, "alex", key="mine")
    conflict = site.request("POST", PURCHASES, "alex", json=order(TIDE, "mine"))
    assert code(conflict) == (409, "PURCHASE_CONFLICT")


def test_a_history_is_read_by_page(site: Site) -> None:
    made = [buy(site, "jo")["purchaseId"] for _ in range(3)]
    first = site.request("GET", PURCHASES, "jo", params={"limit": 2}).json()
    assert [each["purchaseId"] for each in first["purchases"]] == made[:0:-1]
    rest = site.request("GET", PURCHASES, "jo", params={"before": first["next"], "limit": 1}).json()
    assert rest["purchases"][0]["purchaseId"] == made[0]
    ids = {"purchase_id": made[0]}
    assert site.request("GET", PURCHASE, "jo", ids=ids).status_code == 200
    assert code(site.request("GET", PURCHASE, "sam", ids=ids)) == (403, "FORBIDDEN")
    assert [each["purchase"]["purchaseId"] for each in stage(site, "jo")["entries"]] == made
    assert (stage(site, "sam")["entries"], stage(site, "sam")["waiting"]) == ([], 3)
    assert site.request("GET", STAGE, bearer=token("model", "model-2")).status_code == 403


def test_an_order_changes_the_line(site: Site) -> None:
    buy(site, "jo")
    dear = buy(site, "jo", TIDE)["purchaseId"]
    answer = site.request("PATCH", STAGE, "model", json={"order": "priority"})
    assert answer.json()["entries"][0]["purchase"]["purchaseId"] == dear
    assert site.request("PATCH", STAGE, "model", json={"order": "lifo"}).status_code == 422
    stranger = site.request(
        "PATCH", STAGE, bearer=token("model", "model-2"), json={"order": "fifo"}
    )
    assert stranger.status_code == 403
    assert site.request("PATCH", STAGE, "model", json={"order": "fifo"}).status_code == 200


# ---- races over many connections ---------------------------------------------------------------


def all_at_once(site: Site, who: str, bodies: list[dict[str, Any]]) -> list[httpx.Response]:
    """Each over a connection of its own."""
    bearer = {"Authorization": f"Bearer {site.demo_token(who)}"}

    def send(body: dict[str, Any]) -> httpx.Response:
        return httpx.post(
            f"{site.server.http_url}{PURCHASES}", json=body, headers=bearer, timeout=15
        )

    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(send, bodies))


def told(answers: list[httpx.Response]) -> Counter[Any]:
    return Counter(
        200 if answer.status_code == 200 else answer.json()["code"] for answer in answers
    )


def spend_down(site: Site, who: str, left: int) -> None:
    """By tips, until `left` tokens are there."""
    spare = balance(site, who) - left
    if spare:
        assert site.post_tip(site.demo_token(who), f"down-{who}-{left}", spare).status_code == 200


def test_of_purchases_that_race_for_the_last_tokens_one_wins(site: Site) -> None:
    spend_down(site, "kim", 150)
    answers = all_at_once(site, "kim", [order() for _ in range(8)])
    assert told(answers) == {200: 1, "INSUFFICIENT_TOKENS": 7}
    assert balance(site, "kim") == 50


def test_of_purchases_that_race_for_the_last_unit_one_wins(site: Site) -> None:
    limited = "ready-3-4"  # once a day
    body = {"userId": "jo", "modelId": MODEL, "activeUntil": "2099-01-01T00:00:00Z"}
    service = token("service", "back-end", room=None)
    assert site.request("PUT", "/subscriptions", bearer=service, json=body).status_code == 200
    answers = all_at_once(site, "jo", [order(limited) for _ in range(8)])
    assert told(answers) == {200: 1, "DAILY_LIMIT_REACHED": 7}


def test_the_same_key_at_once_is_one_purchase_with_one_answer(site: Site) -> None:
    before = balance(site, "dee")
    answers = all_at_once(site, "dee", [order(key="together")] * 8)
    assert told(answers) == {200: 8}
    assert len({answer.content for answer in answers}) == 1
    assert balance(site, "dee") == before - 100


def test_an_edit_between_view_and_purchase_costs_nobody_more(site: Site) -> None:
    item = {"name": "Pulse", "tokenValue": 46}
    ids = {"menu_id": "ready-1", "item_id": "ready-1-5"}
    bodies = [order("ready-1-5") for _ in range(8)]
    before = balance(site, "dee")
    with ThreadPoolExecutor(1) as thread:
        racing = thread.submit(all_at_once, site, "dee", bodies)
        edited = site.request(
            "PUT", "/menus/{menu_id}/items/{item_id}", "model", json=item, ids=ids
        )
        assert edited.json()["version"] == 2
        answers = racing.result()
    assert told(answers).keys() <= {200, "MENU_ITEM_CHANGED"}
    assert all(answer.json()["tokens"] == 45 for answer in answers if answer.status_code == 200)
    assert balance(site, "dee") == before - 45 * told(answers)[200]
    assert site.request("POST", PURCHASES, "dee", json=order("ready-1-5", version=2)).json()[
        "tokens"
    ] == 46  # fmt: skip


# ---- for an admin ------------------------------------------------------------------------------


def test_health_and_dead_letters(site: Site) -> None:
    """The platform's back end has taken the hold away: its release is refused."""
    health = site.request("GET", "/stage/health", "admin").json()
    assert (health["status"], health["capacityPercent"]) == ("healthy", 0)
    assert site.request("GET", "/stage/health", "model").status_code == 403
    purchase_id = buy(site, "jo", "ready-2-2")["purchaseId"]
    abandon(site, purchase_id)
    site.query(
        """INSERT INTO stage_dead_letters (letter_id, purchase_id, step, code)
        VALUES (gen_random_uuid(), $1::text::uuid, 1, 'HOLD_ENDED')""",
        purchase_id,
    )
    [letter] = site.request("GET", LETTERS, "admin").json()["deadLetters"]
    assert (letter["purchaseId"], letter["code"], letter["kind"]) == (
        purchase_id,
        "HOLD_ENDED",
        "RELEASE",
    )
    assert site.request("GET", "/stage/health", "admin").json()["unreviewedDeadLetters"] == 1
    ids, note = {"letter_id": letter["letterId"]}, {"note": "looked into"}
    decided = site.request("POST", f"{LETTERS}/{{letter_id}}/retry", "admin", json=note, ids=ids)
    assert (decided.json()["state"], decided.json()["decidedBy"]) == ("retried", "demo-admin")
    again = site.request("POST", f"{LETTERS}/{{letter_id}}/dismiss", "admin", json=note, ids=ids)
    assert code(again) == (409, "DEAD_LETTER_DECIDED")
    for path in ("retry", "dismiss"):
        unknown = site.request(
            "POST", f"{LETTERS}/{{letter_id}}/{path}", "admin", json=note, ids={"letter_id": "none"}
        )
        assert code(unknown) == (404, "DEAD_LETTER_UNKNOWN")


def test_sixty_requests_a_minute_and_user(site: Site) -> None:
    """The last test of this server: a viewer who asks too often is told when to come back."""
    answers = [site.request("POST", PURCHASES, "alex", json=order("none-1")) for _ in range(61)]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["code"] == "RATE_LIMITED"
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 61
    assert balance(site, "alex") <= FIRST_TOKENS
