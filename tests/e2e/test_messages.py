"""Mood messaging as a platform and its members see it: over sockets and HTTP, on a real server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.members import Member
from tests.e2e.site import MODEL, SERVICE, Site, new_tip_id, problem_of, token

DEE, KIM = "dee", "kim"
"""Of tiers whose messages go out at once."""
TEMPLATE = {
    "name": "Short",
    "messageType": "private_custom",
    "mood": None,
    "tier": None,
    "content": "Hi {{username}}",
    "tags": ["short"],
    "active": False,
}


DISMISS = "/admin/mood-messages/dead-letters/{message_id}/dismiss"


@contextmanager
def her_page(site: Site) -> Iterator[Member]:
    with site.socket() as member:
        member.join(site.demo_token("model"), integration="EXTENSION", pageId="page-1")
        yield member


def write(site: Site, who: str, recipient_id: str, **draft: Any) -> httpx.Response:
    body = {"recipientId": recipient_id, **draft}
    return site.request("POST", "/mood-messages", who, json=body)


def written(site: Site, who: str, recipient_id: str, **draft: Any) -> dict[str, Any]:
    answer = write(site, who, recipient_id, **draft)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def seen(site: Site, who: str, message_id: str) -> dict[str, Any]:
    ids = {"message_id": message_id}
    answer = site.request("GET", "/mood-messages/{message_id}", who, ids=ids)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def until_state(site: Site, who: str, message_id: str, state: str) -> dict[str, Any]:
    """A receipt is not answered: what it did is asked for until it has."""
    end_s = time.monotonic() + 5
    while (found := seen(site, who, message_id))["state"] != state:
        assert time.monotonic() < end_s, found
    return found


def tip(site: Site, who: str) -> str:
    """Settled, and thanked for."""
    tip_id = new_tip_id()
    with site.viewer(who) as member:
        assert member.tip(tip_id, 5)["type"] == "ok"
        member.until("receiptWanted")
    return tip_id


# ---- thanks ----------------------------------------------------------------------------------


def test_a_tip_is_thanked_for_once_and_its_tipper_says_when_it_is_read(site: Site) -> None:
    tip_id = new_tip_id()
    with site.viewer(DEE) as dee, site.viewer("alex") as other, her_page(site) as model:
        assert dee.tip(tip_id, 5)["type"] == "ok"
        thanks = [each.until("publicMessage") for each in (dee, other, model)]
        assert thanks[0] == thanks[1] == thanks[2]
        assert thanks[0]["messageType"] == "public_micro"
        assert thanks[0]["authorName"] == "Ruby Rain"
        assert DEE in thanks[0]["content"] or "{{" not in thanks[0]["content"]
        message_id = dee.until("receiptWanted")["messageId"]
        assert message_id == thanks[0]["messageId"]
        assert other.so_far("receiptWanted") == []

        message = until_state(site, "admin", message_id, "sent")
        assert (message["tipId"], message["tier"], message["priority"]) == (
            tip_id,
            "VIP_DIAMOND",
            10,
        )
        other.send("messageRead", messageId=message_id)  # not his
        dee.send("messageDelivered", messageId=message_id)
        until_state(site, DEE, message_id, "delivered")
        dee.send("messageRead", messageId=message_id)
        read = until_state(site, DEE, message_id, "read")
        assert read["sentAt"] <= read["deliveredAt"] <= read["readAt"]

        assert dee.tip(tip_id, 5)["type"] == "ok"
        assert len(dee.so_far("publicMessage")) == 1
    listed = site.request("GET", "/mood-messages", DEE, params={"type": "public_micro"}).json()
    assert [each["tipId"] for each in listed["messages"]].count(tip_id) == 1
    done = {each["consumer"]: each["done"] for each in site.trace(tip_id)["consumers"]}
    assert done["messaging"] is True


# ---- private messages ------------------------------------------------------------------------


def test_a_viewer_and_the_model_write_to_each_other(site: Site) -> None:
    tip(site, DEE)
    with site.viewer(DEE) as dee, her_page(site) as model:
        asked = written(site, DEE, MODEL, content="I love this show, it is AMAZING!!!")
        assert (asked["mood"], asked["messageType"]) == ("excited", "private_custom")
        assert asked["moodConfidence"] > 75
        arrived = model.until("privateMessage", messageId=asked["messageId"])
        assert (arrived["authorId"], arrived["authorKind"]) == (DEE, "viewer")
        assert arrived["content"] == "I love this show, it is AMAZING!!!"
        model.send("messageRead", messageId=asked["messageId"])
        until_state(site, DEE, asked["messageId"], "read")

        answer = written(site, "model", DEE, content="<b>Thank you</b>")
        arrived = dee.until("privateMessage", messageId=answer["messageId"])
        assert (arrived["authorName"], arrived["content"]) == ("Ruby Rain", "<b>Thank you</b>")
        assert model.so_far("publicMessage") == model.so_far("tipNotice") == []


def test_a_message_waits_for_the_next_connection(site: Site) -> None:
    tip(site, KIM)
    waiting = written(site, "model", KIM, content="Come back soon")
    with site.viewer(KIM) as kim:
        arrived = kim.until("privateMessage", messageId=waiting["messageId"])
        assert arrived["content"] == "Come back soon"
        until_state(site, KIM, waiting["messageId"], "sent")
    with site.viewer(KIM) as kim:
        assert kim.so_far("privateMessage") == []


def test_read_over_http_by_its_recipient_alone(site: Site) -> None:
    tip(site, DEE)
    message = written(site, "model", DEE, content="Hi")
    ids = {"message_id": message["messageId"]}
    path = "/mood-messages/{message_id}/read"
    assert site.request("PATCH", path, "model", ids=ids).status_code == 403
    assert site.request("PATCH", path, "alex", ids=ids).status_code == 404
    for _ in range(2):
        answer = site.request("PATCH", path, DEE, ids=ids)
        assert (answer.status_code, answer.json()["state"]) == (200, "read")


def test_without_words_a_template_is_filled_in(site: Site) -> None:
    tip(site, DEE)
    made = [written(site, "model", DEE, mood="happy") for _ in range(3)]
    assert len({each["templateId"] for each in made}) == 3
    assert all("{{" not in each["content"] for each in made)
    assert made[0]["mood"] == "happy"


def test_the_same_request_is_one_message(site: Site) -> None:
    tip(site, DEE)
    request_id = uuid4().hex
    first = written(site, "model", DEE, content="Hi", requestId=request_id)
    again = written(site, "model", DEE, content="Hi", requestId=request_id)
    assert again["messageId"] == first["messageId"]
    other = write(site, "model", DEE, content="Ho", requestId=request_id)
    assert (other.status_code, problem_of(other)["code"]) == (409, "MESSAGE_CONFLICT")


# ---- who may ---------------------------------------------------------------------------------


def test_who_may_not_write(site: Site) -> None:
    stranger = token("viewer", "stranger")
    body = {"recipientId": MODEL, "content": "Hi"}
    refused = [
        write(site, DEE, "alex", content="Hi"),
        write(site, "model", "nobody-here", content="Hi"),
        write(site, "model", MODEL, content="Hi"),
        site.request("POST", "/mood-messages", bearer=stranger, json=body),
        site.request("POST", "/mood-messages", bearer=token("model", "model-9"), json=body),
    ]
    assert [each.status_code for each in refused] == [403] * 5
    answer = site.request(
        "POST",
        "/mood-messages",
        bearer=SERVICE,
        json={"recipientId": "nobody-here", "content": "Hi"},
    )
    assert (answer.status_code, problem_of(answer)["code"]) == (404, "USER_UNKNOWN")


def test_the_platform_writes_to_anyone(site: Site) -> None:
    with site.viewer(KIM) as kim:
        body = {"recipientId": KIM, "content": "Maintenance at noon"}
        answer = site.request("POST", "/mood-messages", bearer=SERVICE, json=body)
        arrived = kim.until("privateMessage", messageId=answer.json()["messageId"])
        assert (arrived["authorName"], arrived["authorKind"]) == ("System", "system")


def test_nobody_reads_what_is_between_others(site: Site) -> None:
    tip(site, DEE)
    message = written(site, "model", DEE, content="Hi")
    ids = {"message_id": message["messageId"]}
    for who in ("alex", KIM):
        answer = site.request("GET", "/mood-messages/{message_id}", who, ids=ids)
        assert (answer.status_code, problem_of(answer)["code"]) == (404, "MESSAGE_UNKNOWN")
        listed = site.request("GET", "/mood-messages", who).json()["messages"]
        assert message["messageId"] not in [each["messageId"] for each in listed]
    for who in (DEE, "model", "admin"):
        assert seen(site, who, message["messageId"])["content"] == "Hi"


def test_an_author_writes_thirty_times_a_minute(site: Site) -> None:
    """Another model, so that no other test's messages are counted."""
    model = {"displayName": "Nova", "roomId": "room-of-nova"}
    path, ids = "/models/{model_id}", {"model_id": "nova"}
    assert site.request("PUT", path, bearer=SERVICE, ids=ids, json=model).status_code == 200
    site.query("INSERT INTO tippers VALUES ('nova', 'someone')")
    for number in range(31):
        body = {"recipientId": "someone", "content": str(number)}
        answer = site.request("POST", "/mood-messages", bearer=token("model", "nova"), json=body)
        assert answer.status_code == (200 if number < 30 else 429), number
    assert 1 <= int(answer.headers["Retry-After"]) <= 61


