"""The ledger over HTTP, on a real server: tokens move once, and are answered for for ever."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import httpx
import pytest

from tests.e2e.members import Member
from tests.e2e.site import MODEL, ROOM, SERVICE, Site, new_tip_id, problem_of, token

ADMIN: Final = token("admin", "boss", room=None)
VIBRATION: Final = {
    "type": "LEVEL",
    "strength": 8,
    "durationSec": 4,
    "presetName": None,
    "pattern": None,
}
ITEM: Final = {
    "itemId": "item-1",
    "itemName": "Private dance",
    "descriptionPublic": "A dance for one",
    "vibration": VIBRATION,
    "bonusPoints": 30,
}
_numbers = itertools.count(1)


def new_id(kind: str) -> str:
    return f"{kind}-{next(_numbers)}-{time.time_ns()}"


def service(site: Site, method: str, path: str, body: Any = None, **ids: str) -> httpx.Response:
    return site.request(method, path, bearer=SERVICE, ids=ids, json=body)


def new_user(site: Site, tokens: int = 0, tier: str = "FREE") -> str:
    user_id = new_id("user")
    body = {"username": user_id, "membershipTier": tier}
    assert service(site, "PUT", "/users/{user_id}", body, user_id=user_id).status_code == 200
    if tokens:
        assert deposit(site, user_id, tokens).status_code == 200
    return user_id


def deposit(site: Site, user_id: str, amount: Any, deposit_id: str | None = None) -> httpx.Response:
    body = {"depositId": deposit_id or new_id("deposit"), "userId": user_id, "amount": amount}
    return service(site, "POST", "/ledger/deposits", body)


def hold(site: Site, user_id: str, amount: int, hold_id: str, **more: Any) -> httpx.Response:
    body = {"holdId": hold_id, "userId": user_id, "roomId": ROOM, "amount": amount, "item": ITEM}
    return service(site, "POST", "/ledger/holds", body | more)


def settle(site: Site, hold_id: str, **body: Any) -> httpx.Response:
    return service(site, "POST", "/ledger/holds/{hold_id}/settle", body, hold_id=hold_id)


def release(site: Site, hold_id: str) -> httpx.Response:
    return service(site, "POST", "/ledger/holds/{hold_id}/release", hold_id=hold_id)


def hold_of(site: Site, hold_id: str) -> dict[str, Any]:
    found = service(site, "GET", "/ledger/holds/{hold_id}", hold_id=hold_id).json()
    assert isinstance(found, dict)
    return found


def refund(site: Site, tip_id: str, tokens: int, refund_id: str | None = None) -> httpx.Response:
    body = {"refundId": refund_id or new_id("refund"), "tipId": tip_id, "tokens": tokens}
    return service(site, "POST", "/ledger/refunds", body)


def tip(site: Site, user_id: str, amount: int) -> str:
    tip_id = new_tip_id()
    assert site.post_tip(SERVICE, tip_id, amount, userId=user_id).status_code == 200
    return tip_id


def balance(site: Site, account_id: str) -> int:
    answer = service(site, "GET", "/ledger/accounts/{account_id}", account_id=account_id)
    found = answer.json()["balance"]
    assert isinstance(found, int)
    return found


def statement(site: Site, account_id: str) -> list[tuple[str, int, int]]:
    """(kind, amount, balance after), oldest first."""
    path = "/ledger/accounts/{account_id}/entries"
    page = service(site, "GET", path, account_id=account_id).json()
    assert page["next"] is None
    return [
        (each["sourceRef"].partition(":")[0], each["amount"], each["balanceAfter"])
        for each in reversed(page["entries"])
    ]


@contextmanager
def page_of(site: Site, user_id: str) -> Iterator[Member]:
    """In the room, as the platform's own viewer."""
    with site.socket() as member:
        member.join(token("viewer", user_id))
        yield member


def refused(answer: httpx.Response) -> tuple[int, str, str | None]:
    problem = problem_of(answer)
    return answer.status_code, problem["code"], problem.get("field")


# ---- deposits ----------------------------------------------------------------------------------


