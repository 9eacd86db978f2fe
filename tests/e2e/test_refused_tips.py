"""Tips that do not settle, and tips that come twice: over HTTP and over sockets alike."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.e2e.members import JSON, MSGPACK, WebsocketsSocket
from tests.e2e.site import (
    FIRST_TOKENS,
    MODEL,
    SERVICE,
    Site,
    new_tip_id,
    problem_of,
    token,
)

BAD_AMOUNTS = [0, -1, 100_000, "5", 5.5, True, None]


def balance(site: Site, user_id: str) -> int:
    """As the ledger has it."""
    [row] = site.query("SELECT balance FROM accounts WHERE account_id = $1", f"user:{user_id}")
    found = row["balance"]
    assert isinstance(found, int)
    return found


@pytest.fixture
def nothing_written(site: Site) -> Iterator[None]:
    """The test leaves no trace in the ledger."""
    counts = """SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM transfers),
        (SELECT count(*) FROM holds), (SELECT count(*) FROM outbox),
        (SELECT count(*) FROM accounts),
        (SELECT sum(balance) FROM accounts WHERE kind = 'user')"""
    before = site.query(counts)
    yield
    assert site.query(counts) == before


# ---- the same tipId again ----------------------------------------------------------------------


@pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])
def test_a_repeat_over_a_socket_is_answered_with_the_same_bytes(
    site: Site, subprotocol: str
) -> None:
    tip_id = new_tip_id()
    with site.viewer("kim", subprotocol) as kim:
        assert isinstance(kim.socket, WebsocketsSocket)
        raw = []
        for _ in range(3):
            assert kim.tip(tip_id, 5, ref=9000)["type"] == "ok"
            raw.append(kim.socket.raw)
            kim.tip(new_tip_id(), 1)  # the balance moves on, the answer does not
        assert raw[0] == raw[1] == raw[2]
        notices = [each for each in kim.so_far("tipNotice") if each["amount"] == 5]
        assert len(notices) == 1


def test_a_repeat_over_http_is_answered_with_the_same_bytes(site: Site) -> None:
    """Whoever asks, over whichever way: a socket's tip is known to HTTP and to the platform."""
    tip_id = new_tip_id()
    with site.viewer("kim", JSON) as kim:
        first = kim.tip(tip_id, 5)["result"]
        kim.tip(new_tip_id(), 1)
    over_http = site.post_tip(site.demo_token("kim"), tip_id, 5)
    by_platform = site.post_tip(SERVICE, tip_id, 5, userId="kim")
    assert over_http.status_code == 200
    assert over_http.json() == first
    assert by_platform.content == over_http.content


def test_a_repeat_is_answered_when_the_wallet_is_empty(site: Site) -> None:
    """And what is larger than the balance is refused, with nothing written."""
    dee, tip_id = token("viewer", "dee"), new_tip_id()
    left = balance(site, "dee")
    first = site.post_tip(dee, tip_id, left)
    assert first.json()["balance"] == 0
    too_much = site.post_tip(dee, new_tip_id(), 1)
    assert (too_much.status_code, too_much.json()["code"]) == (402, "INSUFFICIENT_TOKENS")
    assert site.post_tip(dee, tip_id, left).content == first.content
    assert balance(site, "dee") == 0
    back = {"depositId": tip_id, "userId": "dee", "amount": left}  # for the other tests
    assert site.request("POST", "/ledger/deposits", bearer=SERVICE, json=back).status_code == 200


def test_a_repeat_is_answered_when_the_broadcast_is_over(site: Site) -> None:
    """Off air a new tip is refused; so is one for the broadcast that has ended, once another
    runs; the tip that was settled in it keeps its answer."""
    alex, tip_id, old = token("viewer", "alex"), new_tip_id(), site.broadcast_id()
    path = "/rooms/{room_id}/broadcast"
    first = site.post_tip(alex, tip_id, 5, broadcastId=old)
    assert first.status_code == 200

    assert site.request("DELETE", path, "model").status_code == 200
    try:
        offline = site.post_tip(alex, new_tip_id(), 5, broadcastId=old)
        assert (offline.status_code, offline.json()["code"]) == (409, "ROOM_OFFLINE")
        assert site.post_tip(alex, tip_id, 5, broadcastId=old).content == first.content
    finally:
        started = site.request("POST", path, bearer=SERVICE, json={"lovenseMode": "EXTENSION"})
        assert started.status_code == 200

    again = site.request("POST", path, "model", json={"lovenseMode": "CAM_KIT"})
    assert (again.status_code, again.json()["code"]) == (409, "BROADCAST_ACTIVE")
    stale = site.post_tip(alex, new_tip_id(), 5, broadcastId=old)
    assert (stale.status_code, stale.json()["code"]) == (409, "BROADCAST_STALE")
    assert stale.json()["field"] == "broadcastId"
    assert site.post_tip(alex, tip_id, 5, broadcastId=old).content == first.content
    new = started.json()["broadcastId"]
    moved = site.post_tip(alex, tip_id, 5, broadcastId=new)
    assert (moved.status_code, moved.json()["code"]) == (409, "TIP_CONFLICT")