# ---- bad input -------------------------------------------------------------------------------


def test_every_bad_field_is_named(site: Site) -> None:
    answer = write(site, "model", "no id!", content="", mood="mad", priority=10)
    assert answer.status_code == 422
    fields = {each["field"] for each in answer.json()["errors"]}
    assert fields == {"recipientId", "content", "mood", "priority"}
    answer = write(site, DEE, MODEL, mood="happy")
    assert (answer.status_code, problem_of(answer)["field"]) == (422, "content")
    bad = {**TEMPLATE, "content": "{{email}} {{", "name": "x"}
    answer = site.request("POST", "/admin/message-templates", "admin", json=bad)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["content", "content"]
    mood = {"mood": "mad", "confidence": 101, "expiresInS": 0}
    answer = site.request("PUT", "/rooms/{room_id}/mood", "model", json=mood)
    assert {each["field"] for each in answer.json()["errors"]} == {*mood}


def test_nothing_of_a_message_is_logged(site: Site) -> None:
    tip(site, DEE)
    secret = f"words-{uuid4().hex}"
    message = written(site, "model", DEE, content=secret)
    with site.viewer(DEE) as dee:
        dee.until("privateMessage", messageId=message["messageId"])
    assert secret not in "".join(str(line) for line in site.server.log)