def test_a_deposit_counts_once_and_the_users_page_shows_it(site: Site) -> None:
    user_id, deposit_id = new_user(site), new_id("deposit")
    with page_of(site, user_id) as page:
        assert page.snapshot["self"]["balance"] == 0
        first = deposit(site, user_id, 250, deposit_id)
        assert page.until("selfChanged")["self"]["balance"] == 250
    assert first.json() == {
        "transferId": first.json()["transferId"],
        "amount": 250,
        "balance": 250,
    }
    assert deposit(site, user_id, 5).json()["balance"] == 255
    assert deposit(site, user_id, 250, deposit_id).content == first.content
    assert refused(deposit(site, user_id, 251, deposit_id)) == (409, "TRANSFER_CONFLICT", None)
    assert refused(deposit(site, new_user(site), 250, deposit_id))[1] == "TRANSFER_CONFLICT"
    assert balance(site, f"user:{user_id}") == 255


def test_a_deposit_for_nobody_is_refused(site: Site) -> None:
    assert refused(deposit(site, "nobody", 5))[:2] == (404, "USER_UNKNOWN")


# ---- holds -------------------------------------------------------------------------------------


def test_a_hold_that_settles_drives_the_toy_and_is_on_the_statement(site: Site) -> None:
    user_id, hold_id = new_user(site, 1_000), new_id("hold")
    tip_id = f"purchase:{hold_id}"
    with site.model() as model, page_of(site, user_id) as page:
        held = hold(site, user_id, 400, hold_id)
        assert held.json()["balance"] == 600
        assert page.until("selfChanged")["self"]["balance"] == 600
        assert model.so_far("tipNotice") == [], "nothing is emitted at hold"
        assert hold(site, user_id, 400, hold_id).content == held.content

        settled = settle(site, hold_id)
        receipt = settled.json()
        assert (receipt["tipId"], receipt["amount"], receipt["balance"]) == (tip_id, 400, 600)
        assert receipt["itemName"] == "Private dance"
        command = model.until("command", tipId=tip_id)
        assert command["durationSec"] == 4
        model.run(command)
        notice = page.until("tipNotice", descriptionPublic="A dance for one")
        assert (notice["username"], notice["amount"]) == (user_id, 400)
        page.until("activationChanged", tipId=tip_id, state="done")

    assert settle(site, hold_id).content == settled.content
    assert hold(site, user_id, 400, hold_id).content == held.content
    assert refused(settle(site, hold_id, refundTokens=1)) == (409, "TRANSFER_CONFLICT", None)
    assert refused(release(site, hold_id)) == (409, "HOLD_ENDED", None)
    assert hold_of(site, hold_id)["state"] == "SETTLED"
    assert refund(site, tip_id, 100).json()["balance"] == 700

    trace = site.trace(tip_id)
    event, entries = trace["event"], {each["entryId"]: each for each in trace["entries"]}
    assert event["item"] == {"itemType": "MENU_ITEM", **ITEM}
    assert event["ledger"]["sourceRef"] == tip_id
    debit, credit = entries[event["ledger"]["debitRef"]], entries[event["ledger"]["creditRef"]]
    assert (debit["accountId"], debit["amount"]) == (f"user:{user_id}", -400)
    assert (credit["accountId"], credit["amount"]) == (f"model:{MODEL}", 200)
    assert statement(site, f"user:{user_id}") == [
        ("deposit", 1_000, 1_000),
        ("hold", -400, 600),
        ("refund", 100, 700),
    ]


def test_a_hold_may_settle_in_part(site: Site) -> None:
    user_id, hold_id = new_user(site, 100), new_id("hold")
    assert hold(site, user_id, 90, hold_id).status_code == 200
    with page_of(site, user_id) as page:
        settled = settle(site, hold_id, refundTokens=30)
        assert page.until("selfChanged")["self"]["balance"] == 40
    assert (settled.json()["amount"], settled.json()["balance"]) == (60, 40)
    assert settle(site, hold_id, refundTokens=30).content == settled.content
    found = hold_of(site, hold_id)
    assert (found["state"], found["refunded"]) == ("PARTIALLY_REFUNDED", 30)
    event = site.trace(f"purchase:{hold_id}")["event"]
    assert event["transaction"]["amount"] == 60
    assert event["item"]["bonusPoints"] == 20, "as much of them as was paid for"


@pytest.mark.parametrize("tokens", [50, 51, 99_998])
def test_a_settlement_of_nothing_is_none(site: Site, tokens: int) -> None:
    hold_id = new_id("hold")
    assert hold(site, new_user(site, 50), 50, hold_id).status_code == 200
    assert refused(settle(site, hold_id, refundTokens=tokens)) == (
        422,
        "INVALID_FIELD",
        "refundTokens",
    )
    assert hold_of(site, hold_id)["state"] == "HELD"


