"""One signed POST to an endpoint. Redirects are not followed, proxies of the environment not used.

httpcore and not httpx: its connector can be ours, and so the address that was checked is the one
that is connected to, whatever the name resolves to a moment later.
"""

import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Final

import httpcore
import trio

from actors.consumers.webhooks import ATTEMPT_TIMEOUT_S
from actors.ports import WebhookAnswer, WebhookEvent
from actors.runtime.moment import Chance
from server.store.webhook_store import WEBHOOKS_MAX
from server.webhooks.address import is_public
from server.webhooks.signature import sign

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 16 * 1024
"""A longer body is left unread, and its connection closed; the status alone says what matters."""
KEEP_ALIVE_S: Final = 30.0

_TIMEOUTS: Final = {
    "connect": CONNECT_TIMEOUT_S,
    "read": ATTEMPT_TIMEOUT_S,
    "write": ATTEMPT_TIMEOUT_S,
    "pool": ATTEMPT_TIMEOUT_S,
}


class AddressRefused(Exception):
    """The name has an address that is not of the public internet."""


class HttpSender:
    """Implements actors.ports.WebhookSender. Made by `open_sender`."""

    def __init__(self, pool: httpcore.AsyncConnectionPool, chance: Chance) -> None:
        self._pool = pool
        self._chance = chance

    async def send(self, url: str, secret: str, event: WebhookEvent, attempt: int) -> WebhookAnswer:
        """See the port."""
        status: int | None = None
        timestamp = self._chance.now().epoch_ms // 1000
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Tiproom",
            "Tiproom-Event-Id": str(event.event_id),
            "Tiproom-Tip-Id": event.tip_id,
            "Tiproom-Delivery-Attempt": str(attempt),
            "Tiproom-Timestamp": str(timestamp),
            "Tiproom-Signature": sign(secret, timestamp, event.body),
        }
        error: str | None
        try:
            with trio.fail_after(ATTEMPT_TIMEOUT_S):
                async with self._pool.stream(
                    "POST",
                    url,
                    headers=list(headers.items()),
                    content=event.body,
                    extensions={"timeout": _TIMEOUTS},
                ) as response:
                    status = response.status
                    if _is_short(response):
                        await response.aread()  # so that the connection can be used again
            return WebhookAnswer(status=status)
        except (trio.TooSlowError, httpcore.TimeoutException):
            error = "no answer in time"
        except AddressRefused:
            error = "not a public address"
        except httpcore.ConnectError:
            error = "no connection"
        except httpcore.NetworkError:
            error = "the connection was lost"
        except httpcore.ProtocolError:
            error = "the answer is not HTTP"
        except (OSError, UnicodeError):
            # Of the look-up: all others are httpcore's. UnicodeError: no name in IDNA's eyes.
            error = "no address for the name"
        # An answer that broke off behind its status was an answer.
        return WebhookAnswer(status=status, error=error if status is None else None)


def _is_short(response: httpcore.Response) -> bool:
    if response.status == 204:
        return True
    lengths = [value for name, value in response.headers if name.lower() == b"content-length"]
    return bool(lengths) and int(lengths[0]) <= ANSWER_BYTES_MAX


@asynccontextmanager
async def open_sender(private_allowed: bool, chance: Chance) -> AsyncIterator[HttpSender]:
    """A sender with its own connections, as long as the block."""
    async with httpcore.AsyncConnectionPool(
        ssl_context=httpcore.default_ssl_context(),
        max_connections=WEBHOOKS_MAX,  # each endpoint sends one at a time
        keepalive_expiry=KEEP_ALIVE_S,
        network_backend=_Connector(private_allowed),
    ) as pool:
        yield HttpSender(pool, chance)


class _Connector(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, private_allowed: bool) -> None:
        self._private_allowed = private_allowed
        self._trio = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as the interface has it
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if self._private_allowed:
            return await self._trio.connect_tcp(host, port, timeout, local_address, socket_options)
        with trio.fail_after(CONNECT_TIMEOUT_S if timeout is None else timeout):
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [str(place[0]) for *_, place in found]
            if not all(is_public(ip_address(address)) for address in addresses):
                raise AddressRefused
            failure: httpcore.ConnectError | None = None
            for address in addresses:
                try:
                    return await self._trio.connect_tcp(
                        address, port, timeout, local_address, socket_options
                    )
                except httpcore.ConnectError as error:
                    failure = error
            assert failure is not None, "getaddrinfo finds an address or raises"
            raise failure

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)
