"""Who uses the system while it is struck: tippers at sockets, the platform over HTTP, the model's
page. Each sends one transfer at a time and knows nothing but what he is told."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import msgspec
from websockets.exceptions import WebSocketException

from tests.chaos.history import Attempt, History, Told
from tests.e2e.members import Closed, Frame, Member, WebsocketsSocket
from tests.e2e.site import ROOM, Site, token

OPERATIONS_PER_LIFE_MAX: Final = 50
"""Of one client: below the 60 purchases a minute that a room allows one user."""
TOY_AMOUNT: Final = 15
QUIET_AMOUNT_MAX: Final = 9
"""Below the minimum: no toy."""
HELD_AMOUNT_MAX: Final = 40

LOST: Final = (Closed, WebSocketException, httpx.TransportError, OSError)
"""What a client sees of a server that is killed, wherever it is just then."""
COME_AGAIN: Final = (429, 503)
"""Nothing is decided: the same again finds out."""
SILENT: Final = (TimeoutError, httpx.TimeoutException)
"""Some of them are something else: a server that lives and does not answer."""


class Trigger:
    """Strikes a moment after so many acknowledgements, whoever waits for what."""

    def __init__(self, strike: Callable[[], None], after: int, delay_s: float) -> None:
        self._strike = strike
        self._left = after
        self._delay_s = delay_s
        self._lock = threading.Lock()

    def acknowledged(self) -> None:
        with self._lock:
            self._left -= 1
            due = self._left == 0
        if due:
            time.sleep(self._delay_s)  # the moment is drawn, and no event of anybody's
            self._strike()

    def pull(self) -> None:
        """Strike now if it has not struck: nobody is left who could be acknowledged."""
        with self._lock:
            due, self._left = self._left > 0, 0
        if due:
            self._strike()


@dataclass(frozen=True)
class Operation:
    """One transfer to ask for, in the words of the wire; sent again it is the same."""

    attempt: Attempt
    path: str
    """Of HTTP; empty: at a socket."""
    body: dict[str, Any]


class Refused(msgspec.Struct, frozen=True):
    """For good. A refusal that asks to come again is none, and is None here."""

    code: str


Answer = Told | Refused | None
Send = Callable[[Operation], Answer]


class Client(ABC):
    """`work` until the connection is lost or an outcome is unknown; what is unknown comes first
    the next time."""

    def __init__(self, name: str, seed: str, first_balance: int) -> None:
        self.name = name
        self.chance = random.Random(f"{seed}/{name}")
        self.history = History(name, first_balance)
        self.cut_off = 0
        """How often an outcome was unknown."""
        self._operations: list[Operation] = []
        self._pending: Operation | None = None

    @abstractmethod
    def work(self, site: Site, trigger: Trigger) -> None: ...

    @abstractmethod
    def settle_up(self, site: Site, repeats: int) -> None:
        """Find out what is unknown, and ask for so many old ones once more."""

    @abstractmethod
    def _next(self) -> Operation: ...

    @abstractmethod
    def _accepted(self, operation: Operation) -> None:
        """It was, for the first time."""

    def ask(self, send: Send, operation: Operation) -> None:
        """One more, while all is well."""
        self._begin(operation)
        assert self._resolve(send), "all is well, and it is unknown"

    def _begin(self, operation: Operation) -> None:
        self._pending = operation
        self._operations.append(operation)
        self.history.attempt(operation.attempt)

    def _drive(self, send: Send, trigger: Trigger) -> None:
        try:
            if self._pending is not None and not self._resolve(send):
                return
            for _ in range(OPERATIONS_PER_LIFE_MAX):
                self._begin(self._next())
                if not self._resolve(send):
                    return
                trigger.acknowledged()
        except SILENT:
            raise
        except LOST:
            return
        finally:
            self.cut_off += self._pending is not None

    def _resolve(self, send: Send) -> bool:
        """False: the outcome of the pending operation is still unknown."""
        assert self._pending is not None
        if not self._put(send, self._pending):
            return False
        operation, self._pending = self._pending, None
        if operation.attempt.source_ref in self.history.told:
            self._accepted(operation)
        return True

    def _put(self, send: Send, operation: Operation) -> bool:
        """Send it, and keep what is said to it. False: nothing was."""
        ref = operation.attempt.source_ref
        match send(operation):
            case Told() as told:
                self.history.acknowledged(ref, told)
            case Refused(code):
                self.history.refuse(ref, code)
            case None:
                return False
        return True

    def _settle_up(self, send: Send, repeats: int) -> None:
        if self._pending is not None:
            assert self._resolve(send), "all is well, and it is still unknown"
        for operation in self.chance.sample(self._operations, min(repeats, len(self._operations))):
            assert self._put(send, operation), "all is well, and it is unknown again"


class Tipper(Client):
    """A viewer at a socket."""

    def work(self, site: Site, trigger: Trigger) -> None:
        try:
            with site.socket() as member:
                if joined(member, site.demo_token(self.name)):
                    self._drive(either(site, member), trigger)
        except SILENT:
            raise
        except LOST:
            return

    def settle_up(self, site: Site, repeats: int) -> None:
        with site.viewer(self.name) as member:
            self._settle_up(either(site, member), repeats)

    def _next(self) -> Operation:
        plays = self.chance.random() < 0.04
        return self.tip(TOY_AMOUNT if plays else self.chance.randint(1, QUIET_AMOUNT_MAX))

    def tip(self, amount: int) -> Operation:
        """A new one."""
        tip_id = f"{self.name}-{len(self._operations)}"
        # The same ref again, so that the whole frame of a repeat is to be the same bytes.
        body = {"tipId": tip_id, "amount": amount, "ref": 1_000 + len(self._operations)}
        return Operation(Attempt(f"tip:{tip_id}", self.name, -amount), "", body)

    def _accepted(self, operation: Operation) -> None:
        """His next tip does not depend on it."""


def joined(member: Member, token: str) -> bool:
    """False when the server says that it cannot let anyone in just now."""
    answer = member.ask("connect", token=token)
    if answer["type"] == "error":
        assert answer["retry"], answer
        return False
    member.snapshot = member.until("snapshot")
    return True


def either(site: Site, member: Member) -> Send:
    """The way that the operation names."""
    over_http, at_socket = by_http(site), by_socket(member)
    return lambda operation: (over_http if operation.path else at_socket)(operation)


def by_socket(member: Member) -> Send:
    def send(operation: Operation) -> Answer:
        frame = member.ask("tip", broadcastId=member.broadcast_id, **operation.body)
        if frame["type"] == "ok":
            assert isinstance(member.socket, WebsocketsSocket)
            raw = member.socket.raw
            assert isinstance(raw, bytes)
            return Told(raw, frame["result"]["balance"])
        return None if frame["retry"] else Refused(frame["code"])

    return send


class Platform(Client):
    """The platform's back end, for one user: deposits, purchases with escrow that are settled,
    settled in part or given back, tips, and refunds of what was settled."""

    def __init__(self, name: str, seed: str, broadcast_id: str) -> None:
        super().__init__(name, seed, first_balance=0)
        self._broadcast_id = broadcast_id
        self._held: tuple[str, int] | None = None
        """Hold and amount."""
        self._settled: list[tuple[str, int]] = []
        """tipId and what was not refunded of it."""
        self._balance = 0

    def work(self, site: Site, trigger: Trigger) -> None:
        self._drive(by_http(site), trigger)

    def settle_up(self, site: Site, repeats: int) -> None:
        self._settle_up(by_http(site), repeats)

    def _next(self) -> Operation:
        new_id = f"{self.name}-{len(self._operations)}"
        if self._held is not None:
            return self._end_of_hold(*self._held)
        if self._balance < HELD_AMOUNT_MAX:
            return deposit(new_id, self.name, 1_000)
        drawn = self.chance.random()
        if drawn < 0.3 and self._settled:
            tip_id, left = self._settled[-1]
            tokens = self.chance.randint(1, left)
            body = {"refundId": new_id, "tipId": tip_id, "tokens": tokens}
            return self._operation(f"refund:{new_id}", tokens, "/ledger/refunds", body)
        if drawn < 0.5:
            amount = self.chance.randint(1, QUIET_AMOUNT_MAX)
            body = {
                "tipId": new_id,
                "broadcastId": self._broadcast_id,
                "userId": self.name,
                "amount": amount,
            }
            return self._operation(f"tip:{new_id}", -amount, f"/rooms/{ROOM}/tips", body)
        amount = self.chance.randint(2, HELD_AMOUNT_MAX)
        body = {
            "holdId": new_id,
            "userId": self.name,
            "roomId": ROOM,
            "amount": amount,
            "item": {
                "itemId": "wish",
                "itemName": "A wish",
                "descriptionPublic": "A wish",
                "vibration": None,
                "bonusPoints": amount * 3,
            },
        }
        return self._operation(f"hold:{new_id}", -amount, "/ledger/holds", body)

    def _end_of_hold(self, hold_id: str, amount: int) -> Operation:
        path = f"/ledger/holds/{hold_id}"
        drawn = self.chance.random()
        if drawn < 0.3:
            return self._operation(f"release:{hold_id}", amount, f"{path}/release", {})
        back = self.chance.randint(1, amount - 1) if drawn < 0.6 else 0
        return self._operation(
            f"purchase:{hold_id}", back, f"{path}/settle", {"refundTokens": back}
        )

    def _operation(
        self, source_ref: str, tokens: int, path: str, body: dict[str, Any]
    ) -> Operation:
        return Operation(Attempt(source_ref, self.name, tokens), path, body)

    def _accepted(self, operation: Operation) -> None:
        ref, tokens, body = (
            operation.attempt.source_ref,
            operation.attempt.tokens,
            operation.body,
        )
        self._balance += tokens
        match ref.partition(":")[0]:
            case "hold":
                self._held = (body["holdId"], body["amount"])
            case "release":
                self._held = None
            case "purchase":
                assert self._held is not None
                self._settled.append((ref, self._held[1] - tokens))
                self._held = None
            case "tip":
                self._settled.append((body["tipId"], -tokens))
            case "refund":
                tip_id, left = self._settled.pop()
                if left > tokens:
                    self._settled.append((tip_id, left - tokens))
            case kind:
                assert kind == "deposit"


def by_http(site: Site) -> Send:
    def send(operation: Operation) -> Answer:
        bearer = token("service", "back-end", room=None)  # a long campaign outlives one
        answer = site.http.post(
            operation.path, json=operation.body, headers={"Authorization": f"Bearer {bearer}"}
        )
        if answer.status_code < 300:
            return Told(answer.content, answer.json()["balance"])
        if answer.status_code in COME_AGAIN:
            return None
        assert answer.status_code < 500, answer.text
        return Refused(answer.json()["code"])

    return send


def deposit(deposit_id: str, user_id: str, tokens: int) -> Operation:
    body = {"depositId": deposit_id, "userId": user_id, "amount": tokens}
    return Operation(Attempt(f"deposit:{deposit_id}", user_id, tokens), "/ledger/deposits", body)


@dataclass
class Page:
    """The model's page, which outlives the server: it remembers each command that it began, and
    runs it once, as our SDK does."""

    runs: list[str] = field(default_factory=list)
    """tipId of each run, in order."""
    over: set[str] = field(default_factory=set)
    """Tips whose end the database had after the last fault."""
    too_late: list[str] = field(default_factory=list)
    """Commands for a tip that was over: even a page that forgot all must not get one."""
    _begun: set[str] = field(default_factory=set)

    def work(self, member: Member) -> None:
        """Run what comes, until the socket is lost or closed."""
        try:
            while True:
                try:
                    self._run(member, member.until("command"))
                except TimeoutError:
                    continue  # nobody tips for it just now
        except LOST:
            return

    def play_to_the_end(self, site: Site) -> None:
        """It is back and runs all that still waits."""
        with site.model() as member:
            while True:
                frame = member.next()
                if frame["type"] == "command":
                    self._run(member, frame)
                elif frame["type"] == "queueChanged" and not (frame["waiting"] or frame["playing"]):
                    return

    def problems(self) -> list[str]:
        twice = {tip_id for tip_id in self.runs if self.runs.count(tip_id) > 1}
        return [
            *(f"{tip_id} ran twice" for tip_id in sorted(twice)),
            *(f"{tip_id} was over, and commanded again" for tip_id in self.too_late),
        ]

    def _run(self, member: Member, command: Frame) -> None:
        if command["tipId"] in self.over:
            self.too_late.append(command["tipId"])
        if command["commandId"] not in self._begun:
            self._begun.add(command["commandId"])
            self.runs.append(command["tipId"])
        member.run(command)
