"""Who uses menus and the stage while the system is struck: viewers who buy in both modes and
cancel, and the model who starts, finishes and abandons what they bought.

What a viewer was told of a purchase stands in his history as any transfer does, named by its key
(`buy:{key}`): its purchaseId is the server's. What somebody was told of a move stands in `Acts`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import msgspec

from tests.chaos.history import Attempt, Told
from tests.chaos.load import (
    COME_AGAIN,
    LOST,
    SILENT,
    Answer,
    Client,
    Operation,
    Refused,
    Send,
    Trigger,
    by_http,
)
from tests.chaos.stage_invariants import Moved
from tests.e2e.site import MODEL, Site, token

LINE_MAX: Final = 12
"""Who stands further back cancels: she cannot get through more in a life."""
ACTS_PER_LIFE_MAX: Final = 40
"""Of the model: below her 60 a minute, with what she asks again."""
LOOKS_PER_LIFE_MAX: Final = 300
TOY: Final = {"type": "LEVEL", "strength": 5, "durationSec": 1}
REACHED: Final = {
    "start": "STARTED",
    "finish": "FINISHED",
    "abandon": "ABANDONED",
    "cancel": "CANCELLED",
}


class Offer(msgspec.Struct, frozen=True):
    """An item on offer. `weight`: how often it is bought, beside the others."""

    menu_id: str
    item_id: str
    tokens: int
    weight: int


WARES: Final = {
    "ON": [
        ({"name": "A song", "tokenValue": 100, "bonusPoints": 7, "durationSec": 60}, 5),
        ({"name": "A wave", "tokenValue": 251, "vibration": TOY, "durationSec": 5}, 2),
    ],
    "OFF": [
        ({"name": "A kiss", "tokenValue": 10, "bonusPoints": 3}, 4),
        ({"name": "A buzz", "tokenValue": 25, "vibration": TOY}, 1),
    ],
}


def open_shop(site: Site) -> list[Offer]:
    """The model's menus of both modes, with items that drive a toy and others."""
    offers = []
    for mode, items in WARES.items():
        body = {"name": f"Mode {mode}", "queueMode": mode}
        menu_id = site.request("POST", "/menus", "model", json=body).json()["menuId"]
        for item, weight in items:
            answer = site.request(
                "POST", "/menus/{menu_id}/items", "model", json=item, ids={"menu_id": menu_id}
            )
            made = answer.json()
            offers.append(Offer(menu_id, made["itemId"], made["tokenValue"], weight))
    return offers


# ---- moves as they were told -------------------------------------------------------------------


class Act(msgspec.Struct, frozen=True):
    """A move to ask for, in the words of the wire; asked again it is the same."""

    purchase_id: str
    action: str
    body: dict[str, Any] | None = None


@dataclass
class Acts:
    """Of one person, who asks for one after the other."""

    told: set[tuple[str, str]] = field(default_factory=set)
    """(purchaseId, the state that it reached)"""
    refused: set[tuple[str, str]] = field(default_factory=set)
    """(purchaseId, action): for good."""
    unknown: list[Act] = field(default_factory=list)

    def ask(self, site: Site, bearer: str, act: Act) -> bool:
        """False: nobody knows. Raises what LOST has."""
        self.unknown.append(act)
        answer = site.http.post(
            f"/stage/purchases/{act.purchase_id}/{act.action}",
            json=act.body,
            headers={"Authorization": f"Bearer {bearer}"},
        )
        if answer.status_code in COME_AGAIN:
            return False
        self.unknown.remove(act)
        if answer.status_code == httpx.codes.OK:
            self.told.add((act.purchase_id, REACHED[act.action]))
        else:
            assert answer.status_code == httpx.codes.CONFLICT, answer.text
            if act.action == "cancel":  # started, or over: neither is undone
                self.refused.add((act.purchase_id, act.action))
        return True

    def ask_again(self, site: Site, bearer: str) -> None:
        """Find out what is unknown."""
        for act in list(self.unknown):
            self.unknown.remove(act)
            assert self.ask(site, bearer, act), "all is well, and it is unknown"


def move_problems(everybody: Iterable[Acts], moved: Sequence[Moved]) -> Iterator[str]:
    """What people were told of moves, against `moved`, all that the database has."""
    made = {(each.purchase_id, each.after) for each in moved}
    for acts in everybody:
        for purchase_id, after in sorted(acts.told - made):
            yield f"{purchase_id} was told to be {after} and is not"
        for purchase_id, action in sorted(acts.refused):
            if (purchase_id, REACHED[action]) in made:
                yield f"{purchase_id} was refused a {action} that was made"


def repeat(site: Site, purchase_id: str, state: str, buyer: str, terms: str) -> None:
    """Ask once more for the move by which a purchase came to its state: answered when what it owes
    is paid. `terms`: JSON, of an ABANDONED one."""
    action = next(each for each, reached in REACHED.items() if reached == state)
    bearer = token("viewer", buyer) if action == "cancel" else token("model", MODEL)
    body = json.loads(terms) if action == "abandon" else None
    act = Act(purchase_id, action, body)
    assert Acts().ask(site, bearer, act), "all is well, and it is unknown"


# ---- people ------------------------------------------------------------------------------------


