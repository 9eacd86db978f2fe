"""python-socketio as its documentation has it: an ASGI app on uvicorn, here with uvloop and
httptools. Without compression, which the other servers do not use either."""

import asyncio
import socket
from itertools import count
from typing import Any

import socketio
import uvicorn

from bench.peers import BACKLOG, FELT_BY, announce, call_at_end


def main() -> None:
    server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])
    numbers = count()

    async def connect(sid: str, _environ: Any, _auth: Any) -> None:
        if next(numbers) < FELT_BY:
            await server.enter_room(sid, "felt")

    async def everyone(_sid: str, message: str) -> None:
        await server.emit("message", message)

    async def felt(_sid: str, message: str) -> None:
        await server.emit("message", message, room="felt")

    for handler in (connect, everyone, felt):
        server.on(handler.__name__, handler)
    listening = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    host = uvicorn.Server(
        uvicorn.Config(
            socketio.ASGIApp(server),
            loop="uvloop",
            http="httptools",
            ws_per_message_deflate=False,
            log_level="error",
            access_log=False,
        )
    )

    def end() -> None:
        host.should_exit = host.force_exit = True

    call_at_end(end)
    announce(listening.getsockname()[1])
    asyncio.run(host.serve(sockets=[listening]))


if __name__ == "__main__":
    main()
