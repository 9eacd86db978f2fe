"""Which addresses a webhook may have, its signature, and what the sender refuses to connect to."""

from ipaddress import ip_address
from uuid import UUID

import pytest

from actors.ports import WebhookEvent
from actors.runtime.moment import Chance
from protocol.errors import Refused
from server.webhooks.address import check_url, is_public
from server.webhooks.sender import open_sender
from server.webhooks.signature import new_secret, sign

EVENT = WebhookEvent(1, "tip-1", UUID(int=1), b"{}", 0)

PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "::ffff:93.184.216.34",
    "::10.0.0.1",
    "::ffff:0:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::10.0.0.1",
    "fec0::1",
    "2001:0:a00:1::",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_of_the_public_internet(address: str) -> None:
    assert not is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused):
        check_url(f"https://{host}/", private_allowed=False)
    check_url(f"https://{host}/", private_allowed=True)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "2a00:1450::1"])
def test_addresses_of_the_public_internet(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_http_is_for_this_machine_only(host: str) -> None:
    check_url(f"http://{host}:8080/x", private_allowed=True)
    with pytest.raises(Refused):
        check_url(f"http://{host}:8080/x", private_allowed=False)


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example.org", "example.org"])
def test_not_for_others(host: str) -> None:
    with pytest.raises(Refused):
        check_url(f"http://{host}/", private_allowed=True)


@pytest.mark.parametrize(
    "host",
    [
        "a..b",
        ".example.org",
        "-a.example.org",
        "a-.example.org",
        "a" * 64 + ".org",
        "a." * 127,
        "a*b",
    ],
)
def test_what_is_no_name_of_a_host(host: str) -> None:
    with pytest.raises(Refused):
        check_url(f"https://{host}/", private_allowed=True)


@pytest.mark.parametrize(
    "host", ["example.org", "Example.ORG.", "xn--bcher-kva.example", "a_b.c-d"]
)
def test_names_of_hosts(host: str) -> None:
    check_url(f"https://{host}:8443/x?y=1", private_allowed=False)


def test_the_signature_is_the_documented_one() -> None:
    """`printf '1700000000.{}' | openssl dgst -sha256 -hmac whsec_test`"""
    assert sign("whsec_test", 1_700_000_000, b"{}") == (
        "v1=35495024f4ef3f94e5a93e22221544c4b75e9a42300cd965ab81cb85cd994e91"
    )


def test_each_secret_is_its_own() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(secret.startswith("whsec_") and len(secret) >= 49 for secret in secrets)


async def test_a_name_that_leads_to_a_private_address_is_not_connected_to() -> None:
    async with open_sender(private_allowed=False, chance=Chance()) as sender:
        answer = await sender.send("https://localhost:1/", "whsec_test", EVENT, 1)
    assert (answer.status, answer.error) == (None, "not a public address")


@pytest.mark.parametrize("private_allowed", [False, True])
async def test_a_name_that_nobody_could_look_up(private_allowed: bool) -> None:
    async with open_sender(private_allowed, chance=Chance()) as sender:
        answer = await sender.send("https://a..b/", "whsec_test", EVENT, 1)
    assert (answer.status, answer.error) == (None, "no address for the name")


async def test_nobody_listens() -> None:
    async with open_sender(private_allowed=True, chance=Chance()) as sender:
        answer = await sender.send("http://127.0.0.1:1/", "whsec_test", EVENT, 1)
    assert (answer.status, answer.error) == (None, "no connection")
