"""The page's client against a hand-written server side: when it comes back and when it does not,
what it says again after a lost connection, and what it never sends twice."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import harness

pytestmark = pytest.mark.slow  # drives a real browser

URL = "ws://tiproom.test/rooms/room-1"
SERVER_TIME_MS = 1_800_000_000_000
"""The page's clock stands still; the server's is elsewhere."""


class ServerSide:
    """The other end of every socket that the page opens; JSON. `frames`: all that it received,
    of each connection."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[list[dict[str, Any]]] = []
        self.sockets: list[WebSocketRoute] = []
        self.refusal: tuple[dict[str, Any], int] | None = None
        self.answers = True
        self.snapshot: dict[str, Any] = {"epoch": "e1", "offset": 7, "recovered": False}
        self.window_s = 0.0
        page.route_web_socket(URL, self._on_socket)

    @property
    def last(self) -> list[dict[str, Any]]:
        return self.frames[-1]

    def invite(self, token_life_s: float = 3600, integration: str | None = "EXTENSION") -> None:
        """Start the page's client; a viewer's without an integration."""
        options = {
            "integration": integration,
            "url": URL,
            "tokenLifeMs": token_life_s * 1000,
            "serverTimeMs": SERVER_TIME_MS,
        }
        harness(self.page, "connect", options)

    def notice(self, offset: int) -> None:
        """A room event; taken by the page when this returns."""
        event = {"type": "tipNotice", "epoch": "e1", "offset": offset}
        self.sockets[-1].send(json.dumps(event))
        expect(self.page.locator("main")).to_have_attribute("data-offset", str(offset))

    def answer(self, frame: dict[str, Any], **content: Any) -> None:
        """`ok` with a result, or an error with a code."""
        kind = "ok" if "result" in content else "error"
        self.sockets[-1].send(json.dumps({"type": kind, "ref": frame["ref"], **content}))

    def close(self, code: int, reason: str = "") -> None:
        self.sockets[-1].close(code=code, reason=reason)
        expect(self.page.locator("main")).not_to_have_attribute("data-state", "online")

    def hear(self) -> None:
        """All that the page has sent so far is in `frames` when this returns."""
        self.page.evaluate("ask({type: 'ping'})")
        expect_answer(self.page, "done")

    def wait_for(self, kind: str, times: int) -> None:
        """Until the newest socket has received so many of them."""
        for _ in range(200):  # each look takes what has come
            if len(self.sent(kind)) >= times:
                return
            self.page.evaluate("0")
        raise AssertionError(f"{len(self.sent(kind))} of {times} {kind}")

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """All frames of one type on the newest socket."""
        return [frame for frame in self.last if frame["type"] == kind]

    def _on_socket(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        frames: list[dict[str, Any]] = []
        self.frames.append(frames)
        socket.on_message(lambda message: self._on_message(socket, frames, json.loads(message)))

    def _on_message(
        self, socket: WebSocketRoute, frames: list[dict[str, Any]], frame: dict[str, Any]
    ) -> None:
        frames.append(frame)
        if frame["type"] == "connect" and self.refusal is not None:
            error, code = self.refusal
            self.answer(frame, **error)
            socket.close(code=code, reason="closed")
        elif frame["type"] == "connect":
            self.answer(frame, result=None)
            snapshot = {
                "type": "snapshot",
                "serverTime": SERVER_TIME_MS,
                "room": {"roomId": "room-1"},
                "self": {"userId": "luna"},
                "viewers": 3,
                "missed": [],
                "reconnectWithinS": self.window_s,
            }
            socket.send(json.dumps(snapshot | self.snapshot))
        elif self.answers and "ref" in frame:
            self.answer(frame, result="done")


@pytest.fixture
def server(page: Page) -> ServerSide:
    return ServerSide(page)


@pytest.fixture
def start(page: Page, server: ServerSide) -> Callable[..., None]:
    """Starts the client and waits until it is online."""

    def start(token_life_s: float = 3600, integration: str | None = "EXTENSION") -> None:
        server.invite(token_life_s, integration)
        expect_state(page, "online")

    return start


def expect_state(page: Page, state: str) -> None:
    expect(page.locator("main")).to_have_attribute("data-state", state)


def expect_answer(page: Page, answer: str) -> None:
    """`done`, or the refusal's code and whether trying again makes sense."""
    expect(page.locator("main")).to_have_attribute("data-answer", answer)


def test_it_introduces_itself_first_and_keeps_the_rooms_state(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    assert server.frames[0][0] == {
        "type": "connect", "ref": 1, "token": "token-1",
        "integration": "EXTENSION", "pageId": "page-1",
    }  # fmt: skip
    state = page.evaluate("[client.room.roomId, client.self.userId, client.viewers]")
    assert state == ["room-1", "luna", 3]
    presence = {"type": "presenceChanged", "epoch": "e1", "offset": 7, "viewers": 4}
    server.sockets[-1].send(json.dumps(presence | {"reconnectWithinS": 1}))
    server.notice(8)
    assert page.evaluate("client.viewers") == 4


def test_a_request_is_answered_by_its_ref(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate("ask({type: 'tip'}, false, 'first'); ask({type: 'tip'}, false, 'second')")
    server.answers = True
    server.hear()
    first, second = server.sent("tip")
    server.answer(second, result="two")
    server.answer(first, result="one")
    expect(page.locator("main")).to_have_attribute("data-first", "one")
    expect(page.locator("main")).to_have_attribute("data-second", "two")


def test_a_refusal_carries_the_servers_code(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate("([frame, resend]) => ask(frame, resend)", [{"type": "tip"}, False])
    server.answer(server.sent("tip")[0], code="INSUFFICIENT_TOKENS", text="No.", retry=False)
    expect_answer(page, "INSUFFICIENT_TOKENS final")


@pytest.mark.parametrize("code", [1011, 1012, 4000, 4001, 4499])
def test_it_comes_back_after_a_close_that_allows_it(
    page: Page, server: ServerSide, start: Callable[..., None], code: int
) -> None:
    start()
    server.close(code)
    expect_state(page, "waiting")
    assert page.evaluate("client.status.retryInMs") == pytest.approx(499.5)
    page.clock.run_for(490)
    assert len(server.sockets) == 1
    page.clock.run_for(20)
    expect_state(page, "online")
    assert len(server.sockets) == 2
    assert server.last[0]["resume"] == {"epoch": "e1", "offset": 7}


@pytest.mark.parametrize("code", [4500, 4502, 4507, 4999])
def test_it_stays_away_after_a_close_that_forbids_it(
    page: Page, server: ServerSide, start: Callable[..., None], code: int
) -> None:
    start()
    server.close(code, "no more")
    assert page.evaluate("client.status") == {"state": "refused", "code": code, "reason": "no more"}
    page.clock.run_for(3_600_000)
    assert len(server.sockets) == 1
    page.evaluate("([frame, resend]) => ask(frame, resend)", [{"type": "tip"}, True])
    expect_answer(page, "CLOSED final")


def test_the_words_of_a_refused_connect_are_kept(page: Page, server: ServerSide) -> None:
    error = {"code": "SECOND_MODEL_PAGE", "text": "Open with EXTENSION.", "retry": False}
    server.refusal = (error, 4502)
    server.invite()
    expect_state(page, "refused")
    assert page.evaluate("client.status.reason") == "Open with EXTENSION."


def test_waits_grow_to_a_ceiling_and_start_short_again_after_a_stable_time(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    waits = []
    for _ in range(8):
        server.close(4000)
        waits.append(round(page.evaluate("client.status.retryInMs") / 0.999))
        page.clock.run_for(20_000)
        expect_state(page, "online")
        # online, but not for the ten seconds that make a connection a good one
    assert waits == [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]
    page.clock.run_for(10_000)
    server.close(4000)
    assert round(page.evaluate("client.status.retryInMs") / 0.999) == 500


def test_toys_and_settings_are_told_again_after_every_snapshot(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    for toy in ("old", "lush"):
        page.evaluate("(id) => client.reportToys([{id}])", toy)
    page.evaluate("client.reportSettings(null)")
    server.close(4000)
    page.clock.run_for(1_000)
    expect_state(page, "online")
    assert [frame["toys"] for frame in server.sent("reportToys")] == [[{"id": "lush"}]]
    assert [frame["settings"] for frame in server.sent("reportSettings")] == [None]


def test_who_is_away_is_away_after_a_reconnect_too(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    for away in (True, False, True):
        page.evaluate("(away) => client.setAway(away)", away)
    server.hear()
    said = [frame["state"] for frame in server.sent("setPresence")]
    assert said == ["away", "online", "away"]
    server.close(4000)
    page.clock.run_for(1_000)
    expect_state(page, "online")
    server.hear()
    assert [frame["state"] for frame in server.sent("setPresence")] == ["away"]


def test_only_what_may_be_asked_twice_is_asked_again(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate("ask({type: 'stopToys'})")
    page.evaluate("ask({type: 'tip', tipId: 't1'}, true, 'first')")
    server.close(4000)
    expect_answer(page, "DISCONNECTED retry")
    page.evaluate("ask({type: 'tip', tipId: 't2'}, true, 'second')")
    server.answers = True
    page.clock.run_for(1_000)
    expect(page.locator("main")).to_have_attribute("data-first", "done")
    expect(page.locator("main")).to_have_attribute("data-second", "done")
    assert [frame["tipId"] for frame in server.sent("tip")] == ["t1", "t2"]
    assert server.sent("stopToys") == []


# ---- a stop always arrives -------------------------------------------------------------------


def expect_stop_waits(page: Page, waits: bool) -> None:
    expect(page.locator("main")).to_have_attribute("data-stop-waits", str(waits).lower())


def test_a_stop_without_a_connection_goes_first_once_there_is_one(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    page.evaluate("client.reportToys([{id: 'lush'}])")
    server.close(4000)
    page.evaluate("ask({type: 'tip', tipId: 't1'}, true); client.stopToys()")
    expect_stop_waits(page, True)
    page.clock.run_for(1_000)
    expect_stop_waits(page, False)
    kinds = [frame["type"] for frame in server.last]
    assert kinds == ["connect", "stopToys", "reportToys", "tip"]


@pytest.mark.parametrize("other_page", [False, True])
def test_a_stop_outlives_the_page(
    page: Page, server: ServerSide, start: Callable[..., None], other_page: bool
) -> None:
    start()
    server.answers = False  # or the page is back and has delivered it before it ends
    server.close(4000)
    if other_page:
        old, page = page, page.context.new_page()
        page.goto(old.url)
        # What one page stores, browsers bring to another a moment later.
        page.evaluate(
            "() => { window.kept = new Promise((done) => addEventListener('storage', done)) }"
        )
        old.evaluate("client.stopToys()")
        page.evaluate("kept.then(() => null)")
        old.close()
        server = ServerSide(page)
    else:
        page.evaluate("client.stopToys()")
        page.reload()
        server.answers = True
    server.invite()
    expect_stop_waits(page, False)
    assert [frame["type"] for frame in server.last[:2]] == ["connect", "stopToys"]
    server.page.reload()
    server.invite()
    expect_state(page, "online")
    server.hear()
    assert server.sent("stopToys") == [], "delivered once, it is over"


def test_a_stop_of_another_tab_is_delivered_by_whoever_is_back_first(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.close(4000)
    page.evaluate("localStorage.setItem('tiproom.stop.luna', String(Date.now()))")
    page.clock.run_for(1_000)
    expect_stop_waits(page, False)
    assert [frame["type"] for frame in server.last[:2]] == ["connect", "stopToys"]
    assert page.evaluate("localStorage.getItem('tiproom.stop.luna')") is None


def test_a_stop_of_long_ago_is_not_delivered(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.close(4000)
    page.evaluate("client.stopToys()")
    page.reload()
    page.clock.run_for(10 * 60 * 1000 + 1)
    server.invite()
    expect_state(page, "online")
    server.hear()
    assert server.sent("stopToys") == []


def test_a_stop_that_is_answered_with_an_error_is_tried_again(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate("client.stopToys()")
    for number in range(1, 4):
        server.wait_for("stopToys", number)
        error = {"code": "ROOM_BUSY", "text": "The room is busy.", "retry": True}
        server.answer(server.sent("stopToys")[-1], **error)
        expect_stop_waits(page, True)
        page.clock.run_for(5_000)
    server.wait_for("stopToys", 4)
    server.answer(server.sent("stopToys")[-1], result=None)
    expect_stop_waits(page, False)
    page.clock.run_for(60_000)
    assert len(server.sent("stopToys")) == 4


def test_each_press_is_sent_and_an_older_answer_does_not_end_a_newer_one(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    """Between two presses the toys may have been resumed."""
    start()
    server.answers = False
    page.evaluate("client.stopToys(); client.resumeToys(); client.stopToys()")
    server.wait_for("stopToys", 2)
    first, second = server.sent("stopToys")
    server.answer(first, result=None)
    server.answer(server.sent("resumeToys")[0], result=None)
    page.reload()
    server.answers = True
    server.invite()
    expect_state(page, "online")
    server.hear()
    assert len(server.sent("stopToys")) == 1
    assert second["ref"] > first["ref"]


def test_a_resume_ends_a_stop_that_is_still_tried(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate("client.stopToys()")
    server.wait_for("stopToys", 1)
    server.answer(server.sent("stopToys")[0], code="ROOM_BUSY", text="busy", retry=True)
    server.answers = True
    page.evaluate("client.resumeToys()")
    expect_stop_waits(page, False)
    page.clock.run_for(60_000)
    assert len(server.sent("stopToys")) == 1


def test_a_connection_that_does_not_answer_is_given_up(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate("([frame, resend]) => ask(frame, resend)", [{"type": "tip", "tipId": "t1"}, True])
    page.clock.run_for(9_900)
    expect_state(page, "online")
    page.clock.run_for(200)
    expect_state(page, "waiting")
    server.answers = True
    page.clock.run_for(1_000)
    expect_answer(page, "done")


def test_who_returns_gets_what_was_missed_once_and_goes_on_from_there(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.notice(8)
    server.close(4000)
    missed = [{"type": "tipNotice", "epoch": "e1", "offset": n} for n in (9, 10)]
    server.snapshot = {"epoch": "e1", "offset": 10, "recovered": True, "missed": missed}
    page.clock.run_for(3_000)
    expect_state(page, "online")
    assert server.last[0]["resume"] == {"epoch": "e1", "offset": 8}
    server.notice(11)
    server.sockets[-1].send(json.dumps(missed[0]))  # once more: it is here already
    server.notice(12)
    heard = [
        ["snapshot", 7, None], ["tipNotice", 8, None],
        ["tipNotice", 9, True], ["tipNotice", 10, True], ["snapshot", 10, None],
        ["tipNotice", 11, None], ["tipNotice", 12, None],
    ]  # fmt: skip
    assert page.evaluate("heard") == heard
    assert page.evaluate("client.status.state") == "online"


@pytest.mark.parametrize(
    ("snapshot", "lost"),
    [
        ({"epoch": "e1", "offset": 9, "recovered": False}, 2),
        ({"epoch": "e2", "offset": 1, "recovered": False}, None),
    ],
)
def test_a_fresh_start_says_what_is_lost(
    page: Page, server: ServerSide, start: Callable[..., None], snapshot: Any, lost: int | None
) -> None:
    start()
    server.close(4000)
    server.snapshot = snapshot
    page.clock.run_for(3_000)
    expect_state(page, "online")
    assert page.evaluate("heard") == [
        ["snapshot", 7, None], ["lost", lost, None], ["snapshot", snapshot["offset"], None],
    ]  # fmt: skip
    assert page.evaluate("client.room.roomId") == "room-1"


def test_a_hole_in_the_events_is_told_before_what_comes_after_it(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.notice(11)
    assert page.evaluate("heard")[1:] == [["lost", 3, None], ["tipNotice", 11, None]]
    server.close(4000)
    page.clock.run_for(3_000)
    expect_state(page, "online")
    assert server.last[0]["resume"] == {"epoch": "e1", "offset": 11}


def test_it_comes_back_when_the_close_says(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.close(4000, "the server is going away; come back; in 7.3 s")
    status = page.evaluate("client.status")
    assert (status["retryInMs"], status["reason"]) == (
        7_300,
        "the server is going away; come back",
    )
    page.clock.run_for(7_200)
    assert len(server.sockets) == 1
    page.clock.run_for(200)
    expect_state(page, "online")
    server.close(4000, "come back; in 0.1 s")  # it was not online for long: its own waits grow
    assert page.evaluate("client.status.retryInMs") == pytest.approx(999)


@pytest.mark.parametrize(
    ("integration", "code", "waits_ms"),
    [(None, 1006, 9_990), ("CAM_KIT", 1006, 499.5), (None, 4001, 499.5)],
)
def test_after_a_loss_without_a_word_the_viewers_of_a_room_spread_over_its_window(
    page: Page,
    server: ServerSide,
    start: Callable[..., None],
    integration: str | None,
    code: int,
    waits_ms: float,
) -> None:
    """The model's page is one, and hurries."""
    server.window_s = 10
    start(integration=integration)
    if code == 1006:
        page.evaluate("sockets[0].onclose({code: 1006, reason: ''})")  # no frame can say it
    else:
        server.close(code)
    assert page.evaluate("client.status.retryInMs") == pytest.approx(waits_ms)


def test_a_stop_waits_for_no_window(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    server.window_s = 10
    start(integration=None)
    server.close(4000, "the server is going away; come back; in 8.0 s")
    expect_state(page, "waiting")
    page.evaluate("ask({type: 'stopToys'}, true)")
    expect_answer(page, "done")
    assert [frame["type"] for frame in server.last] == ["connect", "stopToys"]


def test_a_stop_that_was_on_its_way_brings_the_page_back_at_once(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start(integration=None)
    server.answers = False
    page.evaluate("ask({type: 'stopToys'}, true)")
    server.close(4000, "the server is going away; come back; in 8.0 s")
    assert page.evaluate("client.status.retryInMs") == pytest.approx(499.5)


def test_the_token_is_replaced_a_minute_before_its_end_on_the_same_socket(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start(token_life_s=300)
    page.clock.run_for(239_000)
    server.hear()
    assert server.sent("refreshToken") == []
    page.clock.run_for(2_000)
    server.hear()
    assert [frame["token"] for frame in server.sent("refreshToken")] == ["token-2"]
    assert len(server.sockets) == 1


def test_an_expired_token_is_replaced_before_coming_back(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.close(4004)
    page.clock.run_for(1_000)
    expect_state(page, "online")
    assert server.last[0]["token"] == "token-2"


def test_it_knows_the_servers_clock(page: Page, start: Callable[..., None]) -> None:
    start()
    page.clock.run_for(60_000)
    now_ms = page.evaluate("client.serverNowMs()")
    assert now_ms == pytest.approx(SERVER_TIME_MS + 60_000, abs=5_000)


def test_closing_ends_it_for_good(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate("([frame, resend]) => ask(frame, resend)", [{"type": "tip"}, True])
    page.evaluate("client.close()")
    expect_answer(page, "CLOSED final")
    page.clock.run_for(3_600_000)
    assert len(server.sockets) == 1


def test_messagepack_is_the_default_and_carries_the_same(page: Page) -> None:
    sample = {"type": "tip", "ref": 2**40, "text": "héllo", "list": [1, None, True, 1.5]}
    same = page.evaluate(
        """async (frame) => {
            const {CODECS} = await import('/web/sdk/codec.js');
            return Object.values(CODECS).map(({subprotocol, encode, decode}) =>
                [subprotocol, decode(encode({...frame, absent: undefined}))]);
        }""",
        sample,
    )
    assert same == [["tiproom.v1.msgpack", sample], ["tiproom.v1.json", sample]]
