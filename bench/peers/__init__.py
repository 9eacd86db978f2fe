"""Servers of one room that do nothing but pass messages on: other people's libraries, as their
documentation has it, and Tiproom's own sockets without the rest of the house.

Each runs as a process of its own. Its port is the first line of its stdout; the end of its stdin
ends it. A message goes either to every member or to those who came first (FELT_BY: a model and 50
VIPs). Over plain WebSocket the first byte says which: "B" or "R".

ws.js, socketio.js     Node.js
python_socketio.py     python-socketio, on uvicorn with uvloop
websockets_broadcast.py  websockets, its `broadcast`
naive_trio_websocket.py  trio-websocket, `send_message` to one after the other
tiproom_fan_out.py     our sockets and fan-out; any tip is passed on, nothing is settled
The limit in C: bench/native/limit_server.c.
"""

import sys
import threading
from collections.abc import Callable
from typing import Final

BACKLOG: Final = 4096
"""Of connections that wait to be accepted, as Tiproom's. The libraries' own, 100 to 511, lose
some of a storm, who then wait for a second: that is a setting, not a speed."""
FELT_BY: Final = 51
FOR_THEM: Final = ord("R")


def announce(port: int) -> None:
    print(port, flush=True)


def call_at_end(end: Callable[[], object]) -> None:
    """Call `end`, in a thread, once the bench is done with this server, or gone."""

    def wait() -> None:
        sys.stdin.buffer.read()
        end()

    threading.Thread(target=wait, daemon=True).start()
