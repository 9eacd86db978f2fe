"""In which rooms each user is, or is about to be: so that what changed of a user elsewhere reaches
every open page, at the cost of a look-up and not of a walk through all rooms."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from actors.ports import RoomRef, SessionId, ViewerRecord


class Arrival:
    """A session between the look into the database and the Join that says what was seen there."""

    def __init__(self) -> None:
        self._balance: int | None = None

    def balance_changed(self, balance: int) -> None:
        self._balance = balance

    def brought_up_to_date(self, viewer: ViewerRecord) -> ViewerRecord:
        """What was read, with what has changed since."""
        if self._balance is None:
            return viewer
        return msgspec.structs.replace(viewer, balance=self._balance)


class Whereabouts:
    """Kept by the rooms: a session is in one from the moment when its Join waits there, until its
    Leave was taken or the room has ended."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[SessionId, RoomRef]] = {}
        self._users: dict[SessionId, str] = {}
        self._arrivals: dict[str, list[Arrival]] = {}

    @contextmanager
    def arriving(self, user_id: str) -> Iterator[Arrival]:
        """Around reading what a Join says and telling it to a room: nothing that changes meanwhile
        is missed."""
        arrival = Arrival()
        waiting = self._arrivals.setdefault(user_id, [])
        waiting.append(arrival)
        try:
            yield arrival
        finally:
            waiting.remove(arrival)
            if not waiting:
                del self._arrivals[user_id]

    def enter(self, session_id: SessionId, user_id: str, room: RoomRef) -> None:
        """A session that enters again, because its room was put away, is in the new one only."""
        self._users[session_id] = user_id
        self._rooms.setdefault(user_id, {})[session_id] = room

    def leave(self, session_id: SessionId, room: RoomRef) -> None:
        """No error for a session that has entered another room since."""
        user_id = self._users.get(session_id)
        if user_id is None or self._rooms[user_id][session_id] is not room:
            return
        del self._users[session_id]
        del self._rooms[user_id][session_id]
        if not self._rooms[user_id]:
            del self._rooms[user_id]

    def rooms_of(self, user_id: str) -> list[RoomRef]:
        """Each once."""
        return list(dict.fromkeys(self._rooms.get(user_id, {}).values()))

    def arrivals_of(self, user_id: str) -> list[Arrival]:
        return self._arrivals.get(user_id, [])
