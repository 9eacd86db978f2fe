"""What one writes first: trio-websocket, and `send_message` to each member in turn."""

import sys
from contextlib import suppress

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    serve_websocket,
)

from bench.peers import FELT_BY, FOR_THEM, announce


async def main() -> None:
    members: list[WebSocketConnection] = []

    async def welcome(request: WebSocketRequest) -> None:
        member = await request.accept()
        members.append(member)
        try:
            while True:
                message = await member.get_message()
                audience = members[:FELT_BY] if message[0] == FOR_THEM else list(members)
                for each in audience:
                    with suppress(ConnectionClosed):  # its own task takes it off the list
                        await each.send_message(message)
        except ConnectionClosed:
            members.remove(member)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, welcome, "127.0.0.1", 0, None)
        announce(server.port)
        await trio.to_thread.run_sync(sys.stdin.buffer.read)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
