"""`python -m tests.conformance.echo 9001`: an echo server of text and binary messages on the
product's own sockets, so that any suite of WebSocket conformance can be pointed at it.

All but what is said is the product's: accept, handshake, receiving, the outbox, heartbeats, the
end. Any path and any subprotocol are welcome; the limits are those that such suites need.
"""

import argparse

import trio
from trio_websocket import WebSocketRequest

from server.sockets.connection import Connection
from server.sockets.fan_out import FanOut
from server.sockets.framing import message_frame
from server.sockets.handshake import Acceptance, Rejection, Upgraded
from server.sockets.limits import SocketLimits
from server.sockets.listener import SocketServer, serve_sockets

ECHO_LIMITS = SocketLimits(
    message_bytes_max=64 * 1024 * 1024,
    receive_bytes=1024 * 1024,
    outbox_bytes_max=256 * 1024 * 1024,
)


class EchoEndpoint:
    """Says what it hears. Who does not take it is no longer read."""

    def judge(self, request: WebSocketRequest) -> Acceptance | Rejection:
        return Acceptance(next(iter(request.proposed_subprotocols), None))

    async def talk(self, connection: Connection, _upgraded: Upgraded) -> None:
        while True:
            said = await connection.incoming.next_message()
            data = said if isinstance(said, bytes) else said.encode()
            connection.outbox.send(message_frame(data, binary=data is said))
            if connection.outbox.backlog_bytes:
                try:
                    await connection.outbox.flushed()
                except trio.BrokenResourceError:
                    return  # nobody is there to hear it


async def serve_echo(
    port: int,
    limits: SocketLimits = ECHO_LIMITS,
    *,
    task_status: trio.TaskStatus[SocketServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Until cancelled. `port` 0: any free one."""
    await serve_sockets(
        host="127.0.0.1",
        port=port,
        limits=limits,
        delivery=FanOut(),
        endpoint=EchoEndpoint(),
        task_status=task_status,
    )


def main() -> None:
    """Until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.echo")
    parser.add_argument("port", type=int)
    try:
        trio.run(serve_echo, parser.parse_args().port)
    except* KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