# ---- moods -----------------------------------------------------------------------------------


def test_a_room_hears_of_its_mood(site: Site) -> None:
    path = "/rooms/{room_id}/mood"
    with site.viewer("alex") as alex:
        body = {"mood": "excited", "confidence": 90, "expiresInS": 1}
        answer = site.request("PUT", path, "model", json=body)
        assert (answer.status_code, answer.json()["mood"]) == (200, "excited")
        told = alex.until("moodChanged")
        assert (told["mood"], told["confidence"]) == ("excited", 90)
        assert alex.until("moodChanged")["mood"] == "neutral"
        now = site.request("GET", path, "alex").json()
        assert now == {"mood": "neutral", "confidence": 100, "setAt": None, "expiresAt": None}
    assert site.request("PUT", path, "alex", json={"mood": "sad"}).status_code == 403
    elsewhere = {"room_id": "room-9"}
    for who, ids, status in (("model", elsewhere, 403), ("alex", elsewhere, 403)):
        assert site.request("GET", path, who, ids=ids).status_code == status
    answer = site.request("PUT", path, "admin", ids=elsewhere, json={"mood": "sad"})
    assert (answer.status_code, problem_of(answer)["code"]) == (404, "ROOM_UNKNOWN")


# ---- staff -----------------------------------------------------------------------------------


