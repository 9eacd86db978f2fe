"""When members come back: spread over a window, and told in what a close frame can hold."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import CLOSES, FAILED_ROOM_REST_S, CloseCode, reconnects
from protocol.reconnect import (
    RECONNECTS_PER_S,
    WINDOW_S_MAX,
    close_reason,
    come_back_in_s,
    reconnect_window_s,
)


@pytest.mark.parametrize(
    ("members", "window_s"), [(0, 1), (1, 1), (500, 1), (5_000, 10), (20_000, 40), (10**9, 60)]
)
def test_the_window_grows_with_the_members(members: int, window_s: float) -> None:
    assert reconnect_window_s(members) == window_s


@given(st.integers(1, 30_000), st.floats(0, 1, exclude_max=True))
def test_a_crowd_comes_back_within_its_window(members: int, draw: float) -> None:
    back_in_s = come_back_in_s(CloseCode.GOING_AWAY, members, draw)
    assert back_in_s is not None
    assert 0 <= back_in_s <= max(1.0, members / RECONNECTS_PER_S)


@pytest.mark.parametrize(
    ("code", "earliest_s", "latest_s"),
    [
        (CloseCode.GOING_AWAY, 0, 10),
        (CloseCode.ROOM_RESTARTING, 0, 10),
        (CloseCode.ROOM_FAILED, FAILED_ROOM_REST_S, FAILED_ROOM_REST_S + 10),
        (CloseCode.FLOOD, 10, 10),
        (CloseCode.SLOW_CONSUMER, None, None),
        (CloseCode.KICKED, None, None),
    ],
)
def test_who_is_told_when(
    code: CloseCode, earliest_s: float | None, latest_s: float | None
) -> None:
    assert come_back_in_s(code, 5_000, 0.0) == earliest_s
    assert come_back_in_s(code, 5_000, 1.0) == latest_s


@pytest.mark.parametrize("code", CloseCode)
def test_the_reason_fits_a_close_frame_and_has_the_number_at_its_end(code: CloseCode) -> None:
    back_in_s = come_back_in_s(code, 10**9, 0.9999)
    reason = close_reason(code, back_in_s)
    assert len(reason.encode()) <= 123
    assert reason.startswith(CLOSES[code].text)
    found = re.search(r"; in (\d+\.\d) s\Z", reason)
    assert (found is None) is (back_in_s is None)
    if found is not None and back_in_s is not None:
        assert float(found[1]) == pytest.approx(back_in_s, abs=0.051)
        assert reconnects(code), "who is not wanted back is not told when"


def test_the_longest_wait_is_bounded() -> None:
    waits = [come_back_in_s(code, 10**9, 1.0) for code in CloseCode]
    assert max(wait or 0 for wait in waits) <= FAILED_ROOM_REST_S + WINDOW_S_MAX
