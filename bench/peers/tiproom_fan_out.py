"""Tiproom's own sockets and fan-out, with a room that only lets members in: no ledger, no database,
no room actor. What is measured against the naive server is the way from an event to its members."""

import os
from functools import partial
from typing import Any, Final

import trio

from actors.ports import RoomRef, ViewerRecord
from actors.room.messages import Join
from bench.peers.control import obey
from protocol.frames import Ok, TipNotice
from protocol.gating import Preferences
from server.auth import Authority
from server.sockets.fan_out import FanOut
from server.sockets.limits import SocketLimits
from server.sockets.listener import SocketServer, serve_sockets

SECRET_VARIABLE: Final = "TIPROOM_TOKEN_SECRET"
ROOM_ID: Final = "room-1"


class OpenDoor:
    """Rooms, one room's mailbox and the members' store in one: everyone is let in."""

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out

    async def open(self, _room_id: str, /) -> RoomRef:
        await trio.lowlevel.checkpoint()
        return self

    def tell(self, message: Any) -> None:
        if isinstance(message, Join):
            assert message.ref is not None
            self._fan_out.send(message.session_id, Ok(message.ref))
            self._fan_out.admit(ROOM_ID, message.session_id)

    tell_always = tell_first = tell

    async def load_viewer(self, _user_id: str, /) -> ViewerRecord:
        await trio.lowlevel.checkpoint()
        return ViewerRecord(Preferences(), None)

    async def load_user(self, _user_id: str, /) -> None:
        raise AssertionError("only HTTP asks for a user's record")


async def main() -> None:
    fan_out = FanOut()
    door = OpenDoor(fan_out)

    async def broadcast(notice: TipNotice) -> None:
        """The next one only once everybody has this one: as fast as they take it."""
        fan_out.broadcast(ROOM_ID, notice)
        await trio.lowlevel.checkpoint()
        for connection in fan_out:
            if connection.outbox.backlog_bytes and not connection.outbox.broken:
                await connection.outbox.flushed()

    async with trio.open_nursery() as nursery:
        server: SocketServer = await nursery.start(
            partial(
                serve_sockets,
                host="127.0.0.1",
                port=0,
                limits=SocketLimits(),
                origins=frozenset(),
                authority=Authority(os.environ[SECRET_VARIABLE].encode()),
                rooms=door,
                members=door,
                delivery=fan_out,
            )
        )
        await obey(server.port, broadcast)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
