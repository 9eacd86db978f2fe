"""The page's client against a hand-written server side: when it comes back and when it does not,
what it says again after a lost connection, and what it never sends twice."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute

URL = "ws://tiproom.test/rooms/room-1"

CLIENT = """async ({tokenLifeMs, codec}) => {
    const {TiproomClient} = await import('/web/sdk/client.js');
    window.tokens = 0;
    window.client = new TiproomClient({
        url: 'ws://tiproom.test/rooms/room-1', codec, random: () => 0.999,
        integration: 'EXTENSION', pageId: 'page-1',
        fetchCredentials: async () => ({token: `token-${++tokens}`, expiresAtMs: Date.now() + tokenLifeMs}),
    });
    window.events = [];
    for (const type of ['snapshot', 'tipNotice', 'roomChanged', 'presenceChanged', 'selfChanged', 'command'])
        client.addEventListener(type, ({detail}) => events.push(detail));
    client.start();
}"""

ASK = """([frame, resend]) => {
    window.answer = null;
    client.request(frame, {resend}).then((result) => (answer = {result}), ({code, text, retry}) => (answer = {code, retry}));
}"""


class ServerSide:
    """The other end of every socket that the page opens; JSON. `frames`: all that it received,
    of each connection."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[list[dict[str, Any]]] = []
        self.sockets: list[WebSocketRoute] = []
        self.welcome = True
        self.answers = True
        self.snapshot: dict[str, Any] = {"epoch": "e1", "offset": 7, "recovered": False}
        page.route_web_socket(URL, self._on_socket)

    @property
    def last(self) -> list[dict[str, Any]]:
        return self.frames[-1]

    def send(self, frame: dict[str, Any]) -> None:
        """To the newest socket; delivered when this returns."""
        before = self.page.evaluate("events.length")
        self.sockets[-1].send(json.dumps(frame))
        self.page.wait_for_function("(before) => events.length > before", arg=before)

    def close(self, code: int, reason: str = "") -> None:
        self.sockets[-1].close(code=code, reason=reason)
        self.page.wait_for_function("client.status.state !== 'online'")

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
        if frame["type"] == "connect" and self.welcome:
            socket.send(json.dumps({"type": "ok", "ref": frame["ref"], "result": None}))
            now = self.page.evaluate("Date.now()") if "serverTime" not in self.snapshot else 0
            snapshot = {
                "type": "snapshot",
                "serverTime": now,
                "room": {"roomId": "room-1"},
                "self": {"userId": "luna"},
                "viewers": 3,
            }
            socket.send(json.dumps(snapshot | self.snapshot))
        elif frame["type"] != "connect" and self.answers and "ref" in frame:
            socket.send(json.dumps({"type": "ok", "ref": frame["ref"], "result": "done"}))


@pytest.fixture
def page(blank: Page) -> Page:
    """Its clock stands still until a test moves it."""
    blank.clock.install()
    return blank


@pytest.fixture
def server(page: Page) -> ServerSide:
    return ServerSide(page)


@pytest.fixture
def start(page: Page, server: ServerSide) -> Callable[..., None]:
    """Starts the client and waits until it is online."""

    def start(token_life_s: float = 3600) -> None:
        page.evaluate(CLIENT, {"tokenLifeMs": token_life_s * 1000, "codec": "json"})
        page.wait_for_function("client.status.state === 'online'")

    return start


def state(page: Page) -> str:
    return str(page.evaluate("client.status.state"))


def wait_for(page: Page, condition: str) -> None:
    page.wait_for_function(condition)


