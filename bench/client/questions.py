"""What a client has asked, by ref, and how each question ends: once. Pure."""

import math
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from protocol.errors import ErrorCode
from protocol.frames import ClientFrame, Error, Ok, StopToys

ANSWER_TIMEOUT_S: Final = 10.0
"""A question without an answer for this long means that the connection is dead."""

Code = ErrorCode | Literal["DISCONNECTED", "CLOSED"]


class RequestError(Exception):
    """Not done. `code` is the server's; DISCONNECTED: there is no connection, or it was lost before
    an answer came; CLOSED: there will be none any more."""

    def __init__(
        self, code: Code, text: str, *, retry: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.retry = retry
        """The same may be done later, unchanged."""
        self.retry_after_s = retry_after_s


Ending = Callable[[Ok | RequestError], None]


class Question(msgspec.Struct):
    """`resend`: survives a lost connection and is asked again after it; only for what the server
    answers the same way twice. `asked_at_s`: on this connection; None while it waits for one."""

    frame: ClientFrame
    resend: bool
    on_end: Ending
    asked_at_s: float | None = None

    @property
    def stops(self) -> bool:
        return isinstance(self.frame, StopToys)


class Questions:
    """Those without an answer, in the order in which they came."""

    def __init__(self) -> None:
        self._last_ref = 0
        self._open: dict[int, Question] = {}

    def next_ref(self) -> int:
        self._last_ref += 1
        return self._last_ref

    def add(self, ref: int, question: Question) -> None:
        self._open[ref] = question

    def forget(self, ref: int) -> None:
        """Nobody waits for the answer any more; if it comes, it is passed over."""
        self._open.pop(ref, None)

    def answer(self, frame: Ok | Error) -> None:
        """End the question that this answers, if it is one of these."""
        question = self._open.pop(frame.ref, None) if frame.ref is not None else None
        if question is None:
            return
        if isinstance(frame, Ok):
            question.on_end(frame)
        else:
            question.on_end(
                RequestError(
                    frame.code, frame.text, retry=frame.retry, retry_after_s=frame.retry_after_s
                )
            )

    def unasked(self) -> list[Question]:
        """Those that wait for a connection, a stop ahead of all: nothing may start on a toy before
        it."""
        waiting = [each for each in self._open.values() if each.asked_at_s is None]
        return sorted(waiting, key=lambda each: not each.stops)

    def lost(self) -> None:
        """The connection is gone: what is not to be asked again ends with DISCONNECTED."""
        for question in self._open.values():
            question.asked_at_s = None
        self._end(
            [ref for ref, each in self._open.items() if not each.resend],
            RequestError("DISCONNECTED", "The connection was lost.", retry=True),
        )

    def close(self, text: str) -> None:
        """There will be no connection: all end with CLOSED."""
        self._end(list(self._open), RequestError("CLOSED", text))

    @property
    def must_stop(self) -> bool:
        """A stop is among them."""
        return any(each.stops for each in self._open.values())

    @property
    def deadline_s(self) -> float:
        """When the first of those that were asked has been without an answer for too long; inf if
        none was."""
        asked = [each.asked_at_s for each in self._open.values() if each.asked_at_s is not None]
        return min(asked, default=math.inf) + ANSWER_TIMEOUT_S

    def _end(self, refs: list[int], error: RequestError) -> None:
        for ref in refs:
            # A question may end another: what waits for both is not told twice.
            question: Any = self._open.pop(ref, None)
            if question is not None:
                question.on_end(error)
