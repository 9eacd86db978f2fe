"""One campaign: the real server under load, struck again and again, and looked at after each fault.

A *life* is what happens between two faults. In it every client first finds out what is unknown,
then asks for more, until it is cut off. When all is up again, what clients were told is compared
with what the database has. At the end everyone finds out, repeats old requests, the stage is left
alone for so long that the system gives up on it, the model's page plays what waits; then the server
is stopped in order, and what must hold at rest is checked.

What takes minutes on the wall is made older in the database instead, where the server reads it.
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
from tests.chaos.shoppers import Performer, Shopper, move_problems, open_shop, repeat
from tests.chaos.stage_invariants import Moved, Totals
from tests.e2e.site import FIRST_TOKENS, SERVICE, Site, query, running_site

TIPPERS: Final = ("alex", "sam", "jo", "kim", "dee")
"""The demo's viewers."""
CUSTOMERS: Final = ("ann", "bea")
"""For whom the platform's back end acts."""
SHOPPERS: Final = ("una", "vic", "wes")
"""Who buy from the model's menus."""
TOKENS: Final = 1_000_000
ACKNOWLEDGED_MAX: Final = 60
"""The most that a life is left to acknowledge before it is struck."""
DELAY_S_MAX: Final = 0.02
REPEATS: Final = 10
"""Old requests that each client sends again at the end."""

STANDSTILLS: Final = 0.3
"""How often the stage has stood still for ten minutes when a killed server is back."""

A_MINUTE_LATER: Final = """
UPDATE menu_purchases SET attempted_at = attempted_at - interval '1 minute'
WHERE state = 'CREATED'"""
"""A purchase that another server began is taken over."""
TEN_MINUTES_LATER: Final = """
UPDATE menu_purchases SET ready_at = ready_at - interval '10 minutes',
    started_at = started_at - interval '10 minutes', ended_at = ended_at - interval '10 minutes'
WHERE queue_mode = 'ON'"""
"""The system gives up on what waits, unless something is performed."""

OWING: Final = """
SELECT p.purchase_id::text, p.state, p.user_id::text AS buyer,
       json_build_object('kind', p.abandon_kind, 'tokens', p.abandon_tokens)::text AS terms
FROM menu_purchases p WHERE EXISTS (
    SELECT FROM stage_payments o WHERE o.purchase_id = p.purchase_id AND o.done_at IS NULL)"""

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
    bought: Totals
    """From menus."""
    moves: dict[str, int]
    """Of what waited on the stage, by the state that was reached; `system`: of these, by nobody."""
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
    # What a long run asks again at its end is more than a user may ask for in a minute.
    with running_site(data_dir, TIPROOM_PURCHASE_REQUESTS_PER_MIN="100000") as site:
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
        self._bought = Totals()
        self._moved: Sequence[Moved] = ()
        self._problems: dict[str, None] = {}
        """In order, each once."""
        site.change_platform(lovenseRateLimitPerMin=600)
        broadcast_id = site.broadcast_id()
        offers = open_shop(site)
        tippers = [Tipper(name, seed, FIRST_TOKENS) for name in TIPPERS]
        self._shoppers = [Shopper(name, seed, offers) for name in SHOPPERS]
        self._performer = Performer(random.Random(f"{seed}/model"), self._shoppers)
        self._clients: list[Client] = [
            *tippers,
            *(Platform(name, seed, broadcast_id) for name in CUSTOMERS),
            *self._shoppers,
        ]
        for name in (*CUSTOMERS, *SHOPPERS):
            register(site, name)
        for client in (*tippers, *self._shoppers):
            client.ask(by_http(site), deposit(f"first-{client.name}", client.name, TOKENS))

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
            threads = stack.enter_context(ThreadPoolExecutor(len(self._clients) + 2))
            working = [threads.submit(each.work, self._site, trigger) for each in self._clients]
            working.append(threads.submit(self._performer.work, self._site))
            if with_page:
                playing = stack.enter_context(self._playing(threads))
            for each in working:
                each.result()
            trigger.pull()
        if with_page:
            playing.result()
        if fault is Fault.SERVER:  # the new one finds at its start what it has to take over
            self._later(A_MINUTE_LATER)
            if self._chance.random() < STANDSTILLS:
                self._later(TEN_MINUTES_LATER)
        recover(fault, server, restarts)
        if fault.hits_server:
            self._later(A_MINUTE_LATER)
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
        self._start_again()  # nobody has used up his tips of this minute
        for each in self._clients:
            each.settle_up(self._site, REPEATS)
        self._performer.settle_up(self._site)
        self._stand_still()
        self._start_again()  # it hands over at once what consumers have not done
        self._leave_some_open()
        last = self._clients[0]
        assert isinstance(last, Tipper)
        with self._site.viewer(last.name) as member:
            last.ask(by_socket(member), last.tip(TOY_AMOUNT))
        self._page.play_to_the_end(self._site)

    def _stand_still(self) -> None:
        """Nobody starts anything for ten minutes: the system gives back what waits."""
        self._performer.clear(self._site)
        for each in self._shoppers:
            each.buy_for_stage(self._site)
        self._site.server.kill()
        self._later(TEN_MINUTES_LATER)
        self._site.server.restart()
        # In her turn: what was due at the start comes before it.
        answer = self._site.request(
            "PATCH", "/models/{model_id}/stage", "model", json={"order": "fifo"}
        )
        if answer.json()["entries"]:
            self._found(["the stage stood still, and something waits"])

    def _leave_some_open(self) -> None:
        """One is performed, the others wait; what moves owe is paid."""
        for each in self._shoppers:
            each.buy_for_stage(self._site)
        self._performer.start_next(self._site)
        for row in self._site.query(OWING):
            repeat(self._site, row["purchase_id"], row["state"], row["buyer"], row["terms"])

    def _later(self, sql: str) -> None:
        query(self._site.server.database_dsn, sql)

    def _start_again(self) -> None:
        assert self._site.server.stop() == 0, self._site.server.last_lines
        self._site.server.restart()
        self._later(A_MINUTE_LATER)

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
            bought=self._bought,
            moves=self._moves(),
            problems=list(self._problems),
            seconds=seconds,
        )

    def _moves(self) -> dict[str, int]:
        counts = Counter(each.after for each in self._moved)
        counts["system"] = sum(each.who == "system" for each in self._moved)
        return dict(counts)

    def summary(self) -> str:
        told = sum(len(each.history.told) for each in self._clients)
        return (
            f"{told} acknowledged, {self._settled.total()} settled, {len(self._problems)} problems"
        )

    def _look(self, dsn: str, *, at_rest: bool = False) -> None:
        findings = look(dsn, at_rest=at_rest)
        self._settled = Counter(each.source_ref.partition(":")[0] for each in findings.booked)
        self._bought, self._moved = findings.totals, findings.moved
        self._found(findings.problems)
        acts = [self._performer.acts, *(each.acts for each in self._shoppers)]
        self._found([*move_problems(acts, findings.moved)])
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