def test_staff_edit_templates(site: Site) -> None:
    path = "/admin/message-templates"
    added = site.request("POST", path, "admin", json=TEMPLATE).json()
    assert (added["version"], added["variables"]) == (1, ["username"])
    one, ids = f"{path}/{{template_id}}", {"template_id": added["templateId"]}
    replaced = site.request("PUT", one, "admin", ids=ids, json={**TEMPLATE, "content": "Hello"})
    assert (replaced.json()["version"], replaced.json()["variables"]) == (2, [])
    versions = site.request("GET", one, "admin", ids=ids).json()["versions"]
    assert [each["version"] for each in versions] == [2, 1]
    assert site.request("DELETE", one, "admin", ids=ids).status_code == 200
    for method, body in (("GET", None), ("DELETE", None), ("PUT", TEMPLATE)):
        answer = site.request(method, one, "admin", ids=ids, json=body)
        assert (answer.status_code, problem_of(answer)["code"]) == (404, "TEMPLATE_UNKNOWN")
    for who in ("model", DEE):
        assert site.request("GET", path, who).status_code == 403
    assert site.request("POST", f"{path}/shipped", "admin").json() == {"added": 0}
    page = site.request("GET", path, "admin", params={"limit": 2}).json()
    after = {"limit": 200, "after": page["next"]}
    rest = site.request("GET", path, "admin", params=after).json()
    assert rest["next"] is None
    assert len(page["templates"]) + len(rest["templates"]) >= 47


def test_numbers_and_dead_letters(site: Site) -> None:
    tip(site, DEE)
    path = "/admin/mood-messages/analytics"
    before = site.request("GET", path, "admin").json()
    message = written(site, "model", DEE, content="Hi", mood="anxious")
    site.request(
        "PATCH", "/mood-messages/{message_id}/read", DEE, ids={"message_id": message["messageId"]}
    )
    found = site.request("GET", path, "admin").json()
    assert found["total"] == before["total"] + 1
    assert found["byMood"]["anxious"] == before["byMood"].get("anxious", 0) + 1
    assert found["byTier"]["VIP_DIAMOND"] == before["byTier"]["VIP_DIAMOND"] + 1
    assert found["byState"]["read"] == before["byState"].get("read", 0) + 1
    assert found["deliverySuccess"] == 1
    window = {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
    assert site.request("GET", path, "admin", params=window).status_code == 422
    letters = site.request("GET", "/admin/mood-messages/dead-letters", "admin").json()
    assert letters == {"deadLetters": [], "next": None}
    site.query(
        "UPDATE mood_messages SET state = 'failed', reason = 'ROOM_UNAVAILABLE', read_at = NULL,"
        " failed_at = now() WHERE message_id = $1::text::uuid",
        message["messageId"],
    )
    [letter] = site.request("GET", "/admin/mood-messages/dead-letters", "admin").json()[
        "deadLetters"
    ]
    assert (letter["message"]["messageId"], letter["note"]) == (message["messageId"], None)
    ids, note = {"message_id": message["messageId"]}, {"note": "looked into"}
    decided = site.request("POST", DISMISS, "admin", json=note, ids=ids)
    assert (decided.json()["dismissedBy"], decided.json()["note"]) == ("demo-admin", "looked into")
    again = site.request("POST", DISMISS, "admin", json=note, ids=ids)
    assert (again.status_code, again.json()["code"]) == (409, "DEAD_LETTER_DECIDED")
    unknown = site.request("POST", DISMISS, "admin", json=note)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "DEAD_LETTER_UNKNOWN")
    dismissed = {"state": "dismissed"}
    kept = site.request("GET", "/admin/mood-messages/dead-letters", "admin", params=dismissed)
    assert kept.json()["deadLetters"] == [decided.json()]


def test_messages_come_by_page(site: Site) -> None:
    tip(site, DEE)
    for _ in range(3):
        written(site, "model", DEE, content="Hi", mood="sad")
    params: dict[str, Any] = {"mood": "sad", "limit": 2}
    first = site.request("GET", "/mood-messages", DEE, params=params).json()
    assert len(first["messages"]) == 2
    second = site.request(
        "GET", "/mood-messages", DEE, params=params | {"after": first["next"]}
    ).json()
    ids = [each["messageId"] for each in first["messages"] + second["messages"]]
    assert len(ids) == len(set(ids)) >= 3


@pytest.mark.parametrize("field", ["type", "mood", "after", "limit"])
def test_a_bad_filter_is_named(site: Site, field: str) -> None:
    answer = site.request("GET", "/mood-messages", DEE, params={field: "nonsense!"})
    assert (answer.status_code, problem_of(answer)["field"]) == (422, field)
