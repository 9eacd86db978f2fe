"""The one place that wires everything: database, actors, sockets, HTTP; and their end.

Start: PostgreSQL -> this server's turn -> migrations -> months -> actors -> relay -> ports. End:
the ports close and members are told to come back; what was accepted is settled, written and handed
over; then the database goes, and it is another server's turn.
"""

import logging
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from actors.audit_writer import AuditWriter
from actors.consumers.loyalty import LoyaltyConsumer
from actors.consumers.outbox_watch import OutboxWatch
from actors.consumers.relay import run_relay
from actors.consumers.toys import ToyConsumer
from actors.consumers.webhooks import WebhookDispatcher
from actors.device_writer import DeviceWriter
from actors.escrow import run_hold_expiry
from actors.ledger import LedgerActor
from actors.ports import StoreUnavailable
from actors.room.actor import RoomPorts
from actors.room.registry import RoomRegistry
from actors.room.user_news import UserNews
from actors.runtime.moment import Chance
from actors.stage.actor import StagePorts
from actors.stage.desk import PurchaseDesk
from actors.stage.payments import Payments
from actors.stage.registry import StageRegistry
from actors.stage.till import Till
from server.auth import Authority, Revocations
from server.drain import finish_work
from server.http.app import create_app
from server.http.event_stream import EventStreams
from server.http.in_flight import InFlight
from server.http.request_rate import RequestRate
from server.messaging import Messaging
from server.performance_menus import PerformanceMenus
from server.platform_settings import PlatformChanges
from server.services import Services
from server.settings import Settings
from server.sockets.fan_out import FanOut
from server.sockets.listener import SocketServer, serve_sockets
from server.sockets.member_book import MemberBook
from server.sockets.room_endpoint import RoomEndpoint
from server.store.bridge import Bridge, open_bridge
from server.store.demo import seed_demo
from server.store.embedded import EmbeddedFailed, embedded
from server.store.migrate import MigrationRefused, migrate
from server.store.months import keep_months_ahead
from server.store.store import Store, open_store
from server.store.turn import keep_turn
from server.tip_menus import TipMenus
from server.vendors.lovense import Lovense, open_lovense
from server.vendors.toy_sessions import ToySessions, VendorUrls
from server.webhooks.sender import open_sender

_log = structlog.get_logger(__name__)

HTTP_DRAIN_S: Final = 2.0
HTTP_STALLED_S: Final = 5.0
"""A client that takes nothing of an answer for so long is cut off. Hypercorn's sending cannot be
cancelled: without this a reader that stands still, of a stream above all, would keep the server
from ending."""


class StartFailed(Exception):
    """The server cannot start, or cannot go on. The text is one line for the operator, with no
    secret in it."""


class Ready(msgspec.Struct, frozen=True):
    """Where the server listens, without trailing slashes."""

    http_url: str
    socket_url: str


async def run(settings: Settings, stop: trio.Event, announce: Callable[[Ready], None]) -> None:
    """Serve until `stop` is set, once no other server has this database. `announce` is called once
    both ports take requests. Raises StartFailed (in a group) when it does not come to that for a
    reason outside of this program."""
    async with _postgres(settings) as (dsn, bridge), trio.open_nursery() as nursery:
        await _wait_for_turn(nursery, dsn, bridge, stop)
        if not stop.is_set():
            async with _migrated_store(dsn, bridge) as store:
                if settings.demo:
                    await seed_demo(store)
                await _serve(settings, store, stop, announce)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Store]:
    """The migrated store: of an existing server, or of the embedded one. Raises StartFailed."""
    async with _postgres(settings) as (dsn, bridge), _migrated_store(dsn, bridge) as store:
        yield store


@asynccontextmanager
async def _postgres(settings: Settings) -> AsyncIterator[tuple[str, Bridge]]:
    async with AsyncExitStack() as stack:
        dsn = settings.database_url
        if dsn is None:
            dsn = await stack.enter_async_context(_embedded(settings.data_dir / "postgres"))
        yield dsn, await stack.enter_async_context(open_bridge())


async def _wait_for_turn(nursery: trio.Nursery, dsn: str, bridge: Bridge, stop: trio.Event) -> None:
    """Or for `stop`."""
    async with trio.open_nursery() as waiting:

        async def stop_waiting() -> None:
            await stop.wait()
            waiting.cancel_scope.cancel()

        waiting.start_soon(stop_waiting)
        with _database_usable():
            await nursery.start(keep_turn, bridge, dsn, stop.set)
        waiting.cancel_scope.cancel()


