"""Room registry: brings a room up on first use, forgets it when it is put away."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import structlog
import trio

from actors.ports import StoreUnavailable
from actors.room.actor import RoomActor, RoomPorts, RoomUnknown
from actors.room.whereabouts import Arrival, Whereabouts
from protocol.errors import FAILED_ROOM_REST_S, ErrorCode, Refused


class RoomRegistry:
    """Implements actors.ports.Rooms. One actor per room, in one nursery of the application."""

    def __init__(self, ports: RoomPorts, nursery: trio.Nursery) -> None:
        self._ports = ports
        self._nursery = nursery
        self._awake: dict[str, RoomActor] = {}
        self._rising: dict[str, tuple[RoomActor, trio.Event]] = {}
        self._failed_until_s: dict[str, float] = {}
        self._log = structlog.get_logger("tiproom.rooms")

    @property
    def whereabouts(self) -> Whereabouts:
        """Who is in which of the rooms."""
        return self._ports.whereabouts

    def arriving(self, user_id: str) -> AbstractContextManager[Arrival]:
        """See the port."""
        return self.whereabouts.arriving(user_id)

    def awake(self, room_id: str) -> RoomActor | None:
        """The room, if it is up."""
        actor = self._awake.get(room_id)
        return None if actor is None or actor.mailbox.closed else actor

    def __iter__(self) -> Iterator[RoomActor]:
        """The rooms that are up or coming up: a change of settings told to all of them misses
        none, also not one that has just read the old ones."""
        rising = [actor for actor, _ in self._rising.values()]
        return iter([a for a in (*self._awake.values(), *rising) if not a.mailbox.closed])

    async def open(self, room_id: str) -> RoomActor:
        """The room, brought up if it sleeps. Raises Refused: ROOM_UNKNOWN; ROOM_FAILED
        while it rests; ROOM_BUSY while the database does not answer."""
        while (actor := self.awake(room_id)) is None:
            rising = self._rising.get(room_id)
            if rising is not None:
                await rising[1].wait()
            elif trio.current_time() < self._failed_until_s.get(room_id, 0.0):
                raise Refused(ErrorCode.ROOM_FAILED)
            else:
                await self._bring_up(room_id)
        return actor

    async def _bring_up(self, room_id: str) -> None:
        actor, risen = self._rising[room_id] = RoomActor(room_id, self._ports), trio.Event()
        try:
            await self._nursery.start(self._run, actor)
        except RoomUnknown:
            raise Refused(ErrorCode.ROOM_UNKNOWN) from None
        except StoreUnavailable:  # no fault of the room's: come back
            raise Refused(ErrorCode.ROOM_BUSY) from None
        except Exception as error:
            self._log.exception("room_failed", room_id=room_id)
            self._failed_until_s[room_id] = trio.current_time() + FAILED_ROOM_REST_S
            raise Refused(ErrorCode.ROOM_FAILED) from error
        else:
            self._failed_until_s.pop(room_id, None)
            self._awake[room_id] = actor
        finally:
            del self._rising[room_id]
            risen.set()

    async def _run(
        self,
        actor: RoomActor,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await actor.run(task_status=task_status)
        if actor.failed:
            self._failed_until_s[actor.room_id] = trio.current_time() + FAILED_ROOM_REST_S
        if self._awake.get(actor.room_id) is actor:
            del self._awake[actor.room_id]