def test_a_released_hold_goes_back_whole_and_never_settles(site: Site) -> None:
    user_id, hold_id = new_user(site, 100), new_id("hold")
    hold(site, user_id, 70, hold_id)
    with page_of(site, user_id) as page:
        released = release(site, hold_id)
        assert page.until("selfChanged")["self"]["balance"] == 100
    assert (released.json()["amount"], released.json()["balance"]) == (70, 100)
    assert deposit(site, user_id, 5).json()["balance"] == 105
    assert release(site, hold_id).content == released.content
    assert refused(settle(site, hold_id)) == (409, "HOLD_ENDED", None)
    assert hold_of(site, hold_id)["state"] == "REFUNDED"
    unknown = site.request(
        "GET", "/admin/tips/{tip_id}", bearer=ADMIN, ids={"tip_id": f"purchase:{hold_id}"}
    )
    assert refused(unknown)[1] == "TIP_UNKNOWN", "a full refund emits nothing"


@pytest.mark.slow  # the hold's own second, and up to five until the server looks
def test_an_expired_hold_goes_back_by_itself(site: Site) -> None:
    user_id, hold_id = new_user(site, 100), new_id("hold")
    with page_of(site, user_id) as page:
        assert hold(site, user_id, 80, hold_id, expiresInS=1).json()["balance"] == 20
        assert page.until("selfChanged")["self"]["balance"] == 20
        assert page.until("selfChanged")["self"]["balance"] == 100
    assert hold_of(site, hold_id)["state"] == "REFUNDED"
    assert refused(settle(site, hold_id)) == (409, "HOLD_ENDED", None)
    assert release(site, hold_id).json()["balance"] == 100
    assert statement(site, f"user:{user_id}")[1:] == [("hold", -80, 20), ("release", 80, 100)]


def test_what_cannot_be_held_is_refused_and_takes_nothing(site: Site) -> None:
    user_id, hold_id = new_user(site, 50), new_id("hold")
    assert refused(hold(site, user_id, 51, hold_id)) == (402, "INSUFFICIENT_TOKENS", None)
    assert refused(hold(site, "nobody", 5, hold_id))[:2] == (404, "USER_UNKNOWN")
    assert refused(hold(site, user_id, 5, hold_id, roomId="nowhere"))[:2] == (404, "ROOM_UNKNOWN")
    assert refused(hold(site, MODEL, 5, hold_id)) == (403, "FORBIDDEN", "userId")
    assert refused(settle(site, hold_id)) == (404, "HOLD_UNKNOWN", None)
    assert refused(release(site, hold_id)) == (404, "HOLD_UNKNOWN", None)
    answer = service(site, "GET", "/ledger/holds/{hold_id}", hold_id=hold_id)
    assert refused(answer) == (404, "HOLD_UNKNOWN", None)
    assert hold(site, user_id, 20, hold_id).status_code == 200
    assert refused(hold(site, user_id, 21, hold_id)) == (409, "TRANSFER_CONFLICT", None)
    other = ITEM | {"itemName": "Another dance"}
    assert refused(hold(site, user_id, 20, hold_id, item=other))[1] == "TRANSFER_CONFLICT"
    assert statement(site, f"user:{user_id}") == [("deposit", 50, 50), ("hold", -20, 30)]


def test_nothing_is_held_in_a_room_that_is_not_live(site: Site) -> None:
    model_id, room_id = new_id("model"), new_id("room")
    body = {"displayName": "Mia", "roomId": room_id}
    assert service(site, "PUT", "/models/{model_id}", body, model_id=model_id).status_code == 200
    answer = hold(site, new_user(site, 50), 5, new_id("hold"), roomId=room_id)
    assert refused(answer) == (409, "ROOM_OFFLINE", None)


def test_no_tip_takes_a_purchases_id(site: Site) -> None:
    user_id = new_user(site, 50)
    answer = site.post_tip(SERVICE, "purchase:1", 5, userId=user_id)
    assert refused(answer) == (422, "INVALID_FIELD", "tipId")
    with page_of(site, user_id) as page:
        error = page.tip("purchase:1", 5)
        assert (error["code"], error["field"]) == ("INVALID_FIELD", "tipId")


# ---- refunds -----------------------------------------------------------------------------------


