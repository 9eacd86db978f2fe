"""One campaign: the real server under load, struck again and again, and looked at after each fault.

A *life* is what happens between two faults. In it every client first finds out what is unknown,
then asks for more, until it is cut off. When all is up again, what clients were told is compared
with what the database has. At the end everyone finds out, repeats old requests, the model's page
plays what waits; then the server is stopped in order, and what must hold at rest is checked.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import trio

from server.store.embedded import EmbeddedServer
from tests.chaos import history
from tests.chaos.faults import RESTARTED, Fault, recover, strike
from tests.chaos.invariants import look
from tests.chaos.load import (
    TOY_AMOUNT,
    Client,
    Page,
    Platform,
    Tipper,
    Trigger,
    by_http,
    by_socket,
    deposit,
)
from tests.e2e.site import FIRST_TOKENS, SERVICE, Site, query, running_site

TIPPERS: Final = ("alex", "sam", "jo", "kim", "dee")
"""The demo's viewers."""
CUSTOMERS: Final = ("ann", "bea")
"""For whom the platform's back end acts."""
TOKENS: Final = 1_000_000
ACKNOWLEDGED_MAX: Final = 60
"""The most that a life is left to acknowledge before it is struck."""
DELAY_S_MAX: Final = 0.02
REPEATS: Final = 10
"""Old requests that each client sends again at the end."""

ENDED_TIPS: Final = """
SELECT tip_id FROM activation_audit WHERE target_type = 'MODEL_TOY'
AND state IN ('ACTIVATED', 'SKIPPED', 'FAILED', 'EXPIRED', 'DEAD')"""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`settled`: by kind of transfer. `cut_off`: outcomes that were unknown when a life ended.
    `problems`: each once."""

    faults: dict[Fault, int]
    attempted: int
    acknowledged: int
    settled: dict[str, int]
    refused: int
    cut_off: int
    runs: int
    """Activations of the model's toy, as her page saw them."""
    problems: list[str]
    seconds: float

    @property
    def lost(self) -> int:
        return sum(history.LOST in problem for problem in self.problems)

    @property
    def doubled(self) -> int:
        return sum(history.DOUBLED in problem for problem in self.problems)


def run_campaign(
    data_dir: Path, faults: Sequence[Fault], seed: str, say: Callable[[str], None] = print
) -> Report:
    """Over an empty `data_dir`. `say` is told how it goes, a line a life."""
    began_s = time.monotonic()
    with running_site(data_dir) as site:
        campaign = Campaign(site, seed)
        for life, fault in enumerate(faults, start=1):
            life_began_s = time.monotonic()
            campaign.life(fault, with_page=life % 2 == 0)
            took_s = time.monotonic() - life_began_s
            say(f"{life}/{len(faults)} {fault}: {campaign.summary()}, {took_s:.1f} s")
        campaign.come_to_rest()
    campaign.check_at_rest(data_dir)
    return campaign.report(Counter(faults), time.monotonic() - began_s)


