"""Postbox: when each message goes out, as one pure step. Read `step`, then `postbox_actor.py`.

One for each room, with its thanks and the end of its mood; one for each model, with all private
messages that are from her, to her or on her behalf; one for the system's other messages. A message
is in it from when it was taken until it is sent, has failed, or waits for its recipient to connect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final, assert_never
from uuid import UUID

import msgspec

from actors.messaging.ports import Message, MessageChange
from actors.runtime.moment import Moment
from protocol.mood_messages import RETRIES_MAX, FailureReason, MessageState

RETRY_BASE_S: Final = 1.0
"""Doubled with each retry of RETRIES_MAX."""

# ---- commands --------------------------------------------------------------------------------


class Take(msgspec.Struct, frozen=True):
    """Send these when they are due. One that is here already is no news, but for this: its
    recipient may have connected while the rooms are asked."""

    messages: tuple[Message, ...]


class Answered(msgspec.Struct, frozen=True):
    """What the rooms say of a message that was handed to them. `sockets`: how many of its
    recipient's got it; a public one counts as one, for it is sent whoever is there. `failed`: a
    room could not take it."""

    message_id: UUID
    sockets: int
    failed: bool = False


class SetMoodEnd(msgspec.Struct, frozen=True):
    """When the room's mood ends (trio's clock); None: it does not."""

    ends_at_s: float | None


class _Due(msgspec.Struct, frozen=True):
    """A moment that the postbox waits for has come."""


Command = Take | Answered | SetMoodEnd | _Due


# ---- effects ---------------------------------------------------------------------------------


class Hand(msgspec.Struct, frozen=True):
    """To the rooms; comes back as Answered."""

    message: Message


class Record(msgspec.Struct, frozen=True):
    change: MessageChange


class EndMood(msgspec.Struct, frozen=True):
    """The room is neutral again."""


Effect = Hand | Record | EndMood


# ---- state -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Waiting:
    message: Message
    due_s: float
    handed: bool = False
    """The rooms have it and have not answered yet."""
    retries: int = 0
    again: bool = False
    """Its recipient may have connected meanwhile."""


@dataclass(slots=True)
class PostboxState:
    waiting: dict[UUID, Waiting] = field(default_factory=dict)
    due: list[tuple[float, UUID]] = field(default_factory=list)
    """A heap of moments at which one of them is due; what has been handed or has ended since is
    passed over. A hot room has ten thousand thanks waiting, and a step looks at none of them."""
    mood_ends_at_s: float | None = None

    @property
    def empty(self) -> bool:
        return not self.waiting and self.mood_ends_at_s is None


def next_due_s(state: PostboxState) -> float:
    """When it wants a step although nobody has told it anything (trio's clock)."""
    while state.due and not _is_due(state, *state.due[0]):
        heappop(state.due)
    first_s = state.due[0][0] if state.due else float("inf")
    return first_s if state.mood_ends_at_s is None else min(first_s, state.mood_ends_at_s)


def _is_due(state: PostboxState, due_s: float, message_id: UUID) -> bool:
    """Whether this is still the moment of a message that waits here."""
    waiting = state.waiting.get(message_id)
    return waiting is not None and not waiting.handed and waiting.due_s == due_s


def _wait(state: PostboxState, waiting: Waiting, due_s: float) -> None:
    waiting.due_s = due_s
    heappush(state.due, (due_s, waiting.message.message_id))


def step(state: PostboxState, command: Command, now: Moment) -> list[Effect]:
    """Apply one command, then all that is due: no I/O, no waiting. What is due at once goes by
    priority, then by time."""
    effects: list[Effect] = []
    match command:
        case Take(messages):
            _take(state, messages, now)
        case Answered():
            effects += _answered(state, command, now)
        case SetMoodEnd(ends_at_s):
            state.mood_ends_at_s = ends_at_s
        case _Due():
            pass
        case _:
            assert_never(command)
    return effects + _due(state, now)


def _take(state: PostboxState, messages: Sequence[Message], now: Moment) -> None:
    for message in messages:
        waiting = state.waiting.get(message.message_id)
        if waiting is None:
            due_s = _due_s(message, now)
            waiting = state.waiting[message.message_id] = Waiting(message, due_s)
            _wait(state, waiting, due_s)
        else:
            waiting.again = waiting.handed


def _due_s(message: Message, now: Moment) -> float:
    """Kept on trio's clock from here on. One that waited for its recipient is due now."""
    if message.due_at is None:
        return now.clock_s
    return now.clock_s + (message.due_at - now.utc).total_seconds()


def _due(state: PostboxState, now: Moment) -> list[Effect]:
    due: list[Waiting] = []
    while state.due and state.due[0][0] <= now.clock_s:
        moment = heappop(state.due)
        if _is_due(state, *moment):
            due.append(state.waiting[moment[1]])
    due.sort(key=lambda each: (-each.message.priority, each.due_s))
    effects: list[Effect] = []
    for each in due:
        each.handed, each.again = True, False
        effects.append(Hand(each.message))
    if state.mood_ends_at_s is not None and state.mood_ends_at_s <= now.clock_s:
        state.mood_ends_at_s = None
        effects.append(EndMood())
    return effects


def _answered(state: PostboxState, answer: Answered, now: Moment) -> list[Effect]:
    waiting = state.waiting[answer.message_id]
    waiting.handed = False
    if answer.sockets:  # also if another room failed
        return _end(state, waiting, MessageState.SENT, now)
    if answer.failed:
        if waiting.retries == RETRIES_MAX:
            reason = FailureReason.ROOM_UNAVAILABLE
            return _end(state, waiting, MessageState.FAILED, now, reason)
        _wait(state, waiting, now.clock_s + RETRY_BASE_S * 2**waiting.retries)
        waiting.retries += 1
        return []
    if waiting.again:
        _wait(state, waiting, now.clock_s)
        return []
    return _end(state, waiting, None, now)


def _end(
    state: PostboxState,
    waiting: Waiting,
    end: MessageState | None,
    now: Moment,
    reason: FailureReason | None = None,
) -> list[Effect]:
    del state.waiting[waiting.message.message_id]
    attempts = 1 + waiting.retries
    change = MessageChange(
        waiting.message.message_id, end, now.utc, reason=reason, attempts=attempts
    )
    return [Record(change)]
