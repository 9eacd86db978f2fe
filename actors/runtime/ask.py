"""A question to an actor: one answer, within a deadline."""

from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class AskTimeout(Exception):
    """The actor did not answer in time; whether it will still act is not known."""


class Ask(Generic[T]):
    """Goes inside a message as its `reply_to`; the asker waits on it. Used once."""

    def __init__(self) -> None:
        self._answered = trio.Event()
        self._result: T

    def answer(self, result: T) -> None:
        """Never waits. An answer after the first is a programmer's error."""
        assert not self._answered.is_set(), "answered twice"
        self._result = result
        self._answered.set()

    async def wait(self, timeout_s: float) -> T:
        """The answer; one that is there is taken even without any time left. Raises AskTimeout."""
        with trio.move_on_after(timeout_s):
            await self._answered.wait()
        if not self._answered.is_set():
            raise AskTimeout
        return self._result