def test_refunds_give_back_once_and_never_more_than_the_tip(site: Site) -> None:
    user_id = new_user(site, 100)
    hers, ours = balance(site, f"model:{MODEL}"), balance(site, "revenue")
    tip_id, refund_id = tip(site, user_id, 15), new_id("refund")
    first = refund(site, tip_id, 10, refund_id)
    assert (first.json()["amount"], first.json()["balance"]) == (10, 95)
    assert refused(refund(site, tip_id, 6)) == (409, "REFUND_EXCEEDS", "tokens")
    assert refund(site, tip_id, 5).json()["balance"] == 100
    assert refund(site, tip_id, 10, refund_id).content == first.content, "nothing is left by now"
    assert refused(refund(site, tip_id, 9, refund_id)) == (409, "TRANSFER_CONFLICT", None)
    assert refused(refund(site, tip(site, user_id, 15), 10, refund_id))[1] == "TRANSFER_CONFLICT"
    assert refused(refund(site, tip_id, 1)) == (409, "REFUND_EXCEEDS", "tokens")
    assert refused(refund(site, "none", 1)) == (404, "TIP_UNKNOWN", "tipId")
    kept = 15  # of the tip in the other refund's conflict
    assert balance(site, f"model:{MODEL}") == hers + kept // 2
    assert balance(site, "revenue") == ours + kept - kept // 2


def test_refunds_of_one_tip_at_the_same_time_find_their_order(site: Site) -> None:
    user_id = new_user(site, 100)
    tip_id = tip(site, user_id, 4)
    site.document  # noqa: B018  # loaded before several threads want it
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: refund(site, tip_id, 2), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
    assert balance(site, f"user:{user_id}") == 100


def test_an_admin_may_refund_and_it_is_logged_with_who(site: Site) -> None:
    tip_id = tip(site, new_user(site, 10), 10)
    body = {"refundId": new_id("refund"), "tipId": tip_id, "tokens": 10}
    for _ in range(2):
        answer = site.request("POST", "/ledger/refunds", bearer=ADMIN, json=body)
        assert answer.status_code == 200
    [line] = [
        each
        for each in site.server.log
        if each.get("event") == "tip_refunded" and each["tip_id"] == tip_id
    ]
    assert line["who"] == "boss"


# ---- accounts ----------------------------------------------------------------------------------


def test_a_statement_comes_by_page_the_newest_first(site: Site) -> None:
    user_id = new_user(site)
    for amount in range(1, 6):
        deposit(site, user_id, amount)
    path, ids = "/ledger/accounts/{account_id}/entries", {"account_id": f"user:{user_id}"}
    seen: list[int] = []
    params: dict[str, str] = {"limit": "2"}
    for _ in range(3):
        page = site.request("GET", path, bearer=SERVICE, ids=ids, params=params).json()
        seen += [each["amount"] for each in page["entries"]]
        params["before"] = str(page["next"])
    assert (seen, page["next"]) == ([5, 4, 3, 2, 1], None)
    [entry] = page["entries"]
    assert (entry["seq"], entry["balanceAfter"], len(entry["hash"])) == (1, 1, 64)


def test_members_see_their_own_accounts_alone(site: Site) -> None:
    user_id = new_user(site, 10)
    tip(site, user_id, 10)
    viewer, model = token("viewer", user_id), token("model", MODEL)
    for path in ("/ledger/accounts/{account_id}", "/ledger/accounts/{account_id}/entries"):
        for bearer, account_id in ((viewer, f"user:{user_id}"), (model, f"model:{MODEL}")):
            answer = site.request("GET", path, bearer=bearer, ids={"account_id": account_id})
            assert answer.status_code == 200
            for entry in answer.json().get("entries", ()):
                assert set(entry) == {"seq", "kind", "amount", "balanceAfter", "createdAt"}
        for bearer in (viewer, model):
            for account_id in ("user:alex", "user:nobody", "model:nobody", "revenue", "escrow"):
                answer = site.request("GET", path, bearer=bearer, ids={"account_id": account_id})
                assert refused(answer) == (403, "FORBIDDEN", None), account_id
        answer = site.request("GET", path, bearer=viewer, ids={"account_id": f"model:{user_id}"})
        assert refused(answer)[1] == "FORBIDDEN"
        for account_id in ("user:nobody", "nothing", "user:", "user:a%20b", "user:" + "x" * 65):
            for bearer in (SERVICE, ADMIN):
                answer = site.request("GET", path, bearer=bearer, ids={"account_id": account_id})
                assert refused(answer) == (404, "ACCOUNT_UNKNOWN", None), account_id


