"""What one writes first: trio-websocket, and `send_message` to each member in turn."""

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    serve_websocket,
)

from bench.peers.control import obey
from protocol.codec import CODECS, MSGPACK
from protocol.frames import TipNotice


async def main() -> None:
    members: set[WebSocketConnection] = set()

    async def welcome(request: WebSocketRequest) -> None:
        member = await request.accept(subprotocol=MSGPACK)
        members.add(member)
        try:
            while True:
                await member.get_message()
        except ConnectionClosed:
            members.discard(member)

    async def broadcast(notice: TipNotice) -> None:
        payload = CODECS[MSGPACK].encode(notice)
        for member in list(members):
            try:
                await member.send_message(payload)
            except ConnectionClosed:
                members.discard(member)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, welcome, "127.0.0.1", 0, None)
        await obey(server.port, broadcast)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
