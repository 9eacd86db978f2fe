"""Every operation of the OpenAPI document, as everyone who may call it and as nobody: whatever is
sent, the answer is one that the document names, and looks as it says."""

import copy
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import MappingProxyType
from typing import Any, Final

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from server.auth import Role
from tests.e2e.members import WebsocketsSocket
from tests.e2e.schemathesis_run import PHASES, Report, run
from tests.e2e.site import MODEL, ROOM, Site, new_data_dir, new_tip_id, running_site, token
from tests.fixtures_postgres import NewDatabase

pytestmark = pytest.mark.slow  # some thousand requests to a real server

ENDLESS: Final = {"GET /events"}
"""Streams of server-sent events: a reader that waits for their end waits for ever."""

OF_ONE_MODEL: Final = {
    f"{method} /lovense/{path}"
    for method, path in [
        ("GET", "tip-menu"),
        ("POST", "tip-menu"),
        ("PUT", "tip-menu/{row_id}"),
        ("DELETE", "tip-menu/{row_id}"),
        ("PUT", "tip-menu/reorder"),
        ("GET", "tip-menu/coverage"),
        ("GET", "patterns"),
        ("POST", "patterns"),
        ("PUT", "patterns/{pattern_id}"),
        ("DELETE", "patterns/{pattern_id}"),
    ]
}
FIRST: Final = {"PUT /lovense/tip-menu/reorder", "POST /stage/purchases/{purchase_id}/start"}
"""The one's example names every row of the menu: the others add and remove some. The other has to
come before the rest has used up what a model may ask of her stage in a minute."""
REMOVING: Final = {
    "DELETE /lovense/tip-menu/{row_id}",
    "DELETE /lovense/patterns/{pattern_id}",
    "DELETE /lovense/devices/{device_id}",
    "DELETE /admin/message-templates/{template_id}",
    "DELETE /menus/{menu_id}",
    "DELETE /menus/{menu_id}/items/{item_id}",
}
"""The others' examples need what these take away."""

ON_AIR: Final = {"DELETE /rooms/{room_id}/broadcast", "POST /rooms/{room_id}/broadcast"}
"""The others' examples need the broadcast: what ends it comes after them."""

VIEWER: Final = "kim"
WHO: Final = {
    Role.ADMIN: token("admin", "boss", room=None),
    Role.SERVICE: token("service", "back-end", room=None),
    Role.MODEL: token("model", MODEL),
    Role.VIEWER: token("viewer", VIEWER, tier="VIP_PLATINUM"),
}

ALSO_ACCEPTED: Final = {
    # Who must name the tipper, and who must not, hangs on the token: no schema of a body says it.
    "POST /rooms/{room_id}/tips": 422,
    # A vibration's type says which other fields it needs.
    "POST /ledger/holds": 422,
    # Less than what is held.
    "POST /ledger/holds/{hold_id}/settle": 422,
    # docs/webhooks.md says which URLs there may be.
    "POST /webhooks": 422,
    "PATCH /webhooks/{webhook_id}": 422,
    # Not beyond the newest event.
    "POST /webhooks/{webhook_id}/replay": 422,
    # Nor that a window ends after it begins.
    "GET /lovense/activations/stats": 422,
    "GET /admin/mood-messages/analytics": 422,
    # Who must write the text himself hangs on the token.
    "POST /mood-messages": 422,
    # Which variables a template's text may name hangs on its type.
    "POST /admin/message-templates": 422,
    "PUT /admin/message-templates/{template_id}": 422,
    # Which tokens belong to which kind of abandon.
    "POST /stage/purchases/{purchase_id}/abandon": 422,
    # A moment that there is: JSON Schema's has leap seconds, and hours before the year 1.
    "PUT /subscriptions": 422,
    # So does who must name the model.
    **dict.fromkeys(OF_ONE_MODEL, 422),
}

NEEDS_A_FAILURE: Final = {"POST /webhooks/{webhook_id}/deliveries/{seq}/redeliver"}
"""Says yes of a delivery that has failed: test_webhooks.py makes some."""