def test_the_same_id_with_other_content_is_a_conflict(site: Site) -> None:
    alex, tip_id = token("viewer", "alex"), new_tip_id()
    assert site.post_tip(alex, tip_id, 5).status_code == 200
    for bearer, amount in [(alex, 6), (token("viewer", "sam"), 5)]:
        answer = site.post_tip(bearer, tip_id, amount)
        assert (answer.status_code, answer.json()["code"]) == (409, "TIP_CONFLICT")
    with site.viewer("sam") as sam:
        assert sam.tip(tip_id, 5)["code"] == "TIP_CONFLICT"


# ---- refused -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_written")
def test_more_than_the_balance_writes_nothing(site: Site) -> None:
    answer = site.post_tip(token("viewer", "alex"), new_tip_id(), FIRST_TOKENS + 1)
    assert (answer.status_code, answer.json()["code"]) == (402, "INSUFFICIENT_TOKENS")
    with site.viewer("alex") as alex:
        assert alex.tip(new_tip_id(), FIRST_TOKENS + 1)["code"] == "INSUFFICIENT_TOKENS"


@pytest.mark.usefixtures("nothing_written")
def test_an_unknown_user_has_no_wallet_and_gets_none(site: Site) -> None:
    """Named by the platform, or holding a token of it."""
    by_platform = site.post_tip(SERVICE, new_tip_id(), 5, userId="nobody")
    assert (by_platform.status_code, by_platform.json()["code"]) == (404, "USER_UNKNOWN")
    unnamed = site.post_tip(SERVICE, new_tip_id(), 5)
    assert (unnamed.status_code, unnamed.json()["field"]) == (422, "userId")
    himself = site.post_tip(token("viewer", "nobody"), new_tip_id(), 5)
    assert (himself.status_code, himself.json()["code"]) == (404, "USER_UNKNOWN")


@pytest.mark.usefixtures("nothing_written")
def test_nobody_tips_for_somebody_else(site: Site) -> None:
    answer = site.post_tip(token("viewer", "alex"), new_tip_id(), 5, userId="sam")
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


@pytest.mark.usefixtures("nothing_written")
def test_a_model_does_not_tip_in_her_own_room(site: Site) -> None:
    with site.model() as model:
        assert model.tip(new_tip_id(), 5)["code"] == "FORBIDDEN"
    over_http = site.post_tip(token("model", MODEL), new_tip_id(), 5)
    assert (over_http.status_code, over_http.json()["code"]) == (403, "FORBIDDEN")
    as_viewer = site.post_tip(token("viewer", MODEL), new_tip_id(), 5)
    assert (as_viewer.status_code, as_viewer.json()["code"]) == (403, "FORBIDDEN")


@pytest.mark.usefixtures("nothing_written")
def test_an_amount_that_is_none_names_its_field(site: Site) -> None:
    alex = token("viewer", "alex")
    for amount in BAD_AMOUNTS:
        answer = site.post_tip(alex, new_tip_id(), amount)
        assert answer.status_code == 422, amount
        assert (answer.json()["code"], answer.json()["field"]) == ("INVALID_FIELD", "amount")
    with site.viewer("alex") as member:
        for amount in BAD_AMOUNTS:
            error = member.tip(new_tip_id(), amount)
            assert (error["code"], error["field"]) == ("INVALID_FIELD", "amount"), amount


@pytest.mark.usefixtures("nothing_written")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tipId": ""}, "tipId"),
        ({"tipId": "a b"}, "tipId"),
        ({"tipId": "x" * 65}, "tipId"),
        ({"tipId": "nul\x00"}, "tipId"),
        ({"broadcastId": 7}, "broadcastId"),
        ({"userId": []}, "userId"),
        ({"tier": "VIP_DIAMOND"}, "tier"),
    ],
)
def test_another_bad_field_is_named(site: Site, change: dict[str, Any], field: str) -> None:
    body = {"tipId": new_tip_id(), "broadcastId": "b-1", "amount": 5, **change}
    path, alex = "/rooms/{room_id}/tips", token("viewer", "alex")
    answer = site.request("POST", path, bearer=alex, json=body)
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["field"]) == ("INVALID_FIELD", field)


