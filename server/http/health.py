"""For probes and scrapes: alive, ready, numbers."""

import math
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from quart import Blueprint, Response
from quart_schema import hide

from actors.ports import StoreUnavailable
from protocol.errors import ErrorCode, Refused
from server.auth import Role
from server.http.body import answers, json
from server.http.guard import bearer
from server.observe.metrics import Metrics
from server.services import Services

READY_TIMEOUT_S: Final = 2.0
READY_CACHED_S: Final = 1.0
"""Whoever asks, and however often: the database is asked once in this time."""


class Readiness:
    """Whether the database answers, asked anew after `READY_CACHED_S`."""

    def __init__(self, database_ready: Callable[[], Awaitable[None]]) -> None:
        self._database_ready = database_ready
        self._ready = False
        self._fresh_until_s = -math.inf
        self._one_check = trio.Lock()

    async def check(self) -> bool:
        """Waits at most `READY_TIMEOUT_S` for the database."""
        async with self._one_check:
            if trio.current_time() >= self._fresh_until_s:
                self._ready = await self._ask()
                self._fresh_until_s = trio.current_time() + READY_CACHED_S
            return self._ready

    async def _ask(self) -> bool:
        with trio.move_on_after(READY_TIMEOUT_S):
            try:
                await self._database_ready()
            except StoreUnavailable:
                return False
            return True
        return False


def blueprint(services: Services) -> Blueprint:
    health = Blueprint("health", __name__)
    metrics = Metrics(services)
    readiness = Readiness(services.database_ready)

    @health.get("/healthz")
    @answers(dict[str, str])
    async def healthz() -> Response:
        """The process answers"""
        return json({"status": "alive"})

    @health.get("/readyz")
    @answers(dict[str, str], ErrorCode.LEDGER_UNAVAILABLE)
    async def readyz() -> Response:
        """The process can settle tips"""
        if not await readiness.check():
            raise StoreUnavailable
        return json({"status": "ready"})

    @health.get("/metrics")
    @hide
    async def get_metrics() -> Response:
        if not services.settings.metrics_public:
            identity = bearer(services.authority)
            if identity.role not in (Role.ADMIN, Role.SERVICE):
                raise Refused(ErrorCode.FORBIDDEN)
        return Response(metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")

    return health
