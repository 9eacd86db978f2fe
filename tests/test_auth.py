"""Tokens: what is accepted, and that nothing else is, whatever it is made of."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import MembershipTier
from server.auth import Authority, Identity, Role

SECRET = b"0123456789abcdef0123456789abcdef"
AUTHORITY = Authority(SECRET)
NOW_S = int(datetime.now(UTC).timestamp())

CLAIMS: dict[str, Any] = {
    "sub": "u-1",
    "name": "Ann",
    "role": "viewer",
    "tier": "VIP_GOLD",
    "room": "r-1",
    "iat": NOW_S,
    "exp": NOW_S + 3600,
    "aud": "tiproom",
}


def signed(**changes: Any) -> str:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not ...}
    return jwt.encode(claims, SECRET, "HS256")


def refusal_of(token: str) -> ErrorCode:
    with pytest.raises(Refused) as caught:
        AUTHORITY.verify(token)
    return caught.value.refusal.code


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("room_id", ["r-1", None])
def test_what_is_issued_is_read_back(role: Role, room_id: str | None) -> None:
    identity = Identity(
        user_id="u-1",
        username="Änn 1",
        role=role,
        membership_tier=MembershipTier.VIP_GOLD,
        room_id=room_id,
        expires_at_utc=datetime.fromtimestamp(NOW_S + 3600, UTC),
    )
    assert AUTHORITY.verify(AUTHORITY.issue(identity)) == identity


def test_a_token_of_another_issuer_with_the_secret_is_read() -> None:
    identity = AUTHORITY.verify(signed(iss="platform", jti="1", room=...))
    assert (identity.user_id, identity.membership_tier) == ("u-1", MembershipTier.VIP_GOLD)
    assert identity.room_id is None


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"},
        {"aud": ...},
        {"exp": ...},
        {"exp": "soon"},
        {"exp": 10**30},
        {"iat": ...},
        {"iat": NOW_S + 3600},
        {"sub": ...},
        {"sub": ""},
        {"sub": "a b"},
        {"sub": "u-1\n"},
        {"sub": "x" * 65},
        {"name": ...},
        {"name": ""},
        {"name": "a\x00b"},
        {"name": "x" * 65},
        {"role": "root"},
        {"role": ...},
        {"tier": "VIP_WOOD"},
        {"tier": ...},
        {"room": "../etc"},
        {"room": 7},
    ],
)
def test_a_claim_that_is_missing_or_wrong_is_refused(changes: dict[str, Any]) -> None:
    assert refusal_of(signed(**changes)) is ErrorCode.TOKEN_INVALID


def test_expiry_has_a_leeway_and_ends() -> None:
    patient = Authority(SECRET, leeway_s=3600)
    within = patient.verify(signed(exp=NOW_S - 60))
    assert 0 < patient.valid_for_s(within) <= 3540
    assert refusal_of(signed(exp=NOW_S - 60)) is ErrorCode.TOKEN_EXPIRED


def test_another_secret_is_refused() -> None:
    assert refusal_of(jwt.encode(CLAIMS, b"x" * 32, "HS256")) is ErrorCode.TOKEN_INVALID


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_token_does_not_choose_its_algorithm(algorithm: str) -> None:
    strong = Authority(b"x" * 64)
    token = jwt.encode(CLAIMS, b"x" * 64, algorithm)
    with pytest.raises(Refused, match="TOKEN_INVALID"):
        strong.verify(token)


def unsigned(header: object, payload: object) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in (header, payload))
    return ".".join(part.decode().rstrip("=") for part in parts) + "."


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": None}, {"alg": []}, {}, [], "x", 1])
def test_an_unsigned_token_is_refused(header: object) -> None:
    assert refusal_of(unsigned(header, CLAIMS)) is ErrorCode.TOKEN_INVALID


def test_a_header_nested_too_deep_is_refused() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 3000).decode()
    assert refusal_of(f"{deep}.e30.e30") is ErrorCode.TOKEN_INVALID


@given(st.text(max_size=200))
def test_any_text_is_refused(token: str) -> None:
    assert refusal_of(token) is ErrorCode.TOKEN_INVALID


@given(st.integers(min_value=0, max_value=len(signed()) - 1), st.characters(categories=["L", "N"]))
def test_one_changed_character_is_refused(index: int, character: str) -> None:
    token = signed()
    changed = token[:index] + character + token[index + 1 :]
    if changed == token or index == len(token) - 1:
        return  # the last character carries bits that base64 does not use
    assert refusal_of(changed) is ErrorCode.TOKEN_INVALID


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Authority(b"x" * 31)


def test_expired_but_forged_is_only_invalid() -> None:
    long_ago = {**CLAIMS, "exp": NOW_S - int(timedelta(days=1).total_seconds())}
    token = jwt.encode(long_ago, b"x" * 32, "HS256")
    assert refusal_of(token) is ErrorCode.TOKEN_INVALID