METHODS: Final = ("get", "put", "post", "delete", "patch")


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By name, "GET /path"."""
    return {
        f"{method.upper()} {path}": methods[method]
        for path, methods in document["paths"].items()
        for method in METHODS
        if method in methods
    }


def bounds_tried_by(operation: dict[str, Any]) -> Role:
    """One role sends an operation its boundary values: what a body may hold is the same for all who
    may call it. Each sends examples and random requests."""
    return next(role for role in WHO if role in operation["x-roles"])


def finite(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in operations(document).items() if name not in ENDLESS}


def public(document: dict[str, Any]) -> set[str]:
    """What asks for no token."""
    return {name for name, each in operations(document).items() if not each.get("security")}


HELD: Final = {
    "GET /ledger/holds/{hold_id}": "held-to-see",
    "POST /ledger/holds/{hold_id}/settle": "held-to-settle",
    "POST /ledger/holds/{hold_id}/release": "held-to-release",
}
"""One for each end of a hold, and one to see: what an answer names is sent elsewhere, too."""


BOUGHT: Final = {
    "POST /stage/purchases/{purchase_id}/start": "ready-2-5",
    "POST /stage/purchases/{purchase_id}/finish": "ready-1-1",
    "POST /stage/purchases/{purchase_id}/abandon": "ready-2-2",
    "POST /stage/purchases/{purchase_id}/cancel": "ready-2-3",
    "GET /menus/purchases/{purchase_id}": "ready-1-2",
}
"""What each needs of the demo's menus. The one to start is bought first, and takes no toy, which
another operation needs at rest."""
BUYER: Final = "dee"
"""For roles that are no viewer's: VIEWER's own requests are counted while they are tried."""


WEBHOOK_URL: Final = "http://127.0.0.1:9/hook"
"""Nobody listens there."""


def held(hold_id: str) -> dict[str, Any]:
    item = {
        "itemId": "item-1",
        "itemName": "A dance",
        "descriptionPublic": "",
        "vibration": None,
        "bonusPoints": 0,
    }
    return {"holdId": hold_id, "userId": VIEWER, "roomId": ROOM, "amount": 5, "item": item}


def has_success(answers: Counter[int]) -> bool:
    return any(200 <= status < 300 for status in answers)


DISMISS_MESSAGE = "POST /admin/mood-messages/dead-letters/{message_id}/dismiss"
TEMPLATE: Final = {
    "name": "An example",
    "messageType": "private_custom",
    "mood": "sad",
    "tier": None,
    "content": "Hello {{username}}",
}


def new_message(site: Site, role: Role) -> str:
    """The messageId of one that `role` has got, or may see."""
    author, recipient_id = (Role.MODEL, VIEWER) if role is Role.VIEWER else (Role.VIEWER, MODEL)
    body = {"recipientId": recipient_id, "content": "Hello"}
    answer = site.request("POST", "/mood-messages", bearer=WHO[author], json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["messageId"])


def new_template(site: Site) -> str:
    path = "/admin/message-templates"
    answer = site.request("POST", path, bearer=WHO[Role.ADMIN], json=TEMPLATE)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["templateId"])


def bodies(site: Site, tip_id: str, role: Role) -> dict[str, Any]:
    """What each operation says yes to while the demo's room is live: random bodies hardly ever
    name a running broadcast. One that is missing here shows as an operation without a success."""
    reason = {"reason": "a check of all operations"}
    menu = site.request("GET", "/lovense/tip-menu", "model").json()["rows"]
    pattern = {"name": "Tide", "pattern": {"values": [1, 20], "intervalMs": 250}}
    row = {
        "tipAmount": 4_321,
        "vibration": {"type": "LEVEL", "strength": 5, "durationSec": 3},
        "description": "An example",
        "active": True,
    }
    return {
        "POST /lovense/tip-menu": row,
        "PUT /lovense/tip-menu/{row_id}": row | {"tipAmount": 4_322},
        "PUT /lovense/tip-menu/reorder": {"rowIds": [each["rowId"] for each in menu]},
        "POST /lovense/patterns": pattern,
        "PUT /lovense/patterns/{pattern_id}": pattern,
        "POST /demo/tokens": {"as": VIEWER},
        "POST /rooms/{room_id}/tips": {
            "tipId": new_tip_id(),
            "broadcastId": site.broadcast_id(),
            "amount": 5,
            "userId": VIEWER,
        },
        "PUT /rooms/{room_id}/preferences": {"reactToMyTips": True},
        "POST /rooms/{room_id}/broadcast": {"lovenseMode": "EXTENSION"},
        "PATCH /admin/settings": {"lovenseRateLimitPerMin": 600},
        "PATCH /models/{model_id}/settings": {"autoConnect": True},
        "POST /admin/rooms/{room_id}/toys/stop": reason,
        "POST /admin/rooms/{room_id}/toys/resume": reason,
        "POST /admin/users/{user_id}/kick": reason,
        "POST /ledger/deposits": {"depositId": "d", "userId": VIEWER, "amount": 5},
        "POST /ledger/refunds": {"refundId": "r", "tipId": tip_id, "tokens": 1},
        "POST /ledger/holds": held("held"),
        "POST /ledger/holds/{hold_id}/settle": {"refundTokens": 1},
        "POST /webhooks": {"url": WEBHOOK_URL},
        "PATCH /webhooks/{webhook_id}": {"description": "ours"},
        "POST /webhooks/{webhook_id}/replay": {"after": 0},
        "POST /menus": {"name": "An example"},
        "PUT /menus/{menu_id}": {"name": "An example", "queueMode": "ON"},
        "POST /menus/{menu_id}/items": {"name": "Dance", "tokenValue": 5},
        "PUT /menus/{menu_id}/items/{item_id}": {"name": "Dance", "tokenValue": 6},
        "POST /menus/purchases": purchase("ready-1-1"),
        "PUT /subscriptions": {
            "userId": VIEWER,
            "modelId": MODEL,
            "activeUntil": "2099-01-01T00:00:00Z",
        },
        "PATCH /models/{model_id}/stage": {"order": "fifo"},
        "POST /stage/purchases/{purchase_id}/abandon": {"kind": "FULL_REFUND"},
        "POST /stage/dead-letters/{letter_id}/retry": {"note": "a check"},
        "POST /stage/dead-letters/{letter_id}/dismiss": {"note": "a check"},
        DISMISS_MESSAGE: {"note": "a check"},
        "PUT /users/{user_id}": {"username": VIEWER, "membershipTier": "VIP_PLATINUM"},
        "PUT /models/{model_id}": {"displayName": "Ruby Rain", "roomId": ROOM},
        "POST /admin/lovense/dead-letters/{record_id}/requeue": {"note": "a check"},
        "POST /admin/lovense/dead-letters/{record_id}/dismiss": {"note": "a check"},
        "POST /admin/skipped-events/{consumer}/{tip_id}/retry": reason,
        "POST /lovense/test-activation": {"rowId": menu[0]["rowId"]},
        "POST /lovense/devices/pair": {"toyId": "an-example"},
        "POST /mood-messages": {
            "recipientId": MODEL if role is Role.VIEWER else VIEWER,
            "content": "Hello",
        },
        "PUT /rooms/{room_id}/mood": {"mood": "happy"},
        "POST /admin/message-templates": TEMPLATE,
        "PUT /admin/message-templates/{template_id}": TEMPLATE,
        "PUT /lovense/devices/{device_id}": {"maxStrength": 20},
    }


def purchase(item_id: str) -> dict[str, Any]:
    """Of an item that nobody has edited."""
    menu_id, key = item_id.rpartition("-")[0], f"key-{new_tip_id()}"
    return {"idempotencyKey": key, "menuId": menu_id, "itemId": item_id, "version": 1}


def new_purchases(site: Site, role: Role) -> dict[str, str]:
    """Operation -> the purchaseId that it needs: the viewer's own, or somebody's."""
    clear_stage(site)
    bearer = WHO[role] if role is Role.VIEWER else token("viewer", BUYER)
    ids = {}
    for name, item_id in BOUGHT.items():
        bought = site.request("POST", "/menus/purchases", bearer=bearer, json=purchase(item_id))
        assert bought.status_code == 200, bought.text
        ids[name] = bought.json()["purchaseId"]
    return ids


def clear_stage(site: Site) -> None:
    """What is performed keeps the broadcast on air."""
    path, body = "/stage/purchases/{purchase_id}/abandon", {"kind": "FULL_REFUND"}
    for entry in site.request("GET", "/models/{model_id}/stage", "admin").json()["entries"]:
        ids = {"purchase_id": entry["purchase"]["purchaseId"]}
        assert site.request("POST", path, "admin", json=body, ids=ids).status_code == 200


def new_stage_letter(site: Site, purchase_id: str) -> str:
    """The letterId of a dead letter, as if a refund had been refused three times; it is paid by
    now, so that a retry finds nothing to do."""
    path, body = "/stage/purchases/{purchase_id}/abandon", {"kind": "FULL_REFUND"}
    ids = {"purchase_id": purchase_id}
    assert site.request("POST", path, "admin", json=body, ids=ids).status_code == 200
    [letter] = site.query(
        """INSERT INTO stage_dead_letters (letter_id, purchase_id, step, code)
        VALUES (gen_random_uuid(), $1::text::uuid, 1, 'HOLD_ENDED') RETURNING letter_id::text""",
        purchase_id,
    )
    return str(letter["letter_id"])


def new_dead_message(site: Site, role: Role) -> str:
    message_id = new_message(site, role)
    site.query(
        "UPDATE mood_messages SET state = 'failed', reason = 'ROOM_UNAVAILABLE', failed_at = now()"
        " WHERE message_id = $1::text::uuid",
        message_id,
    )
    return message_id


def new_webhook(site: Site) -> str:
    answer = site.request("POST", "/webhooks", bearer=WHO[Role.SERVICE], json={"url": WEBHOOK_URL})
    assert answer.status_code == 200, answer.text
    webhook_id = answer.json()["webhook"]["webhookId"]
    assert isinstance(webhook_id, str)
    return webhook_id


def new_letter(site: Site, tip_id: str) -> str:
    """The recordId of a dead letter, as if a page had not answered to a tip."""
    [letter] = site.query(
        """INSERT INTO dead_letters (record_id, tip_id, room_id, target_type, target_id, requeue,
                                     attempts, reason, died_at)
        SELECT gen_random_uuid(), $1, $2, 'MODEL_TOY', $3, count(*), 3, 'no_answer', now()
        FROM dead_letters RETURNING record_id::text""",
        tip_id,
        ROOM,
        MODEL,
    )
    return str(letter["record_id"])


def skip(site: Site, consumer: str, tip_id: str) -> None:
    """As if the consumer could not take the tip's event."""
    site.query(
        "INSERT INTO skipped_events VALUES ($1, $2, 'a check') ON CONFLICT DO NOTHING",
        consumer,
        tip_id,
    )