@asynccontextmanager
async def _embedded(data_dir: Path) -> AsyncIterator[str]:
    try:
        async with AsyncExitStack() as stack:
            try:
                dsn = await stack.enter_async_context(embedded(data_dir))
            except (EmbeddedFailed, OSError) as error:
                what = str(error).partition("\n")[0]  # what follows is PostgreSQL's own log
                raise StartFailed(f"the embedded PostgreSQL cannot start: {what}") from error
            yield dsn
    except* EmbeddedFailed as failures:
        what = "the embedded PostgreSQL went down and does not come up again; see its log"
        raise StartFailed(what) from failures


@asynccontextmanager
async def _migrated_store(dsn: str, bridge: Bridge) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        with _database_usable():
            await migrate(bridge, dsn)
            store = await stack.enter_async_context(open_store(dsn, bridge))
        yield store


@contextmanager
def _database_usable() -> Iterator[None]:
    """Raises StartFailed where it is not."""
    try:
        yield
    except MigrationRefused as error:
        raise StartFailed(f"the database cannot be migrated: {error}") from error
    except (asyncpg.InterfaceError, ValueError) as error:
        # A URL that cannot be read. Its text may quote the URL, and with it a password.
        raise StartFailed("the database cannot be used: check DATABASE_URL") from error
    except (StoreUnavailable, OSError, asyncpg.PostgresError) as error:
        what = str(error).partition("\n")[0] or type(error).__name__
        raise StartFailed(f"the database cannot be used: {what}") from error


async def _serve(
    settings: Settings, store: Store, stop: trio.Event, announce: Callable[[Ready], None]
) -> None:
    revocations = Revocations(await store.revocations.load_all())
    authority = Authority(_token_secret(settings), revocations=revocations)
    platform_settings = await store.settings.load_platform_settings()
    fan_out, chance = FanOut(), Chance()
    book = MemberBook()
    audit = AuditWriter(store.rooms, chance)
    await store.devices.forget_connections()
    devices = DeviceWriter(store.devices)
    loyalty = LoyaltyConsumer(store.loyalty)
    watch = OutboxWatch(store.feed)
    ledger = LedgerActor(store.ledger, [loyalty, watch])
    ports = RoomPorts(
        store.rooms,
        fan_out,
        audit,
        devices,
        ledger,
        chance,
        model_share_percent=settings.model_share_percent,
        tip_bonus_percent=settings.tip_bonus_percent,
    )
    async with (
        open_sender(settings.private_webhooks, Chance()) as sender,
        _lovense(settings) as lovense,
        trio.open_nursery() as nursery,
    ):
        rooms = RoomRegistry(ports, nursery)
        toys = ToyConsumer(rooms, nursery)
        ledger.add_consumer(toys)
        news = UserNews(rooms.whereabouts)
        ledger.watch_wallets(news)
        messaging = Messaging(store, rooms, settings.message_escalation_s)
        ledger.add_consumer(messaging.thanks)
        chance = Chance()
        till = Till(rooms, ledger, store.accounts, store.members, toys)
        payments = Payments(store.stages, till, chance)
        stages = StageRegistry(StagePorts(store.stages, news, payments, chance), nursery)
        ports.model_watchers.append(stages)
        desk = PurchaseDesk(store.purchases, till, stages, nursery, chance)
        # Before anything writes: what is late for its month goes to the default partition.
        await nursery.start(keep_months_ahead, store.months)
        await nursery.start(audit.run)
        await nursery.start(devices.run)
        await nursery.start(loyalty.run)
        await nursery.start(messaging.run)
        await nursery.start(ledger.run)
        dispatcher = WebhookDispatcher(store.webhooks, sender, watch, Chance())

        http_socket = _bind_http(settings)
        http_url = f"http://{settings.http_host}:{http_socket.getsockname()[1]}"
        room_endpoint = RoomEndpoint(
            limits=settings.sockets,
            origins=frozenset(settings.allowed_origins) | _own_origins(http_url),
            authority=authority,
            rooms=rooms,
            members=store.members,
            delivery=fan_out,
            book=book,
            mail=messaging.office,
        )
        serving_sockets = partial(
            serve_sockets,
            host=settings.socket_host,
            port=settings.socket_port,
            limits=settings.sockets,
            delivery=fan_out,
            endpoint=room_endpoint,
        )
        with _listening(settings.socket_host, settings.socket_port):
            sockets = await nursery.start(serving_sockets)
        assert isinstance(sockets, SocketServer)
        socket_url = settings.public_socket_url or f"ws://{settings.socket_host}:{sockets.port}"
        services = Services(
            settings=settings,
            authority=authority,
            rooms=rooms,
            ledger=ledger,
            audit=audit,
            fan_out=fan_out,
            sockets=sockets,
            room_endpoint=room_endpoint,
            book=book,
            revocations=store.revocations,
            members=store.members,
            directory=store.directory,
            accounts=store.accounts,
            webhooks=store.webhooks,
            dispatcher=dispatcher,
            streams=EventStreams(store.feed, watch),
            dead_letters=store.dead_letters,
            skipped_events=store.skipped_events,
            devices=store.devices,
            device_writer=devices,
            history=store.history,
            messaging=messaging,
            settings_store=store.settings,
            platform=PlatformChanges(rooms, store.settings, platform_settings),
            tip_menus=TipMenus(rooms, store.tip_menus),
            performance_menus=PerformanceMenus(store.menus),
            menu_store=store.menus,
            stage_store=store.stages,
            desk=desk,
            stages=stages,
            payments=payments,
            request_rate=RequestRate(settings.purchase_requests_per_min),
            chance=chance,
            toy_sessions=ToySessions(lovense, _vendor_urls(settings)),
            trace=store.traces.load_tip,
            database_ready=store.check,
        )
        http_stop = trio.Event()
        app = InFlight(create_app(services, socket_url))
        await nursery.start(_serve_http, app, http_socket, http_stop)
        await nursery.start(run_relay, store.events, [toys, loyalty, messaging.thanks])
        await nursery.start(watch.run)
        await nursery.start(dispatcher.run)
        await nursery.start(run_hold_expiry, store.accounts, ledger)
        await nursery.start(payments.run)
        await nursery.start(stages.run)
        await nursery.start(desk.run)
        announce(Ready(http_url, socket_url))

        await stop.wait()
        began_s = trio.current_time()
        # Members first: they are told to come back while everything still works.
        services.streams.close()
        http_stop.set()
        await sockets.drain(settings.shutdown_timeout_s / 2)
        with trio.move_on_after(HTTP_DRAIN_S):  # a stream is ended by its last chunk, not cut off
            await app.idle()
        acknowledged = {
            "purchases": desk.drain,
            "payments": payments.drain,
            "ledger": ledger.drain,
            "loyalty": loyalty.drain,
            "audit": audit.flush,
            "webhooks": dispatcher.drain,
            "devices": devices.flush,
            "messages": messaging.drain,
        }
        await finish_work(acknowledged, settings.shutdown_timeout_s / 2)
        _log.info("drain_ended", took_s=round(trio.current_time() - began_s, 3))
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _lovense(settings: Settings) -> AsyncIterator[Lovense | None]:
    """None without a developer token: toys are simulated then."""
    if settings.lovense_developer_token is None:
        yield None
        return
    async with open_lovense(settings.lovense_developer_token, settings.lovense_api_url) as lovense:
        yield lovense