def test_the_longest_user_id_has_a_statement(site: Site) -> None:
    user_id = new_id("user").ljust(64, "x")
    body = {"username": "Ann", "membershipTier": "FREE"}
    assert service(site, "PUT", "/users/{user_id}", body, user_id=user_id).status_code == 200
    assert deposit(site, user_id, 7).status_code == 200
    assert statement(site, f"user:{user_id}") == [("deposit", 7, 7)]


def test_the_summary_adds_up(site: Site) -> None:
    def summary() -> dict[str, int]:
        found: dict[str, int] = site.request("GET", "/ledger/summary", bearer=ADMIN).json()
        assert found["issued"] == sum(
            found[each] for each in ("wallets", "models", "escrow", "revenue")
        )
        return found

    before = summary()
    hold(site, new_user(site, 50), 20, new_id("hold"))
    after = summary()
    grown = {name: after[name] - before[name] for name in after}
    assert grown == {
        "issued": 50,
        "wallets": 30,
        "models": 0,
        "escrow": 20,
        "revenue": 0,
        "openHolds": 1,
    }


# ---- users and models --------------------------------------------------------------------------


def test_a_user_is_registered_and_changed(site: Site) -> None:
    user_id = new_id("user")
    path = "/users/{user_id}"
    assert refused(service(site, "GET", path, user_id=user_id))[:2] == (404, "USER_UNKNOWN")
    body = {"username": "Ann Other", "membershipTier": "FREE"}
    registered = service(site, "PUT", path, body, user_id=user_id)
    assert registered.json() == {"userId": user_id, **body}
    assert service(site, "PUT", path, body, user_id=user_id).content == registered.content
    assert balance(site, f"user:{user_id}") == 0
    deposit(site, user_id, 10)
    with page_of(site, user_id) as page:
        changed = {"username": "Ann", "membershipTier": "VIP_GOLD"}
        assert service(site, "PUT", path, changed, user_id=user_id).status_code == 200
        assert page.until("selfChanged")["self"]["membershipTier"] == "VIP_GOLD"
    assert service(site, "GET", path, user_id=user_id).json() == {"userId": user_id, **changed}
    assert balance(site, f"user:{user_id}") == 10


def test_a_model_is_registered_with_her_one_room(site: Site) -> None:
    model_id, room_id = new_id("model"), new_id("room")
    path = "/models/{model_id}"

    def put(model_id: str, room_id: str, name: str = "Mia") -> httpx.Response:
        body = {"displayName": name, "roomId": room_id}
        return service(site, "PUT", path, body, model_id=model_id)

    assert put(model_id, room_id).json() == {
        "modelId": model_id,
        "displayName": "Mia",
        "roomId": room_id,
    }
    assert put(model_id, room_id).status_code == 200
    assert refused(put(model_id, new_id("room"), "Eve")) == (409, "MODEL_HAS_ROOM", "roomId")
    assert refused(put(new_id("model"), room_id)) == (409, "ROOM_TAKEN", "roomId")
    assert refused(put(model_id, ROOM, "Eve")) == (409, "ROOM_TAKEN", "roomId")

    live = {"lovenseMode": "EXTENSION"}
    started = service(site, "POST", "/rooms/{room_id}/broadcast", live, room_id=room_id)
    assert started.status_code == 200
    with site.socket(url=f"{site.server.socket_url}/rooms/{room_id}") as page:
        page.join(token("viewer", "ann", room=room_id))
        assert page.snapshot["room"]["modelDisplayName"] == "Mia", "a refusal changes nothing"
        assert put(model_id, room_id, "Mia Two").status_code == 200
        assert page.until("roomChanged")["room"]["modelDisplayName"] == "Mia Two"
        user_id = new_user(site, 20)
        body = {
            "tipId": new_tip_id(),
            "broadcastId": page.broadcast_id,
            "amount": 20,
            "userId": user_id,
        }
        tipped = service(site, "POST", "/rooms/{room_id}/tips", body, room_id=room_id)
        assert tipped.status_code == 200
    assert balance(site, f"model:{model_id}") == 10


# ---- bad fields --------------------------------------------------------------------------------

