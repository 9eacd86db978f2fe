"""When a member whose connection has ended comes back, as the server wishes: a whole room, or all
rooms of a server, must not return in one moment. Pure: the draw is an argument."""

from typing import Final

from protocol.errors import CLOSES, CloseCode

RECONNECTS_PER_S: Final = 500
"""For how many at once a window makes room: 5,000 members return within 10 s."""
WINDOW_S_MIN: Final = 1.0
WINDOW_S_MAX: Final = 60.0


def reconnect_window_s(members: int) -> float:
    """Within how many seconds so many members come back."""
    return min(max(members / RECONNECTS_PER_S, WINDOW_S_MIN), WINDOW_S_MAX)


def come_back_in_s(code: CloseCode, members: int, draw: float) -> float | None:
    """How long a member who is closed with `code` stays away; None: as the own backoff says.
    `members`: who may have been closed with him; `draw`: uniform in [0, 1)."""
    rule = CLOSES[code]
    if rule.crowd:
        return rule.rest_s + draw * reconnect_window_s(members)
    return rule.rest_s or None


def close_reason(code: CloseCode, back_in_s: float | None) -> str:
    """The close frame's text, <= 123 bytes: `the room restarts; come back; in 4.2 s`. A client
    reads the number, and shows the rest."""
    text = CLOSES[code].text
    return text if back_in_s is None else f"{text}; in {back_in_s:.1f} s"
