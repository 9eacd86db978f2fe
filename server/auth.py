"""Signed tokens: who somebody is, for how long, and for which room.

JWT with HS256 and one secret of the platform. Facts about a user (role, tier, room) come from
here or from the database, never from what a client sends. Tokens are never logged.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import jwt
import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import Id, MembershipTier

AUDIENCE: Final = "tiproom"
SECRET_BYTES_MIN: Final = 32
"""RFC 7518, 3.2: an HS256 key has at least the size of the hash."""
LEEWAY_S: Final = 5.0
"""For clocks that differ a little."""

_ALGORITHMS: Final = ["HS256"]
"""Fixed here: a token's own header must never choose how it is checked."""
_YEAR_9999_S: Final = 253_402_300_799


class Role(StrEnum):
    VIEWER = "viewer"
    MODEL = "model"
    MODERATOR = "moderator"
    ADMIN = "admin"
    SERVICE = "service"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a valid token speaks for. `room_id` None: the token is for no room in particular."""

    user_id: str
    username: str
    role: Role
    membership_tier: MembershipTier = MembershipTier.FREE
    room_id: str | None = None
    expires_at_utc: datetime


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Claims of others (`iss`, `jti`) are allowed and ignored. Times: seconds since 1970."""

    sub: Id
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
    role: Role
    tier: MembershipTier
    room: Id | None = None
    exp: Annotated[int, Meta(ge=0, le=_YEAR_9999_S)]
    iat: Annotated[int, Meta(ge=0, le=_YEAR_9999_S)]
    aud: str | list[str]


class Revocations:
    """Up to when the tokens of a user are void: user -> seconds since 1970, that second included.
    What is held here is in force at once; the store carries it over a restart."""

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        self._void_until_s = dict(known or {})

    def revoke(self, user_id: str, at_s: int) -> None:
        """All that were issued until `at_s`; never fewer than before."""
        self._void_until_s[user_id] = max(at_s, self._void_until_s.get(user_id, at_s))

    def is_void(self, user_id: str, issued_at_s: int) -> bool:
        return issued_at_s <= self._void_until_s.get(user_id, -1)


class Authority:
    """Issues tokens and verifies them; both sides know the secret."""

    def __init__(
        self, secret: bytes, leeway_s: float = LEEWAY_S, revocations: Revocations | None = None
    ) -> None:
        """Raises ValueError for a secret under 32 bytes."""
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError(f"the token secret must have at least {SECRET_BYTES_MIN} bytes")
        self._secret = secret
        self._leeway_s = leeway_s
        self.revocations = revocations or Revocations()

    def verify(self, token: str) -> Identity:
        """Raises Refused: TOKEN_EXPIRED for a token that was good, TOKEN_INVALID for any other,
        one that was revoked included."""
        try:
            payload = jwt.decode(
                token,
                self._secret,
                algorithms=_ALGORITHMS,
                audience=AUDIENCE,
                leeway=self._leeway_s,
                options={"require": ["exp", "iat", "sub", "aud"]},
            )
            claims = msgspec.convert(payload, _Claims)
        except jwt.ExpiredSignatureError as error:
            raise Refused(ErrorCode.TOKEN_EXPIRED) from error
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError) as error:
            # The last two: PyJWT parses a forged header (deep JSON, huge numbers) unguarded.
            raise Refused(ErrorCode.TOKEN_INVALID) from error
        if self.revocations.is_void(claims.sub, claims.iat):
            raise Refused(ErrorCode.TOKEN_INVALID, detail="The token was revoked.")
        return Identity(
            user_id=claims.sub,
            username=claims.name,
            role=claims.role,
            membership_tier=claims.tier,
            room_id=claims.room,
            expires_at_utc=datetime.fromtimestamp(claims.exp, UTC),
        )

    def issue(self, identity: Identity) -> str:
        """A token that `verify` reads as the same identity, its expiry cut to whole seconds."""
        claims = _Claims(
            sub=identity.user_id,
            name=identity.username,
            role=identity.role,
            tier=identity.membership_tier,
            room=identity.room_id,
            exp=int(identity.expires_at_utc.timestamp()),
            iat=int(datetime.now(UTC).timestamp()),
            aud=AUDIENCE,
        )
        return jwt.encode(msgspec.to_builtins(claims), self._secret, _ALGORITHMS[0])

    def valid_for_s(self, identity: Identity) -> float:
        """Seconds until its token is refused, the leeway included; negative afterwards."""
        left_s = (identity.expires_at_utc - datetime.now(UTC)).total_seconds()
        return left_s + self._leeway_s