class Campaign:
    def __init__(self, site: Site, seed: str) -> None:
        self._site = site
        self._chance = random.Random(seed)
        self._page = Page()
        self._settled: Counter[str] = Counter()
        self._problems: dict[str, None] = {}
        """In order, each once."""
        site.change_platform(lovenseRateLimitPerMin=600)
        broadcast_id = site.broadcast_id()
        self._clients: list[Client] = [
            *(Tipper(name, seed, FIRST_TOKENS) for name in TIPPERS),
            *(Platform(name, seed, broadcast_id) for name in CUSTOMERS),
        ]
        for name in CUSTOMERS:
            register(site, name)
        for name, client in zip(TIPPERS, self._clients, strict=False):
            client.ask(by_http(site), deposit(f"first-{name}", name, TOKENS))

    def life(self, fault: Fault, *, with_page: bool) -> None:
        """From all being well to all being well again, with a fault in between."""
        server = self._site.server
        pid, restarts = server.pid, server.logged(RESTARTED)
        trigger = Trigger(
            partial(strike, fault, server),
            after=self._chance.randint(3, ACKNOWLEDGED_MAX),
            delay_s=self._chance.uniform(0, DELAY_S_MAX),
        )
        with ExitStack() as stack:
            threads = stack.enter_context(ThreadPoolExecutor(len(self._clients) + 1))
            working = [threads.submit(each.work, self._site, trigger) for each in self._clients]
            if with_page:
                playing = stack.enter_context(self._playing(threads))
            for each in working:
                each.result()
            trigger.pull()
        if with_page:
            playing.result()
        recover(fault, server, restarts)
        assert server.is_running, server.last_lines
        assert (server.pid == pid) is not fault.hits_server, "it was to survive"
        self._look(self._site.server.database_dsn)

    @contextmanager
    def _playing(self, threads: ThreadPoolExecutor) -> Iterator[Any]:
        """Her page at work; it leaves with the block."""
        with self._site.socket() as member:
            member.join(self._site.demo_token("model"), integration="EXTENSION", pageId="page-1")
            self._site.report(member)
            yield threads.submit(self._page.work, member)

    def come_to_rest(self) -> None:
        """Nothing strikes any more."""
        self._start_again()  # nobody has used up his purchases of this minute
        for each in self._clients:
            each.settle_up(self._site, REPEATS)
        self._start_again()  # it hands over at once what consumers have not done
        last = self._clients[0]
        assert isinstance(last, Tipper)
        with self._site.viewer(last.name) as member:
            last.ask(by_socket(member), last.tip(TOY_AMOUNT))
        self._page.play_to_the_end(self._site)

    def _start_again(self) -> None:
        assert self._site.server.stop() == 0, self._site.server.last_lines
        self._site.server.restart()

    def check_at_rest(self, data_dir: Path) -> None:
        """After the server's end."""
        with database(data_dir) as dsn:
            self._look(dsn, at_rest=True)
        self._found(history.problems_at_rest(each.history for each in self._clients))

    def report(self, faults: Counter[Fault], seconds: float) -> Report:
        histories = [each.history for each in self._clients]
        return Report(
            faults=dict(faults),
            attempted=sum(len(each.attempts) for each in histories),
            acknowledged=sum(len(each.told) for each in histories),
            settled=dict(self._settled),
            refused=sum(len(each.refused) for each in histories),
            cut_off=sum(each.cut_off for each in self._clients),
            runs=len(self._page.runs),
            problems=list(self._problems),
            seconds=seconds,
        )

    def summary(self) -> str:
        told = sum(len(each.history.told) for each in self._clients)
        return (
            f"{told} acknowledged, {self._settled.total()} settled, {len(self._problems)} problems"
        )

    def _look(self, dsn: str, *, at_rest: bool = False) -> None:
        findings = look(dsn, at_rest=at_rest)
        self._settled = Counter(each.source_ref.partition(":")[0] for each in findings.booked)
        self._found(findings.problems)
        self._found(history.problems([each.history for each in self._clients], findings.booked))
        self._page.over = {row["tip_id"] for row in query(dsn, ENDED_TIPS)}
        self._found(self._page.problems())

    def _found(self, problems: Sequence[str]) -> None:
        self._problems |= dict.fromkeys(problems)


def register(site: Site, user_id: str) -> None:
    """As the platform's back end does."""
    answer = site.http.put(
        f"/users/{user_id}",
        json={"username": user_id, "membershipTier": "FREE"},
        headers={"Authorization": f"Bearer {SERVICE}"},
    )
    assert answer.status_code == httpx.codes.OK, answer.text


@contextmanager
def database(data_dir: Path) -> Iterator[str]:
    """The DSN of the database of a server that does not run."""
    server = EmbeddedServer(data_dir / "postgres")
    dsn = trio.run(server.start)
    try:
        yield dsn
    finally:
        trio.run(server.stop)
