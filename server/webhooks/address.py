"""Which addresses a webhook may have: our own network is not to be reached through us."""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from protocol.errors import ErrorCode, Refused

URL_LENGTH_MAX: Final = 2048
HOST_LENGTH_MAX: Final = 253
"""RFC 1035, 2.3.4, as text."""
_LOCALHOST: Final = "localhost"
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
"""Of a host name, in lower case (RFC 1123, 2.1), and with the underscore of practice."""

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NOT_ENDS: Final = (
    IPv6Network("2001::/23"),  # protocol assignments: Teredo, benchmarks, ORCHID
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4 leads to an IPv4 address
    IPv6Network("3fff::/20"),  # documentation
)


def check_url(url: str, private_allowed: bool) -> None:
    """https only, http for loopback hosts. Without `private_allowed` no address that is not of the
    public internet; a name's addresses are checked again at every connection. Raises Refused:
    INVALID_FIELD."""
    if len(url) > URL_LENGTH_MAX:
        raise _refused(f"The URL is longer than {URL_LENGTH_MAX} characters.")
    if not all("!" <= character <= "~" for character in url) or "\\" in url:
        raise _refused("Not a URL in ASCII, percent-encoded where necessary.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _refused("Not a URL.") from error
    if parts.scheme not in ("https", "http") or not host or port == 0:
        raise _refused("Not an https URL with a host.")
    if "@" in parts.netloc:
        raise _refused("No user name or password in the URL: it would be shown in lists.")
    if "#" in url:
        raise _refused("No fragment: it is never sent.")
    address = _literal(host)
    if address is None and not _is_name(host):
        raise _refused("Not the name of a host.")
    loopback = host == _LOCALHOST or (address is not None and address.is_loopback)
    if parts.scheme == "http" and not loopback:
        raise _refused("https is required.")
    if not private_allowed and (loopback or (address is not None and not is_public(address))):
        raise _refused("Not an address of the public internet.")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is of the public internet. Of IPv6 only what is assigned to ends (RFC 4291, 2.4):
    a gateway makes an IPv4 address out of the others that carry one (mapped, NAT64, SIIT)."""
    if isinstance(address, IPv6Address) and (
        address not in _GLOBAL_UNICAST or any(address in network for network in _NOT_ENDS)
    ):
        return False
    return address.is_global and not address.is_multicast


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return len(host) <= HOST_LENGTH_MAX and all(map(_LABEL.fullmatch, labels))


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _refused(detail: str) -> Refused:
    return Refused(ErrorCode.INVALID_FIELD, "url", detail)
