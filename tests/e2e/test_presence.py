"""Who is in the room, as its members see it over real sockets."""

from tests.e2e.site import Site, token


def test_members_see_who_is_here_those_who_matter_first(site: Site) -> None:
    with site.viewer("kim") as kim, site.model(), site.socket() as mod:
        joined = mod.join(token("moderator", "platform-id-of-mo", name="mo"))
        assert joined["self"]["role"] == "moderator"
        page = kim.ask("listMembers", limit=2)["result"]
        assert [(each["role"], each["state"]) for each in page["members"]] == [
            ("model", "online"),
            ("moderator", "online"),
        ]
        page = kim.ask("listMembers", after=page["next"])["result"]
        assert [each["username"] for each in page["members"]] == [kim.snapshot["self"]["username"]]
        assert page["next"] is None
        mod.send("setPresence", state="away")
        change = kim.until("presenceChanged")
        while not any(each["state"] == "away" for each in change["here"]):
            change = kim.until("presenceChanged")
        mod.send("typing")
        assert kim.until("typingChanged")["typing"]["members"][0]["username"] == "mo"
        received = str([frame for frame in kim.received if frame["type"] != "snapshot"])
        assert "platform-id-of-mo" not in received, "of no member's business"