@pytest.mark.usefixtures("nothing_written")
@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"nul\x00", b'{"amount": 5', b"{'amount': 5}"]
)
def test_a_body_that_is_not_json_is_malformed(site: Site, body: bytes) -> None:
    path, alex = "/rooms/{room_id}/tips", token("viewer", "alex")
    answer = site.request("POST", path, bearer=alex, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED_FRAME")


@pytest.mark.usefixtures("nothing_written")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(site: Site, chunked: bool) -> None:
    body = b'{"tipId": "' + b"x" * 70_000 + b'"}'
    content: Any = iter([body]) if chunked else body
    path, alex = "/rooms/{room_id}/tips", token("viewer", "alex")
    answer = site.request("POST", path, bearer=alex, content=content)
    assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")
    # What is left of the body must not stand in the way of the next request.
    assert answer.headers["connection"] == "close"


def test_the_61st_tip_within_a_minute_is_told_when_to_come_back(site: Site) -> None:
    """Before settlement; over HTTP as a header, over a socket as a field."""
    eager = token("viewer", "eager")
    tips = (site.post_tip(eager, new_tip_id(), 1, broadcastId="b-1") for _ in range(61))
    refused = next(answer for answer in tips if answer.status_code == 429)
    assert refused.json()["code"] == "RATE_LIMITED"
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    with site.socket() as member:
        member.join(eager)
        error = member.tip(new_tip_id(), 1)
        assert (error["code"], error["retry"]) == ("RATE_LIMITED", True)
        assert 0 < error["retryAfterS"] <= 60


def test_what_is_not_there_is_a_problem_too(site: Site) -> None:
    for method, path, status, code in [
        ("GET", "/no/such/path", 404, "NOT_FOUND"),
        ("DELETE", "/healthz", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/web/../../pyproject.toml", 404, "NOT_FOUND"),
        ("GET", "/web/%2e%2e/%2e%2e/pyproject.toml", 404, "NOT_FOUND"),
    ]:
        answer = site.http.request(method, path)
        assert (answer.status_code, problem_of(answer)["code"]) == (status, code), path


# ---- frames ------------------------------------------------------------------------------------


def test_frames_that_cannot_be_understood_are_answered(site: Site) -> None:
    with site.viewer("alex") as alex:
        assert isinstance(alex.socket, WebsocketsSocket)
        assert alex.ask("dance", ref=77)["code"] == "UNKNOWN_FRAME"
        assert alex.ask("tip", ref=78)["code"] == "INVALID_FIELD"
        alex.socket.connection.send(b"\xc1")
        assert alex.until("error", ref=None)["code"] == "MALFORMED_FRAME"
        alex.socket.connection.send("text")
        assert alex.until("error", ref=None)["code"] == "MALFORMED_FRAME"
        alex.socket.connection.send(msgspec.msgpack.encode([1, 2]))
        assert alex.until("error", ref=None)["code"] == "MALFORMED_FRAME"
        assert alex.ask("setPreferences")["type"] == "ok"  # and it is still a member


def test_a_frame_that_is_too_large_closes_with_1009(site: Site) -> None:
    with site.viewer("alex") as alex:
        assert isinstance(alex.socket, WebsocketsSocket)
        alex.socket.connection.send(b"x" * (64 * 1024 + 1))
        assert alex.closed().code == 1009


def test_too_many_bad_frames_close(site: Site) -> None:
    with site.viewer("alex") as alex:
        for _ in range(11):
            alex.send("dance")
        assert alex.closed().code == 4504


# ---- tokens at the socket ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bearer", "code", "close"),
    [
        (token("viewer", "alex", exp=1_000_000), "TOKEN_EXPIRED", 4004),
        (token("viewer", "alex")[:-2], "TOKEN_INVALID", 4500),
        ("", "TOKEN_INVALID", 4500),
        (token("viewer", "alex", room="room-2"), "WRONG_ROOM", 4501),
        (token("viewer", "alex", room=None), "WRONG_ROOM", 4501),
        (token("admin", "boss"), "FORBIDDEN", 4500),
        (token("model", "model-2"), "FORBIDDEN", 4501),
    ],
)
def test_a_wrong_token_is_answered_and_closed(
    site: Site, bearer: str, code: str, close: int
) -> None:
    is_model = code == "FORBIDDEN" and close == 4501
    with site.socket() as member:
        integration: dict[str, Any] = {"integration": "EXTENSION"} if is_model else {}
        assert member.ask("connect", token=bearer, **integration)["code"] == code
        assert member.closed().code == close


def test_nothing_is_said_before_connect(site: Site) -> None:
    with site.socket() as member:
        assert member.ask("tip", tipId="t", amount=5, broadcastId="b")["code"] == "TOKEN_MISSING"
        assert member.ask("connect")["field"] == "token"
        assert member.ask("connect", token=token("viewer", "alex"))["type"] == "ok"


def test_a_room_that_is_not_there(site: Site) -> None:
    """Also over HTTP, for a token that would be good there."""
    bearer = token("viewer", "alex", room="room-x")
    url = f"{site.server.socket_url}/rooms/room-x"
    with site.socket(url=url) as member:
        assert member.ask("connect", token=bearer)["code"] == "ROOM_UNKNOWN"
        assert member.closed().code == 4505
    answer = site.http.post(
        "/rooms/room-x/tips",
        headers={"Authorization": f"Bearer {bearer}"},
        json={"tipId": "t-1", "broadcastId": "b-1", "amount": 5},
    )
    assert (answer.status_code, problem_of(answer)["code"]) == (404, "ROOM_UNKNOWN")