def _vendor_urls(settings: Settings) -> VendorUrls:
    return VendorUrls(
        api=settings.lovense_api_url,
        extension_script=settings.lovense_extension_script_url,
        cam_kit_script=settings.lovense_cam_kit_script_url,
        basic_sdk_script=settings.lovense_basic_sdk_script_url,
    )


async def _serve_http(
    app: InFlight,
    listening: socket.socket,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.accesslog = None  # our own logs say what matters, without addresses
    config.errorlog = logging.getLogger("hypercorn.error")
    config.graceful_timeout = HTTP_DRAIN_S
    config.include_server_header = False
    await serve(app, config, shutdown_trigger=stop.wait, task_status=task_status)


def _bind_http(settings: Settings) -> socket.socket:
    """Bound before anything serves: sockets must know our pages' origin, and pages our sockets."""
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    with _listening(settings.http_host, settings.http_port):
        listening = socket.create_server((settings.http_host, settings.http_port), family=family)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; what is accepted inherits it
        stalled_ms = int(HTTP_STALLED_S * 1000)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled_ms)
    return listening


@contextmanager
def _listening(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartFailed(f"cannot listen on {host}:{port}: {error.strerror}") from error


def _own_origins(http_url: str) -> frozenset[str]:
    """Our pages', however the browser names this machine."""
    return frozenset({http_url, http_url.replace("//127.0.0.1:", "//localhost:")})


def _token_secret(settings: Settings) -> bytes:
    """The platform's; or the demo's own, made once and kept, so that a restart logs nobody out."""
    if settings.token_secret is not None:
        return settings.token_secret.encode()
    assert settings.demo, "checked when the settings were loaded"
    path = settings.data_dir / "demo-token-secret"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Beside its place, then moved: a start that is killed leaves no half a secret.
            unfinished = path.with_suffix(".unfinished")
            unfinished.touch(mode=0o600)
            unfinished.write_text(secrets.token_urlsafe(48))
            unfinished.rename(path)
        return path.read_bytes()
    except OSError as error:
        raise StartFailed(f"the demo's token secret: {error}") from error