DEPOSIT: Final = {"depositId": "d", "userId": "alex", "amount": 5}
HOLD: Final = {"holdId": "h", "userId": "alex", "roomId": ROOM, "amount": 5, "item": ITEM}
REFUND: Final = {"refundId": "r", "tipId": "t", "tokens": 5}
USER: Final = {"username": "Ann", "membershipTier": "FREE"}
A_MODEL: Final = {"displayName": "Mia", "roomId": "r"}
POST_DEPOSIT: Final = ("POST", "/ledger/deposits", DEPOSIT)
POST_HOLD: Final = ("POST", "/ledger/holds", HOLD)
SETTLE: Final = ("POST", "/ledger/holds/{hold_id}/settle", {"refundTokens": 0})
POST_REFUND: Final = ("POST", "/ledger/refunds", REFUND)
PUT_USER: Final = ("PUT", "/users/{user_id}", USER)
PUT_MODEL: Final = ("PUT", "/models/{model_id}", A_MODEL)


@pytest.mark.parametrize(
    ("operation", "bad", "field"),
    [
        (POST_DEPOSIT, {"depositId": ""}, "depositId"),
        (POST_DEPOSIT, {"depositId": "a b"}, "depositId"),
        (POST_DEPOSIT, {"userId": "nul\0"}, "userId"),
        (POST_DEPOSIT, {"amount": 0}, "amount"),
        (POST_DEPOSIT, {"amount": -5}, "amount"),
        (POST_DEPOSIT, {"amount": 1_000_000_001}, "amount"),
        (POST_DEPOSIT, {"amount": "5"}, "amount"),
        (POST_DEPOSIT, {"amount": 5.5}, "amount"),
        (POST_DEPOSIT, {"more": 1}, "more"),
        (POST_HOLD, {"holdId": "x" * 56}, "holdId"),
        (POST_HOLD, {"amount": 100_000}, "amount"),
        (POST_HOLD, {"roomId": None}, "roomId"),
        (POST_HOLD, {"expiresInS": 0}, "expiresInS"),
        (POST_HOLD, {"expiresInS": 30 * 24 * 3600 + 1}, "expiresInS"),
        (POST_HOLD, {"item": ITEM | {"itemType": "TIP"}}, "item.itemType"),
        (POST_HOLD, {"item": ITEM | {"itemName": "nul\0"}}, "item.itemName"),
        (POST_HOLD, {"item": ITEM | {"bonusPoints": -1}}, "item.bonusPoints"),
        (POST_HOLD, {"item": ITEM | {"bonusPoints": 2**63}}, "item.bonusPoints"),
        (
            POST_HOLD,
            {"item": ITEM | {"vibration": VIBRATION | {"strength": None}}},
            "item.vibration.strength",
        ),
        (
            POST_HOLD,
            {"item": ITEM | {"vibration": VIBRATION | {"durationSec": 0}}},
            "item.vibration.durationSec",
        ),
        (SETTLE, {"refundTokens": -1}, "refundTokens"),
        (SETTLE, {"refundTokens": None}, "refundTokens"),
        (POST_REFUND, {"tokens": 0}, "tokens"),
        (POST_REFUND, {"tipId": "a b"}, "tipId"),
        (POST_REFUND, {"refundId": 7}, "refundId"),
        (PUT_USER, {"username": ""}, "username"),
        (PUT_USER, {"username": "x" * 65}, "username"),
        (PUT_USER, {"username": "two\nlines"}, "username"),
        (PUT_USER, {"username": "line\n"}, "username"),
        (PUT_USER, {"membershipTier": "GOLD"}, "membershipTier"),
        (PUT_MODEL, {"displayName": "nul\0"}, "displayName"),
        (PUT_MODEL, {"roomId": "a/b"}, "roomId"),
    ],
)
def test_a_bad_field_is_named(
    site: Site, operation: tuple[str, str, dict[str, Any]], bad: dict[str, Any], field: str
) -> None:
    method, path, good = operation
    assert refused(service(site, method, path, good | bad)) == (422, "INVALID_FIELD", field)


@pytest.mark.parametrize("operation", [POST_DEPOSIT, POST_HOLD, POST_REFUND, PUT_USER, PUT_MODEL])
def test_a_missing_field_is_named(site: Site, operation: tuple[str, str, dict[str, Any]]) -> None:
    method, path, good = operation
    for field in good:
        body = {name: value for name, value in good.items() if name != field}
        assert refused(service(site, method, path, body)) == (422, "INVALID_FIELD", field)


@pytest.mark.parametrize("params", [{"before": "0"}, {"before": "x"}, {"limit": "201"}])
def test_a_page_that_is_none_is_refused(site: Site, params: dict[str, str]) -> None:
    path = "/ledger/accounts/{account_id}/entries"
    answer = site.request("GET", path, bearer=SERVICE, params=params)
    assert refused(answer) == (422, "INVALID_FIELD", next(iter(params)))
