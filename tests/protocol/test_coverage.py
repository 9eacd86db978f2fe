"""Which rows a model's settings can express; and that the proposed settings express them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.audit import Reason
from protocol.coverage import (
    CoverageKind,
    NeededSpecial,
    Proposal,
    ProposedLevel,
    RowCoverage,
    cover,
    menu_coverage,
    propose,
)
from protocol.lovense import Level, LevelMap, ReportedSettings, Special, model_call, read_level_map
from protocol.tip_activated import AMOUNT_MAX, LovenseMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import PlatformSettings
from protocol.vibration import Pattern, PresetName, Vibration, VibrationType, cap, level

PLATFORM = PlatformSettings(enable_lovense=True)
EXACT, NEAREST, IMPOSSIBLE = CoverageKind
WAVE = PresetName.WAVE

MAP = LevelMap(
    levels=(Level("level1", 1, 29, 5, 3), Level("level2", 30, 199, 10, 5)),
    specials=(Special("wave", 42, 10), Special("pulse", 43, None), Special("fireworks", 44, 40)),
)


def preset(name: PresetName, seconds: int = 10) -> Vibration:
    return Vibration(VibrationType.PRESET, None, seconds, name, None)


def pattern(*values: int, seconds: int = 5) -> Vibration:
    return Vibration(VibrationType.PATTERN, None, seconds, None, Pattern(values, 200))


def row(amount: int, vibration: Vibration, *, active: bool = True, order: int = 0) -> TipMenuRow:
    return TipMenuRow(f"row-{amount}", amount, vibration, f"For {amount}", active, order)


def platform(**changes: Any) -> PlatformSettings:
    return msgspec.structs.replace(PLATFORM, **changes)


# ---- what her settings make of a row ---------------------------------------------------------


@pytest.mark.parametrize(
    ("vibration", "amount", "expected"),
    [
        (level(5, 3), 20, (EXACT, 20, "level1", 0, 0.0)),
        (level(10, 5), 20, (EXACT, 30, "level2", 0, 0.0)),
        (level(10, 5), 42, (EXACT, 30, "level2", 0, 0.0)),
        (level(7, 4), 20, (NEAREST, 20, "level1", 2, 1.0)),
        (level(20, 600), 500, (NEAREST, 30, "level2", 10, 25.0)),
        (preset(WAVE), 100, (EXACT, 42, "wave", 0, 0.0)),
        (preset(WAVE, 12), 100, (NEAREST, 42, "wave", 0, 2.0)),
        (preset(PresetName.PULSE, 12), 100, (EXACT, 43, "pulse", 0, None)),
        (pattern(10), 100, (NEAREST, 100, "level2", 0, 0.0)),
        (pattern(0, 12, seconds=3), 100, (NEAREST, 20, "level1", 1, 0.0)),
    ],
)
def test_what_a_row_comes_to(vibration: Vibration, amount: int, expected: tuple[Any, ...]) -> None:
    kind, passed, name, strength, seconds = expected
    if passed == 20 and amount == 100:
        passed = 1  # the chosen level does not cover the row's own amount
    assert cover(row(amount, vibration), MAP, PLATFORM) == RowCoverage(
        f"row-{amount}",
        amount,
        f"For {amount}",
        vibration.type,
        kind,
        passed,
        name,
        strength,
        seconds,
    )


@pytest.mark.parametrize(
    ("vibration", "level_map", "reason"),
    [
        (level(5, 3), None, Reason.NO_LEVEL_MAP),
        (preset(WAVE), None, Reason.NO_LEVEL_MAP),
        (level(5, 3), LevelMap((), MAP.specials), Reason.NO_LEVEL_MAP),
        (preset(PresetName.EARTHQUAKE), MAP, Reason.PRESET_UNAVAILABLE),
        (preset(PresetName.FIREWORKS), MAP, Reason.PRESET_UNAVAILABLE),  # longer than the longest
    ],
)
def test_what_cannot_be_played(
    vibration: Vibration, level_map: LevelMap | None, reason: Reason
) -> None:
    covered = cover(row(50, vibration), level_map, PLATFORM)
    assert (covered.kind, covered.reason, covered.amount) == (IMPOSSIBLE, reason, None)


def test_a_row_is_compared_as_the_platform_cuts_it() -> None:
    long = row(30, level(10, 600))
    assert cover(long, MAP, PLATFORM).seconds_difference == 25
    assert cover(long, MAP, platform(lovense_max_activation_duration=5)).kind is EXACT


def test_a_row_below_the_platforms_minimum_says_so() -> None:
    below = [cover(row(amount, level(5, 3)), MAP, PLATFORM).below_minimum for amount in (9, 10)]
    assert below == [True, False]


def test_of_a_menu_the_active_rows_by_their_order() -> None:
    rows = [
        row(30, level(10, 5), order=2),
        row(40, level(10, 5), order=1, active=False),
        row(20, level(5, 3), order=0),
    ]
    found = menu_coverage(rows, MAP, PLATFORM)
    assert found.known
    assert [each.tip_amount for each in found.rows] == [20, 30]
    assert found.proposal == propose([rows[2], rows[0]], MAP, PLATFORM)


# ---- the proposal ----------------------------------------------------------------------------


def levels(*parts: tuple[int, int, int, int]) -> tuple[ProposedLevel, ...]:
    return tuple(ProposedLevel(f"level{n}", *part) for n, part in enumerate(parts, 1))


@pytest.mark.parametrize(
    ("rows", "taken", "expected"),
    [
        ([], [], ()),
        ([row(30, level(9, 5))], [], [(30, AMOUNT_MAX, 5, 9)]),
        (
            [row(100, level(20, 8)), row(30, level(9, 5)), row(60, level(9, 5))],
            [],
            [(30, 99, 5, 9), (100, AMOUNT_MAX, 8, 20)],
        ),
        # A special has the row's amount: the level begins beside it.
        ([row(30, level(9, 5))], [30], [(31, AMOUNT_MAX, 5, 9)]),
        (
            [row(30, level(9, 5)), row(31, level(8, 5))],
            [30],
            [(31, 31, 5, 8), (32, AMOUNT_MAX, 5, 9)],
        ),
        ([row(AMOUNT_MAX, level(9, 5))], [AMOUNT_MAX], [(AMOUNT_MAX - 1, AMOUNT_MAX, 5, 9)]),
        # A pattern's stand-in is of its mean strength, and of none below 1.
        (
            [row(30, pattern(4, 6)), row(40, pattern(0))],
            [],
            [(30, 39, 5, 5), (40, AMOUNT_MAX, 5, 1)],
        ),
        ([row(30, level(9, 600))], [], [(30, AMOUNT_MAX, 30, 9)]),
        ([row(30, preset(WAVE))], [], ()),
    ],
)
def test_the_proposed_levels(
    rows: list[TipMenuRow], taken: list[int], expected: list[tuple[int, int, int, int]]
) -> None:
    specials = tuple(Special(f"special-{amount}", amount, 5) for amount in taken)
    assert propose(rows, LevelMap((), specials), PLATFORM).levels == levels(*expected)


def test_the_specials_that_have_to_change() -> None:
    rows = [
        row(10, preset(WAVE, 10)),  # is there
        row(11, preset(WAVE, 20)),  # one special has one time: the cheaper row's
        row(20, preset(PresetName.PULSE, 7)),  # does not say how long it plays
        row(30, preset(PresetName.FIREWORKS, 600)),  # plays too long
        row(40, preset(PresetName.EARTHQUAKE, 5)),  # is missing
    ]
    assert propose(rows, MAP, PLATFORM).specials == (
        NeededSpecial(PresetName.FIREWORKS, 30),
        NeededSpecial(PresetName.EARTHQUAKE, 5),
    )


SECONDS = st.integers(1, 40)
VIBRATIONS = st.one_of(
    st.builds(level, st.integers(1, 20), SECONDS),
    st.builds(preset, st.sampled_from(PresetName), SECONDS),
    st.builds(
        lambda values, seconds: pattern(*values, seconds=seconds),
        st.lists(st.integers(0, 20), min_size=1, max_size=5),
        SECONDS,
    ),
)
# Close together, also at the very end of all amounts: there rows and specials are in each other's
# way.
AMOUNTS = st.integers(1, 40) | st.integers(AMOUNT_MAX - 30, AMOUNT_MAX)
MENUS = st.dictionaries(AMOUNTS, VIBRATIONS, max_size=50).map(
    lambda menu: [row(amount, vibration) for amount, vibration in menu.items()]
)
SPECIALS = st.dictionaries(
    AMOUNTS,
    st.tuples(
        st.sampled_from([*PresetName, "clear", "random", "pause"]), st.none() | st.integers(1, 90)
    ),
    max_size=40,
).map(
    lambda prices: tuple(
        Special(f"{name}-{amount}" if index else name, amount, seconds)
        for index, (amount, (name, seconds)) in enumerate(prices.items())
    )
)
LEVELS = st.lists(
    st.builds(
        Level,
        st.sampled_from(["level1", "level2", "level3"]),
        AMOUNTS,
        st.just(AMOUNT_MAX),
        st.integers(1, 20),
        st.integers(1, 60),
    ),
    max_size=3,
).map(tuple)
MAPS = st.none() | st.builds(LevelMap, LEVELS, SPECIALS)


def applied(proposal: Proposal, specials: tuple[Special, ...]) -> LevelMap | None:
    """Her settings with the proposed levels, as her page would report them then."""
    return read_level_map(
        ReportedSettings(
            levels={
                each.name: {
                    "min": each.min, "max": each.max, "time": each.time, "vLevel": each.v_level
                }
                for each in proposal.levels
            },
            special={
                each.name: {"token": str(each.amount), "time": each.seconds} for each in specials
            },
        )
    )  # fmt: skip


@given(MENUS, MAPS, st.integers(1, 60))
def test_the_proposed_levels_make_every_level_exact(
    rows: list[TipMenuRow], level_map: LevelMap | None, seconds_max: int
) -> None:
    longest = platform(lovense_max_activation_duration=seconds_max)
    specials = level_map.specials if level_map is not None else ()
    proposal = propose(rows, level_map, longest)
    after = applied(proposal, specials)
    for each in rows:
        covered = cover(each, after, longest)
        if each.vibration.type is VibrationType.LEVEL:
            assert covered.kind is EXACT
        elif each.vibration.type is VibrationType.PATTERN:
            assert (covered.kind, covered.seconds_difference) == (NEAREST, 0)
            assert covered.strength_difference == (each.vibration.wanted_strength == 0)
    taken = {special.amount for special in specials}
    ends = 0
    for number, made in enumerate(proposal.levels, 1):
        assert made.name == f"level{number}"
        assert ends < made.min <= made.max <= AMOUNT_MAX
        assert 1 <= made.time <= seconds_max
        assert 1 <= made.v_level <= 20
        assert set(range(made.min, min(made.max, made.min + 100) + 1)) - taken
        ends = made.max


@given(MENUS, MAPS)
def test_a_row_whose_amount_no_special_has_keeps_it(
    rows: list[TipMenuRow], level_map: LevelMap | None
) -> None:
    """On the proposed levels: what viewers see as the price is what her product is told."""
    specials = level_map.specials if level_map is not None else ()
    taken = {special.amount for special in specials}
    after = applied(propose(rows, level_map, PLATFORM), specials)
    for each in rows:
        if each.vibration.type is VibrationType.PRESET or each.tip_amount in taken:
            continue
        assert after is not None
        owner = next(
            level
            for level in after.levels
            if level.amount_min <= each.tip_amount <= level.amount_max
        )
        wanted = cap(each.vibration, PLATFORM.lovense_max_activation_duration)
        assert owner.strength == max(wanted.wanted_strength, 1)
        assert owner.seconds == wanted.duration_sec


@given(MENUS, MAPS)
def test_coverage_is_what_a_tip_would_really_do(
    rows: list[TipMenuRow], level_map: LevelMap | None
) -> None:
    seconds_max = PLATFORM.lovense_max_activation_duration
    for each, covered in zip(rows, menu_coverage(rows, level_map, PLATFORM).rows, strict=True):
        vibration = cap(each.vibration, seconds_max)
        fitted = model_call(
            LovenseMode.CAM_KIT, vibration, level_map, each.tip_amount, "ann", seconds_max
        )
        amount = None if fitted.call is None else fitted.call.args[1]
        assert (covered.amount, covered.reason) == (amount, fitted.reason)
        assert covered.level == fitted.fit.level


@given(MENUS)
def test_with_the_needed_specials_every_preset_plays(rows: list[TipMenuRow]) -> None:
    proposal = propose(rows, None, PLATFORM)
    prices = range(50_000, 50_004)
    specials = tuple(
        Special(each.name, price, each.time)
        for each, price in zip(proposal.specials, prices, strict=False)
    )
    after = applied(propose(rows, LevelMap((), specials), PLATFORM), specials)
    cheapest: set[PresetName] = set()
    for each in sorted(rows, key=lambda each: each.tip_amount):
        covered = cover(each, after, PLATFORM)
        assert covered.kind is not IMPOSSIBLE
        name = each.vibration.preset_name
        if name is not None and name not in cheapest:
            cheapest.add(name)
            assert covered.kind is EXACT