def test_it_introduces_itself_first_and_keeps_the_rooms_state(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    assert server.frames[0][0] == {
        "type": "connect", "ref": 1, "token": "token-1",
        "integration": "EXTENSION", "pageId": "page-1",
    }  # fmt: skip
    assert page.evaluate("[client.room.roomId, client.self.userId, client.viewers]") == ["room-1", "luna", 3]
    server.send({"type": "presenceChanged", "epoch": "e1", "offset": 8, "viewers": 4})
    assert page.evaluate("client.viewers") == 4


def test_a_request_is_answered_by_its_ref(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    results = page.evaluate("""() => {
        window.order = [];
        for (const name of ['first', 'second'])
            client.request({type: 'tip', name}).then((result) => order.push([name, result]));
    }""")
    assert results is None
    page.wait_for_function("true")
    first, second = (frame["ref"] for frame in server.sent("tip"))
    for ref, result in ((second, "two"), (first, "one")):
        server.sockets[-1].send(json.dumps({"type": "ok", "ref": ref, "result": result}))
    wait_for(page, "order.length === 2")
    assert page.evaluate("order") == [["second", "two"], ["first", "one"]]


def test_a_refusal_carries_the_servers_code(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate(ASK, [{"type": "tip"}, False])
    ref = server.sent("tip")[0]["ref"]
    error = {"type": "error", "ref": ref, "code": "INSUFFICIENT_TOKENS", "text": "No.", "retry": False}
    server.sockets[-1].send(json.dumps(error))
    wait_for(page, "answer !== null")
    assert page.evaluate("answer") == {"code": "INSUFFICIENT_TOKENS", "retry": False}


@pytest.mark.parametrize("code", [1006, 1012, 4000, 4001, 4499])
def test_it_comes_back_after_a_close_that_allows_it(
    page: Page, server: ServerSide, start: Callable[..., None], code: int
) -> None:
    start()
    # A page's side cannot see 1006 on the wire: that is a socket that ends without a close.
    server.close(1011 if code == 1006 else code)
    assert state(page) == "waiting"
    assert page.evaluate("client.status.retryInMs") == pytest.approx(499.5)
    page.clock.run_for(490)
    assert len(server.sockets) == 1
    page.clock.run_for(20)
    wait_for(page, "client.status.state === 'online'")
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
    page.evaluate(ASK, [{"type": "tip"}, True])
    wait_for(page, "answer !== null")
    assert page.evaluate("answer.code") == "CLOSED"


def test_the_words_of_a_refused_connect_are_kept(page: Page, server: ServerSide) -> None:
    server.welcome = False
    page.evaluate(CLIENT, {"tokenLifeMs": 3_600_000, "codec": "json"})
    wait_for(page, "client.status.state === 'connecting'")
    page.wait_for_event("websocket") if not server.sockets else None
    while not server.frames or not server.last:
        page.wait_for_function("true")
    error = {"type": "error", "ref": 1, "code": "SECOND_MODEL_PAGE", "text": "Open with EXTENSION.", "retry": False}
    server.sockets[-1].send(json.dumps(error))
    server.sockets[-1].close(code=4502, reason="the model's page is already open")
    wait_for(page, "client.status.state === 'refused'")
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
        wait_for(page, "client.status.state === 'online'")
        # online, but not for the ten seconds that make a connection a good one
    assert waits == [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]
    page.clock.run_for(10_000)
    server.close(4000)
    assert round(page.evaluate("client.status.retryInMs") / 0.999) == 500


def test_toys_and_settings_are_told_again_after_every_snapshot(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    page.evaluate("client.reportToys([{id: 'old'}]); client.reportToys([{id: 'lush'}]); client.reportSettings(null)")
    server.close(4000)
    page.clock.run_for(1_000)
    wait_for(page, "client.status.state === 'online'")
    assert [frame["toys"] for frame in server.sent("reportToys")] == [[{"id": "lush"}]]
    assert [frame["settings"] for frame in server.sent("reportSettings")] == [None]


def test_only_what_may_be_asked_twice_is_asked_again(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate(ASK, [{"type": "stopToys"}, False])
    page.evaluate("window.stopped = () => answer")
    server.close(4000)
    wait_for(page, "answer !== null")
    assert page.evaluate("answer") == {"code": "DISCONNECTED", "retry": True}
    page.evaluate(ASK, [{"type": "tip", "tipId": "t1"}, True])
    server.answers = True
    page.clock.run_for(1_000)
    wait_for(page, "answer !== null")
    assert page.evaluate("answer") == {"result": "done"}
    assert [frame["tipId"] for frame in server.sent("tip")] == ["t1"]
    assert server.sent("stopToys") == []


def test_a_connection_that_does_not_answer_is_given_up(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate(ASK, [{"type": "tip", "tipId": "t1"}, True])
    page.clock.run_for(9_900)
    assert state(page) == "online"
    page.clock.run_for(200)
    assert state(page) == "waiting"
    server.answers = True
    page.clock.run_for(1_000)
    wait_for(page, "answer !== null")
    assert page.evaluate("answer") == {"result": "done"}


def test_resume_counts_replayed_events_and_not_the_recovered_snapshot(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.send({"type": "tipNotice", "epoch": "e1", "offset": 8})
    server.snapshot = {"epoch": "e1", "offset": 20, "recovered": True}
    for expected in (8, 9):
        server.close(4000)
        page.clock.run_for(3_000)
        wait_for(page, "client.status.state === 'online'")
        assert server.last[0]["resume"] == {"epoch": "e1", "offset": expected}
        server.send({"type": "tipNotice", "epoch": "e1", "offset": expected + 1})


def test_the_token_is_replaced_a_minute_before_its_end_on_the_same_socket(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start(token_life_s=300)
    page.clock.run_for(239_000)
    assert server.sent("refreshToken") == []
    page.clock.run_for(2_000)
    page.wait_for_function("tokens === 2")
    while not server.sent("refreshToken"):
        page.wait_for_function("true")
    assert [frame["token"] for frame in server.sent("refreshToken")] == ["token-2"]
    assert len(server.sockets) == 1


def test_an_expired_token_is_replaced_before_coming_back(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.close(4004)
    page.clock.run_for(1_000)
    wait_for(page, "client.status.state === 'online'")
    assert server.last[0]["token"] == "token-2"


def test_it_knows_the_servers_clock(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    server.snapshot |= {"serverTime": 1_000_000}
    start(token_life_s=10**9)
    assert page.evaluate("Math.abs(client.serverNowMs() - 1_000_000) < 5_000")


def test_closing_ends_it_for_good(
    page: Page, server: ServerSide, start: Callable[..., None]
) -> None:
    start()
    server.answers = False
    page.evaluate(ASK, [{"type": "tip"}, True])
    page.evaluate("client.close()")
    wait_for(page, "answer !== null")
    assert page.evaluate("answer.code") == "CLOSED"
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
