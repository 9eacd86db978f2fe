"""Which addresses a webhook may have: our own network is not to be reached through us."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from protocol.errors import ErrorCode, Refused

URL_LENGTH_MAX: Final = 2048
_LOCALHOST: Final = "localhost"


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
    loopback = host == _LOCALHOST or (address is not None and address.is_loopback)
    if parts.scheme == "http" and not loopback:
        raise _refused("https is required.")
    if not private_allowed and (loopback or (address is not None and not is_public(address))):
        raise _refused("Not an address of the public internet.")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is of the public internet, also behind IPv4's notation in IPv6."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            address = inner
    return address.is_global and not address.is_multicast


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _refused(detail: str) -> Refused:
    return Refused(ErrorCode.INVALID_FIELD, "url", detail)
