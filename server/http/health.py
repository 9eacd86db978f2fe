"""For probes and scrapes: alive, ready, numbers."""

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


def blueprint(services: Services) -> Blueprint:
    health = Blueprint("health", __name__)
    metrics = Metrics(services)

    @health.get("/healthz")
    @answers(dict[str, str])
    async def healthz() -> Response:
        """The process answers"""
        return json({"status": "alive"})

    @health.get("/readyz")
    @answers(dict[str, str], ErrorCode.LEDGER_UNAVAILABLE)
    async def readyz() -> Response:
        """The process can settle tips"""
        with trio.move_on_after(READY_TIMEOUT_S):
            await services.database_ready()
            return json({"status": "ready"})
        raise StoreUnavailable

    @health.get("/metrics")
    @hide
    async def get_metrics() -> Response:
        if not services.settings.metrics_public:
            identity = bearer(services.authority)
            if identity.role not in (Role.ADMIN, Role.SERVICE):
                raise Refused(ErrorCode.FORBIDDEN)
        return Response(metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")

    return health
