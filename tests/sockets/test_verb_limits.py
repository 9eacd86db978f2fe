"""How often each verb may be said, and by whom; no waiting, the clock is an argument."""

from hypothesis import given
from hypothesis import strategies as st

from protocol import frames
from server.sockets.verb_limits import (
    FULL_AGAIN_S,
    USER_FACTOR,
    VERB_RATES,
    Allowance,
    Allowances,
    VerbLimits,
)

TIP = VERB_RATES[frames.Tip]


def said(limits: VerbLimits, count: int, now_s: float = 0.0, verb: type = frames.Tip) -> int:
    """How many of `count` are taken."""
    return sum(limits.take(verb, now_s)[0] == 0 for _ in range(count))


def test_each_verb_has_its_own_burst_and_refills() -> None:
    limits = VerbLimits(Allowance(), Allowance(USER_FACTOR), None)
    assert said(limits, 100) == TIP.burst
    wait_s, scope = limits.take(frames.Tip, 0.0)
    assert (wait_s, scope) == (1 / TIP.per_s, "connection")
    assert limits.take(frames.SetPreferences, 0.0)[0] == 0
    assert said(limits, 100, 1.0) == TIP.per_s


def test_a_users_tabs_share_one_allowance() -> None:
    user = Allowance(USER_FACTOR)
    tabs = [VerbLimits(Allowance(), user, None) for _ in range(5)]
    assert sum(said(tab, 100) for tab in tabs) == TIP.burst * USER_FACTOR
    assert tabs[-1].take(frames.Tip, 0.0)[1] == "user"


def test_an_addresses_users_share_one_allowance() -> None:
    address = Allowance(3.0)
    users = [VerbLimits(Allowance(), Allowance(USER_FACTOR), address) for _ in range(8)]
    assert sum(said(user, 100) for user in users) == TIP.burst * 3
    assert users[-1].take(frames.Tip, 0.0)[1] == "address"


def test_what_is_refused_in_one_scope_costs_nothing_in_the_others() -> None:
    user = Allowance(USER_FACTOR)
    greedy, modest = VerbLimits(Allowance(), user, None), VerbLimits(Allowance(), user, None)
    said(greedy, 10_000)
    assert said(modest, 100) == TIP.burst


def test_a_stop_and_answers_to_commands_are_never_limited_here() -> None:
    limits = VerbLimits(Allowance(), Allowance(), None)
    for verb in (frames.StopToys, frames.CommandActivated):
        assert said(limits, 1_000, verb=verb) == 1_000


def test_coming_back_does_not_fill_the_bucket() -> None:
    shared = Allowances(1.0)
    first = VerbLimits(Allowance(), shared.hold("ann"), None)
    said(first, 100)
    shared.release("ann", 0.0)
    assert said(VerbLimits(Allowance(), shared.hold("ann"), None), 100) == 0
    assert said(VerbLimits(Allowance(), shared.hold("bob"), None), 100) == TIP.burst


def test_who_said_nothing_or_has_long_been_gone_is_not_remembered() -> None:
    shared = Allowances(1.0)
    VerbLimits(Allowance(), shared.hold("ann"), None).take(frames.Tip, 0.0)
    shared.hold("bob")
    for user in ("ann", "bob"):
        shared.release(user, 0.0)
    assert len(shared) == 1
    shared.hold("cid")
    shared.release("cid", FULL_AGAIN_S)
    assert len(shared) == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=60))
def test_only_so_many_that_are_gone_are_remembered(acts: list[tuple[str, bool]]) -> None:
    shared, held = Allowances(1.0, idle_max=2), dict.fromkeys("abcdef", 0)
    for key, comes in acts:
        if comes:
            VerbLimits(Allowance(), shared.hold(key), None).take(frames.Tip, 0.0)
            held[key] += 1
        elif held[key]:
            shared.release(key, 0.0)
            held[key] -= 1
        assert len(shared) <= sum(1 for count in held.values() if count) + 2
