"""What an auditor who waits is shown."""

import io

from server.ledger.progress import Progress


class Screen(io.StringIO):
    """A stream that says whether someone watches."""

    def __init__(self, *, live: bool) -> None:
        super().__init__()
        self._live = live

    def isatty(self) -> bool:
        return self._live


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def show(*, live: bool, step_s: float, steps: int) -> str:
    """A thousand rows each `step_s`, of ten thousand."""
    screen, clock = Screen(live=live), Clock()
    progress = Progress(screen, clock)
    progress.begin("entries", 10_000)
    for _ in range(steps):
        clock.now_s += step_s
        progress.advance(1_000)
    progress.end()
    return screen.getvalue()


def test_a_line_every_few_seconds_where_nobody_watches() -> None:
    assert show(live=False, step_s=2.0, steps=7).splitlines() == [
        "entries   30%  3,000 of 10,000  500/s  14 s left",
        "entries   60%  6,000 of 10,000  500/s  8 s left",
    ]


def test_what_is_done_soon_says_nothing() -> None:
    assert show(live=False, step_s=0.1, steps=10) == ""


def test_one_line_that_changes_and_goes_where_someone_watches() -> None:
    shown = show(live=True, step_s=0.5, steps=2).split("\r\x1b[2K")
    assert shown == [
        "",
        "entries ...",
        "entries   10%  1,000 of 10,000  2,000/s  4 s left",
        "entries   20%  2,000 of 10,000  2,000/s  4 s left",
        "",
    ]


def test_a_step_of_unknown_size_has_no_share() -> None:
    screen = Screen(live=True)
    Progress(screen, Clock()).begin("refunds", 0)
    assert screen.getvalue().endswith("refunds ...")