def with_examples(
    site: Site,
    tip_id: str,
    role: Role = Role.ADMIN,
    bought: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The server's own document, with ids and bodies of the demo as examples; `bought`: operation
    -> its purchaseId."""
    document = copy.deepcopy(site.document)
    place = {
        "room_id": ROOM,
        "model_id": MODEL,
        "modelId": MODEL,
        "tip_id": tip_id,
        "user_id": VIEWER,
        "account_id": f"model:{MODEL}" if role is Role.MODEL else f"user:{VIEWER}",
        "webhook_id": new_webhook(site),
        "seq": "1",
        "consumer": "loyalty",
        "menu_id": "ready-1",
        "item_id": "ready-1-7",
    }
    place |= new_menu(site)
    place["template_id"] = new_template(site)
    if tip_id != "none":  # who has tipped may write
        place["message_id"] = new_message(site, role)
    if role is Role.MODEL:
        place |= new_performance_menu(site)
    if role in (Role.MODEL, Role.VIEWER):
        body = {"toyId": "an-example"}
        paired = site.request("POST", "/lovense/devices/pair", bearer=WHO[role], json=body)
        place["device_id"] = paired.json()["deviceId"]
    deleted = new_webhook(site)
    fed = bodies(site, tip_id, role)
    letters = {}
    if bought and role is Role.ADMIN:
        for way, spare in (("retry", "start"), ("dismiss", "cancel")):
            paid = new_stage_letter(site, bought[f"POST /stage/purchases/{{purchase_id}}/{spare}"])
            letters[f"POST /stage/dead-letters/{{letter_id}}/{way}"] = paid
    for name, operation in operations(document).items():
        ids = place | {"hold_id": HELD.get(name, "")}
        if name == "DELETE /webhooks/{webhook_id}":
            ids["webhook_id"] = deleted
        if name == "POST /admin/users/{user_id}/kick":  # not who has the tokens of this run
            ids["user_id"] = "somebody-else"
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            if "$ref" in schema:
                schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            # What an answer names is sent elsewhere, too: with it the run revokes itself.
            del schema["properties"]["revokeTokens"]
        if name == "DELETE /menus/{menu_id}" and role is Role.MODEL:
            ids["menu_id"] = add_menu(site)
        if "{purchase_id}" in name:
            ids["purchase_id"] = bought.get(name, "none")
        if "{letter_id}" in name:
            ids["letter_id"] = letters.get(name, "none")
        if name == DISMISS_MESSAGE and tip_id != "none":
            ids["message_id"] = new_dead_message(site, role)
        if "{record_id}" in name:
            ids["record_id"] = new_letter(site, tip_id)
        if "{consumer}" in name:
            skip(site, "loyalty", tip_id)
        for parameter in operation["parameters"]:
            if parameter["name"] in ids:
                parameter["example"] = ids[parameter["name"]]
        if name in fed:
            operation["requestBody"]["content"]["application/json"]["example"] = fed[name]
    return document


def new_menu(site: Site) -> dict[str, str]:
    """The ids of a row and a pattern, with nothing beside them that an earlier run has left."""
    vibration = {"type": "LEVEL", "strength": 5, "durationSec": 3}
    row = {"tipAmount": 4_320, "vibration": vibration, "description": "A row", "active": True}
    pattern = {"name": "Tide", "pattern": {"values": [1, 20], "intervalMs": 250}}
    ids = {}
    for kind, path, body in [
        ("row", "/lovense/tip-menu", row),
        ("pattern", "/lovense/patterns", pattern),
    ]:
        name = f"{kind}_id"
        for left in site.request("GET", path, "model").json()[f"{kind}s"]:
            site.request("DELETE", f"{path}/{{{name}}}", "model", ids={name: left[f"{kind}Id"]})
        added = site.request("POST", path, "model", json=body)
        assert added.status_code == 200, added.text
        ids[name] = added.json()[f"{kind}Id"]
    return ids


def add_menu(site: Site) -> str:
    """The menuId of an empty one."""
    added = site.request("POST", "/menus", "model", json={"name": "An example"})
    assert added.status_code == 200, added.text
    return str(added.json()["menuId"])


def new_performance_menu(site: Site) -> dict[str, str]:
    """The ids of a menu and its item, with nothing beside the ready ones that an earlier run has
    left."""
    for left in site.request("GET", "/models/{model_id}/menus", "model").json()["menus"]:
        ids = {"menu_id": left["menuId"]}
        if not left["menuId"].startswith("ready-"):
            site.request("DELETE", "/menus/{menu_id}", "model", ids=ids)
    ids, item = {"menu_id": add_menu(site)}, {"name": "Dance", "tokenValue": 5}
    added = site.request("POST", "/menus/{menu_id}/items", "model", json=item, ids=ids)
    return ids | {"item_id": added.json()["itemId"]}


def go_live(site: Site) -> None:
    """The run before may have switched the toys off, ended the broadcast, or set the mood as often
    as it may be set."""
    site.query("DELETE FROM room_moods")
    site.change_platform(enableLovense=True, lovenseRateLimitPerMin=600)
    site.change_model(viewerSyncMode="VIP_ROOM_SYNC")
    room = site.request("GET", "/admin/rooms/{room_id}", "admin").json()["room"]
    if room["lovenseMode"] != "EXTENSION":
        go_off_air(site)
        body = {"lovenseMode": "EXTENSION"}
        started = site.request("POST", "/rooms/{room_id}/broadcast", "model", json=body)
        assert started.status_code == 200, started.text


def go_off_air(site: Site) -> None:
    """Whether or not the room is live."""
    ended = site.request("DELETE", "/rooms/{room_id}/broadcast", "model")
    assert ended.status_code in (200, 409), (ended.status_code, ended.text)


@contextmanager
def model_with_toy(site: Site) -> Iterator[None]:
    """Without her page there is nothing to test. Takes whatever the room sends."""
    with site.socket() as member:
        member.join(WHO[Role.MODEL], integration="EXTENSION", pageId="page-of-examples")
        site.report(member)
        member.ask("resumeToys")
        assert isinstance(member.socket, WebsocketsSocket)
        reader = Thread(target=_take_all, args=(member.socket.connection,))
        reader.start()
        yield
    reader.join()


def _take_all(connection: ClientConnection) -> None:
    """A broadcast on the other integration closes her page."""
    with suppress(ConnectionClosed):
        deque(connection, 0)


@contextmanager
def viewer_with_toy(site: Site) -> Iterator[None]:
    """Without a toy there is no preference to change. Takes whatever the room sends."""
    with site.viewer(VIEWER, toy=True) as member:
        assert isinstance(member.socket, WebsocketsSocket)
        reader = Thread(target=_take_all, args=(member.socket.connection,))
        reader.start()
        yield
    reader.join()


@pytest.fixture(scope="module")
def own_site(new_database: NewDatabase) -> Iterator[Site]:
    """A server that may be left in any state. It logs no error, whatever it is sent."""
    often = {"TIPROOM_PURCHASE_REQUESTS_PER_MIN": "100000"}
    with (
        new_data_dir() as path,
        new_database() as dsn,
        running_site(path, DATABASE_URL=dsn, **often) as site,
    ):
        yield site
        assert [line for line in site.server.log if line.get("level") == "error"] == []


@pytest.fixture(scope="module")
def run_as(own_site: Site) -> Callable[[Role], Report]:
    """The run of a role over all that it may call; made once."""
    settled = new_tip_id()
    assert own_site.post_tip(WHO[Role.VIEWER], settled, 5).status_code == 200
    for hold_id in set(HELD.values()):
        answer = own_site.request(
            "POST", "/ledger/holds", bearer=WHO[Role.SERVICE], json=held(hold_id)
        )
        assert answer.status_code == 200, answer.text

    @cache
    def running(role: Role) -> Report:
        go_live(own_site)
        bought = new_purchases(own_site, role)
        document = with_examples(own_site, settled, role, bought)
        may = {name for name, each in finite(document).items() if role in each.get("x-roles", ())}
        tried = {name for name in may if bounds_tried_by(operations(document)[name]) is not role}

        def sending(names: set[str]) -> Report:
            report = Report()
            for some, phases in ((names - tried, PHASES), (names & tried, PHASES - {"coverage"})):
                if some:
                    report += run(
                        document,
                        own_site.server.http_url,
                        some,
                        WHO[role],
                        phases=phases,
                        also_accepted=ALSO_ACCEPTED,
                    )
            return report

        with viewer_with_toy(own_site), model_with_toy(own_site):
            report = Report()
            for names in (FIRST, may - FIRST - REMOVING - ON_AIR, REMOVING):
                report += sending(may & names)
            if may & ON_AIR:
                clear_stage(own_site)
                go_off_air(own_site)
                for name in sorted(ON_AIR, reverse=True):  # POST, then DELETE
                    report += sending({name})
            return report

    return running


@pytest.mark.parametrize("role", WHO)
def test_who_may_call_gets_what_the_document_says(
    run_as: Callable[[Role], Report], role: Role
) -> None:
    report = run_as(role)
    assert report.failures == []
    refused = {name for name, answers in report.answers.items() if not has_success(answers)}
    assert refused <= NEEDS_A_FAILURE


def test_open_operations_answer_nobody_what_the_document_says(own_site: Site) -> None:
    document = with_examples(own_site, "none")
    report = run(document, own_site.server.http_url, public(document))
    assert report.failures == []
    assert all(has_success(answers) for answers in report.answers.values())


def test_nobody_gets_nothing_but_401_from_the_others(own_site: Site) -> None:
    """Whatever else the request is, good or bad."""
    document = own_site.document
    guarded = operations(document).keys() - public(document)
    report = run(document, own_site.server.http_url, guarded, phases={"fuzzing"})
    assert report.failures == []
    assert {status for answers in report.answers.values() for status in answers} == {401}


def test_every_operation_is_run_and_says_yes_to_somebody(
    own_site: Site, run_as: Callable[[Role], Report]
) -> None:
    """An operation that is missing needs an example in `bodies` or `with_examples`."""
    said_yes = {
        name
        for role in WHO
        for name, answers in run_as(role).answers.items()
        if has_success(answers)
    }
    expected = finite(own_site.document).keys() - public(own_site.document)
    assert expected - said_yes <= NEEDS_A_FAILURE


# ---- the run itself: what it must find ---------------------------------------------------------


def forget_the_answer(document: dict[str, Any]) -> None:
    del document["paths"]["/admin/tips/{tip_id}"]["get"]["responses"]["404"]


def promise_another_shape(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["PlatformSettings"]["required"] = ["noSuchSetting"]


def promise_another_media_type(document: dict[str, Any]) -> None:
    ok = document["paths"]["/admin/settings"]["get"]["responses"]["200"]
    ok["content"] = {"text/plain": {"schema": {"type": "string"}}}


def claim_to_be_guarded(document: dict[str, Any]) -> None:
    document["paths"]["/healthz"]["get"]["security"] = [{"bearer": []}]


def allow_what_is_refused(document: dict[str, Any]) -> None:
    act = document["components"]["schemas"]["Act"]
    act["properties"]["reason"] = {"type": "integer"}


LIES: Final = [
    (forget_the_answer, "GET /admin/tips/{tip_id}", "status_code_conformance"),
    (promise_another_shape, "GET /admin/settings", "response_schema_conformance"),
    (promise_another_media_type, "GET /admin/settings", "content_type_conformance"),
    (claim_to_be_guarded, "GET /healthz", "ignored_auth"),
    (
        allow_what_is_refused,
        "POST /admin/rooms/{room_id}/toys/resume",
        "positive_data_acceptance",
    ),
]


@pytest.mark.parametrize(("lie", "name", "check"), LIES)
def test_a_document_that_lies_turns_the_run_red(
    own_site: Site, lie: Callable[[dict[str, Any]], None], name: str, check: str
) -> None:
    document = with_examples(own_site, "none")
    lie(document)
    report = run(document, own_site.server.http_url, {name}, WHO[Role.ADMIN])
    assert check in {failure.split(": ")[1] for failure in report.failures}


class _Failing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the name is the library's
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Nothing: standard error is pytest's."""


def test_a_server_that_fails_turns_the_run_red(own_site: Site) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Failing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        report = run(own_site.document, url, {"GET /healthz"})
        server.shutdown()
        thread.join()
    found = {failure.split(": ")[1] for failure in report.failures}
    assert found >= {"not_a_server_error", "status_code_conformance"}
