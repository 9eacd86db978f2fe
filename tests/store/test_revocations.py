"""Revoked tokens on the real database."""

import pytest

from protocol.errors import Refused
from server.store.store import Store


async def test_the_newest_revocation_of_each_user_is_kept(store: Store) -> None:
    save = store.revocations.save
    await save("ann", 100, "admin", "first")
    await save("ann", 300, "admin", "third")
    await save("ann", 200, "admin", "late")
    await save("bob", 50, "admin", "other")
    assert await store.revocations.load_all() == {"ann": 300, "bob": 50}


async def test_a_reason_that_cannot_be_stored_is_refused_and_changes_nothing(store: Store) -> None:
    with pytest.raises(Refused, match="INVALID_FIELD"):
        await store.revocations.save("ann", 100, "admin", "nul\x00")
    assert await store.revocations.load_all() == {}
