"""Removed from the room: at once, everywhere, and for good where the tokens are revoked."""

import time

from tests.e2e.members import Closed, Member
from tests.e2e.site import Site, token


def kick(site: Site, user_id: str, **more: object) -> int:
    answer = site.request(
        "POST",
        "/admin/users/{user_id}/kick",
        "admin",
        ids={"user_id": user_id},
        json={"reason": "a check", **more},
    )
    assert answer.status_code == 200, answer.text
    closed = answer.json()["connections"]
    assert isinstance(closed, int)
    return closed


def refusal(member: Member, bearer: str) -> tuple[str, int]:
    answer = member.ask("connect", token=bearer)
    return answer["code"], member.closed().code


def test_a_kick_closes_every_tab_at_once_and_no_one_elses(site: Site) -> None:
    with site.socket() as first, site.socket() as second, site.viewer("kim") as kim:
        for tab in (first, second):
            tab.join(token("viewer", "kicked-1"))
        began_s = time.monotonic()
        assert kick(site, "kicked-1") == 2
        closes: list[Closed] = [first.closed(), second.closed()]
        assert [each.code for each in closes] == [4507, 4507]
        assert time.monotonic() - began_s < 1
        assert kim.ask("listMembers")["type"] == "ok"
    with site.socket() as again:
        again.join(token("viewer", "kicked-1"))
    assert kick(site, "nobody-at-all") == 0


def test_revoked_tokens_are_refused_everywhere_and_newer_ones_are_good(site: Site) -> None:
    old = token("viewer", "revoked-1")
    assert site.request("GET", "/preferences", bearer=old).status_code == 200
    with site.socket() as member:
        member.join(old)
        assert kick(site, "revoked-1", revokeTokens=True) == 1
        assert member.closed().code == 4507
    with site.socket() as member:
        assert refusal(member, old) == ("TOKEN_INVALID", 4500)
    assert site.request("GET", "/preferences", bearer=old).status_code == 401
    newer = token("viewer", "revoked-1", iat=int(time.time()) + 1)
    with site.socket() as member:
        member.join(newer)
        answer = member.ask("refreshToken", token=old)
        assert (answer["type"], answer["code"]) == ("error", "TOKEN_INVALID")
        assert member.ask("listMembers")["type"] == "ok", "the socket stays"
    [row] = site.query("SELECT * FROM token_revocations WHERE user_id = 'revoked-1'")
    assert (row["reason"], row["void_until_s"] <= time.time()) == ("a check", True)
