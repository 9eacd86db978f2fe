"""The HTTP application, with a count of the requests that it is answering."""

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart_trio import QuartTrio


class InFlight:
    """An ASGI application around `app`. What waits for `idle` waits for answers only, not for the
    connections that clients keep open."""

    def __init__(self, app: QuartTrio) -> None:
        self._app = app
        self._count = 0
        self._answered = trio.lowlevel.ParkingLot()

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._count += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._count -= 1
            self._answered.unpark_all()

    async def idle(self) -> None:
        """Wait until no request is being answered."""
        while self._count:
            await self._answered.park()
