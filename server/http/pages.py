"""The client SDK and the pages' files, with the headers that keep them to themselves."""

from typing import Final

from quart import Blueprint, Quart, Response, send_from_directory
from quart_schema import hide

from protocol.errors import ErrorCode, Refused
from server.http.demo import WEB_DIR

_MAX_AGE_S: Final = 0
"""Always asked for again, and answered 304 where nothing changed: an update reaches everyone."""


def blueprint() -> Blueprint:
    pages = Blueprint("pages", __name__)

    @pages.get("/web/<path:name>")
    @hide
    async def web_file(name: str) -> Response:
        try:
            return await send_from_directory(WEB_DIR, name, cache_timeout=_MAX_AGE_S)
        except OSError as error:  # a name longer than the file system takes
            raise Refused(ErrorCode.NOT_FOUND) from error

    return pages


def protect(app: Quart, socket_url: str, vendor_hosts: tuple[str, ...]) -> None:
    """Our pages load nothing from elsewhere, talk to nobody else, and are framed by nobody; but for
    `vendor_hosts`, where real toys are configured: hosts without a scheme, or whole origins."""
    vendor = "".join(f" {source}" for source in _sources(vendor_hosts, "https"))
    vendor_sockets = "".join(f" {source}" for source in _sources(vendor_hosts, "wss"))
    policy = (
        f"default-src 'self'; script-src 'self'{vendor}; "
        f"connect-src 'self' {socket_url}{vendor}{vendor_sockets}; "
        f"img-src 'self' data:{vendor}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )

    @app.after_request
    async def add_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def _sources(hosts: tuple[str, ...], scheme: str) -> list[str]:
    """Without a scheme a policy would mean the page's own, which may be http behind a proxy."""
    return [host if "://" in host else f"{scheme}://{host}" for host in hosts]
