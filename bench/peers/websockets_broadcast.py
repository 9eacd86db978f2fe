"""`websockets` with its own `broadcast`, which frames once. Without compression, which the other
servers do not use either."""

import asyncio
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from bench.peers import BACKLOG, FELT_BY, FOR_THEM, announce, call_at_end


async def main() -> None:
    members: set[ServerConnection] = set()
    felt: list[ServerConnection] = []
    ended = asyncio.Event()

    async def welcome(member: ServerConnection) -> None:
        members.add(member)
        if len(felt) < FELT_BY:
            felt.append(member)
        with suppress(ConnectionClosed):
            async for message in member:
                broadcast(felt if message[0] == FOR_THEM else members, message)
        members.discard(member)

    loop = asyncio.get_running_loop()
    call_at_end(lambda: loop.call_soon_threadsafe(ended.set))
    server = await serve(welcome, "127.0.0.1", 0, backlog=BACKLOG, compression=None)
    announce(next(iter(server.sockets)).getsockname()[1])
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