class Shopper(Client):
    """A viewer over HTTP. Others move his tokens, too: the model by her moves."""

    def __init__(self, name: str, seed: str, offers: Sequence[Offer]) -> None:
        super().__init__(name, seed, first_balance=0)
        self.history.alone = False
        self.acts = Acts()
        self.settled_at_once: list[str] = []
        """Purchases of queue mode OFF that the model may mark as done."""
        self._offers = offers
        self._line: list[str] = []
        """What he has bought for the stage and may cancel."""
        self._site: Site | None = None

    @property
    def bearer(self) -> str:
        return token("viewer", self.name)

    def work(self, site: Site, trigger: Trigger) -> None:
        self._site = site
        self._drive(by_viewer(site, self), trigger)

    def settle_up(self, site: Site, repeats: int) -> None:
        self._site = site
        self._settle_up(by_viewer(site, self), repeats)
        self.acts.ask_again(site, self.bearer)

    def buy_for_stage(self, site: Site) -> None:
        """One more, while all is well."""
        self._site = site
        self.ask(by_viewer(site, self), self._buy(self._offers[0]))

    def _next(self) -> Operation:
        return self._buy(*self.chance.choices(self._offers, [each.weight for each in self._offers]))

    def _buy(self, offer: Offer) -> Operation:
        key = f"{self.name}-{len(self._operations)}"
        body = {
            "idempotencyKey": key,
            "menuId": offer.menu_id,
            "itemId": offer.item_id,
            "version": 1,
        }
        return Operation(Attempt(f"buy:{key}", self.name, -offer.tokens), "/menus/purchases", body)

    def _accepted(self, operation: Operation) -> None:
        """Now and then he thinks better of one of his."""
        if operation.path != "/menus/purchases":
            return
        told = self.history.told[operation.attempt.source_ref]
        receipt = msgspec.json.decode(told.answer)
        if receipt["queueMode"] == "OFF":
            self.settled_at_once.append(receipt["purchaseId"])
            return
        self._line.append(receipt["purchaseId"])
        if receipt["position"] > LINE_MAX or self.chance.random() < 0.2:
            assert self._site is not None
            chosen = self._line.pop(self.chance.randrange(len(self._line)))
            self.acts.ask(self._site, self.bearer, Act(chosen, "cancel"))


def by_viewer(site: Site, who: Shopper) -> Send:
    """Purchases as himself; what else moves his tokens is the platform's to ask for."""
    by_platform = by_http(site)

    def send(operation: Operation) -> Answer:
        if operation.path != "/menus/purchases":
            return by_platform(operation)
        answer = site.http.post(
            operation.path,
            json=operation.body,
            headers={"Authorization": f"Bearer {who.bearer}"},
        )
        if answer.status_code == httpx.codes.OK:
            return Told(answer.content, answer.json()["balance"])
        if answer.status_code in COME_AGAIN:
            return None
        assert answer.status_code < 500, answer.text
        return Refused(answer.json()["code"])

    return send


class Performer:
    """The model: one move after the other, whatever is next."""

    def __init__(self, chance: Any, shoppers: Sequence[Shopper]) -> None:
        self.acts = Acts()
        self._chance = chance
        self._shoppers = shoppers

    @property
    def bearer(self) -> str:
        return token("model", MODEL)

    def work(self, site: Site) -> None:
        """Until the connection is lost, an outcome is unknown, or she has done enough."""
        done = 0
        try:
            for _ in range(LOOKS_PER_LIFE_MAX):
                act = self._next(self.line(site))
                if act is not None:
                    done += 1
                    if not self.acts.ask(site, self.bearer, act):
                        return
                if done == ACTS_PER_LIFE_MAX:
                    return
        except SILENT:
            raise
        except LOST:
            return

    def line(self, site: Site) -> list[Any]:
        """What is performed and what waits; empty also where the database is away."""
        answer = site.http.get(
            f"/models/{MODEL}/stage", headers={"Authorization": f"Bearer {self.bearer}"}
        )
        if answer.status_code in COME_AGAIN:
            return []
        assert answer.status_code == httpx.codes.OK, answer.text
        found: list[Any] = answer.json()["entries"]
        return found

    def settle_up(self, site: Site) -> None:
        self.acts.ask_again(site, self.bearer)

    def clear(self, site: Site) -> None:
        """Finish what is performed."""
        for entry in self.line(site):
            if entry["purchase"]["state"] == "STARTED":
                act = Act(entry["purchase"]["purchaseId"], "finish")
                assert self.acts.ask(site, self.bearer, act)

    def start_next(self, site: Site) -> None:
        first = self.line(site)[0]["purchase"]["purchaseId"]
        assert self.acts.ask(site, self.bearer, Act(first, "start"))

    def _next(self, entries: list[Any]) -> Act | None:
        drawn = self._chance.random()
        if drawn < 0.1 and (paid := [each for each in self._shoppers if each.settled_at_once]):
            return Act(self._chance.choice(paid).settled_at_once.pop(), "finish")
        if not entries:
            return None
        first = entries[0]["purchase"]
        if drawn < 0.75:
            action = "finish" if first["state"] == "STARTED" else "start"
            return Act(first["purchaseId"], action)
        given_up = self._chance.choice(entries)["purchase"]
        kind = self._chance.choice(["FULL_REFUND", "FULL_SETTLE", "PARTIAL_REFUND"])
        part = self._chance.randint(1, given_up["tokens"])
        terms = {"kind": kind, "tokens": part if kind == "PARTIAL_REFUND" else None}
        return Act(given_up["purchaseId"], "abandon", terms)
