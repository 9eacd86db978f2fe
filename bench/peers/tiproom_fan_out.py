"""Tiproom's own sockets and fan-out, with a room that passes tips on: no ledger, no database, no
room actor. What is measured against other servers is the way from a member to the others."""

import os
import sys
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

import trio

from actors.ports import RoomRef, SessionId, ViewerRecord
from actors.room.messages import Join, Leave, MemberFrame
from actors.room.whereabouts import Arrival, Whereabouts
from actors.runtime.mailbox import Mailbox
from bench.peers import FELT_BY, announce
from protocol.frames import Command, Ok, Tip, TipNotice
from protocol.gating import Preferences
from protocol.lovense import Integration, VendorCall
from server.auth import Authority
from server.sockets.fan_out import FanOut
from server.sockets.limits import SocketLimits
from server.sockets.listener import SocketServer, serve_sockets
from server.sockets.room_endpoint import RoomEndpoint

SECRET_VARIABLE: Final = "TIPROOM_TOKEN_SECRET"
ROOM_ID: Final = "room-1"
FOR_EVERYONE_AMOUNT: Final = 1
FOR_THEM_AMOUNT: Final = 2
FIRST_OFFSET: Final = 1 << 16
"""From here to 2^32 MessagePack takes the same five bytes: all frames are of one size."""
EXPIRES_AT: Final = 4_102_444_800_000
"""In the year 2100."""

MAILBOX_LIMIT: Final = 65_536

_LIMITS: Final = SocketLimits(
    connections_max=65_536, frames_per_s=1e6, frames_burst=10**6, verb_factor=1e5
)
"""No limit is what is measured."""


class OpenDoor:
    """Rooms, one room's mailbox, the members' store and mail in one: everyone is let in."""

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self._mailbox: Mailbox[Any] = Mailbox(MAILBOX_LIMIT)
        self._felt: list[SessionId] = []
        self._offset = FIRST_OFFSET

    def arriving(self, user_id: str) -> AbstractContextManager[Arrival]:
        return Whereabouts().arriving(user_id)

    async def open(self, _room_id: str, /) -> RoomRef:
        await trio.lowlevel.checkpoint()
        return self

    def tell(self, message: Any) -> None:
        self._mailbox.put(message)

    tell_always = tell_first = tell

    async def run(self) -> None:
        """As a room's actor does: what it says in a turn leaves at the turn's end."""
        while True:
            if self._mailbox.pauses:
                self._fan_out.flush()
            self._take(await self._mailbox.get())

    def _take(self, message: Any) -> None:
        match message:
            case Join(session_id=session_id, ref=ref):
                assert ref is not None
                if len(self._felt) < FELT_BY:
                    self._felt.append(session_id)
                self._fan_out.send(session_id, Ok(ref))
                self._fan_out.admit(ROOM_ID, session_id)
            case MemberFrame(frame=Tip(amount=amount) as tip):
                if amount == FOR_EVERYONE_AMOUNT:
                    self._show(tip)
                else:
                    self._play(tip)
            case Leave():
                pass  # the fan-out knows by itself
            case _:
                raise AssertionError(f"nobody here sends {message!r}")

    async def load_viewer(self, _user_id: str, /) -> ViewerRecord:
        await trio.lowlevel.checkpoint()
        return ViewerRecord(Preferences(), None)

    def connected(self, _user_id: str, /) -> None:
        """Nobody has written to anybody."""

    def delivered(self, _user_id: str, _message_id: str, /) -> None:
        raise AssertionError("no message was sent")

    read = delivered

    async def load_user(self, _user_id: str, /) -> None:
        raise AssertionError("only HTTP asks for a user's record")

    def _show(self, tip: Tip) -> None:
        self._offset += 1
        notice = TipNotice(
            "0198c0f2-5a7e-7c3d-9b1a-2f4e6d8c0a12",
            self._offset,
            username="viewer-00042",
            amount=tip.amount,
            item_name="Short buzz",
            description_public="Short buzz",
            timestamp="2026-01-01T00:00:00-05:00",
        )
        self._fan_out.broadcast(ROOM_ID, notice)

    def _play(self, tip: Tip) -> None:
        """As the room does: each command is a frame of its own."""
        for session_id in self._felt:
            command = Command(
                command_id=f"{tip.tip_id}:{session_id}",
                tip_id=tip.tip_id,
                attempt=1,
                call=VendorCall(Integration.EXTENSION, "receiveTip", (tip.amount, "viewer-00042")),
                duration_sec=1,
                expires_at=EXPIRES_AT,
            )
            self._fan_out.send(session_id, command)


async def main() -> None:
    fan_out = FanOut()
    door = OpenDoor(fan_out)
    endpoint = RoomEndpoint(
        limits=_LIMITS,
        origins=frozenset(),
        authority=Authority(os.environ[SECRET_VARIABLE].encode()),
        rooms=door,
        members=door,
        delivery=fan_out,
        mail=door,
    )
    async with trio.open_nursery() as nursery:
        server: SocketServer = await nursery.start(
            partial(
                serve_sockets,
                host="127.0.0.1",
                port=0,
                limits=_LIMITS,
                delivery=fan_out,
                endpoint=endpoint,
            )
        )
        nursery.start_soon(door.run)
        announce(server.port)
        await trio.to_thread.run_sync(sys.stdin.buffer.read)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
