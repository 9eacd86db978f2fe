"""The signature of a delivery (docs/webhooks.md shows how receivers check it)."""

import hmac
import secrets
from typing import Final

SECRET_PREFIX: Final = "whsec_"
"""So that a secret that turns up somewhere is known for what it is."""
_SECRET_BYTES: Final = 32
"""As long as the hash (RFC 2104, 3)."""


def new_secret() -> str:
    return SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """`v1=` and the HMAC-SHA256, in hex, of `{timestamp}.{body}` under the whole secret, its prefix
    included. The timestamp is signed too, so that an old delivery cannot be sent again as new."""
    signed = b"%d." % timestamp + body
    return "v1=" + hmac.digest(secret.encode(), signed, "sha256").hex()
