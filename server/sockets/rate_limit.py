"""How often one connection may speak. Pure: the clock is an argument."""


class TokenBucket:
    """`rate_per_s` sustained, `burst` at once. Starts full."""

    __slots__ = ("_burst", "_filled_at_s", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: int, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._filled_at_s = now_s

    def take(self, now_s: float) -> float:
        """0.0: taken. Else the seconds until one is there again; nothing was taken."""
        wait_s = self.wait_s(now_s)
        if wait_s == 0:
            self._tokens -= 1
        return wait_s

    def wait_s(self, now_s: float) -> float:
        """What `take` would answer."""
        elapsed_s = now_s - self._filled_at_s
        self._tokens = min(self._burst, self._tokens + elapsed_s * self._rate_per_s)
        self._filled_at_s = now_s
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._rate_per_s


class FloodGate:
    """Counts refusals in windows of `window_s`: a page that misjudges its rate stops when told;
    a flood does not."""

    __slots__ = ("_began_s", "_refusals", "_refusals_max", "_window_s")

    def __init__(self, refusals_max: int, window_s: float) -> None:
        self._refusals_max = refusals_max
        self._window_s = window_s
        self._refusals = 0
        self._began_s = 0.0

    def refused(self, now_s: float) -> bool:
        """Count one refusal. True: it is a flood."""
        if self._refusals == 0 or now_s - self._began_s > self._window_s:
            self._refusals = 0
            self._began_s = now_s
        self._refusals += 1
        return self._refusals > self._refusals_max
