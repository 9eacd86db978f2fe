"""GET /events: every event once and in order, also over a restart of the server; for back ends."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from server.http.event_stream import STREAMS_MAX
from tests.e2e.site import SERVICE, Site, new_tip_id, problem_of, running_site, token

pytestmark = pytest.mark.slow  # a real server

TIPPER = token("viewer", "dee")
Message = dict[str, str]


def tip(site: Site) -> str:
    tip_id = new_tip_id()
    answer = site.post_tip(TIPPER, tip_id, 3)
    assert answer.status_code == 200, answer.text
    return tip_id


class Reader:
    """A reader of a stream, as the HTML standard has it; `position` is its last event id."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.position = ""
        self.comments: list[str] = []
        self._lines = response.iter_lines()

    def __iter__(self) -> Iterator[Message]:
        """Every message, until the stream ends."""
        fields: Message = {}
        for line in self._lines:
            name, _, text = line.partition(": ")
            if line == "":
                self.position = fields.get("id", self.position)
                if "data" in fields:
                    yield fields
                fields = {}
            elif line.startswith(":"):
                self.comments.append(text)
            else:
                fields[name] = text

    def begin(self) -> None:
        """Until it knows where it stands."""
        for line in self._lines:
            name, _, text = line.partition(": ")
            if name == "id":
                self.position = text
            elif line == "":
                return

    def take(self, count: int) -> list[Message]:
        messages = iter(self)
        return [next(messages) for _ in range(count)]


@contextmanager
def reading(
    site: Site, after: str | None = None, bearer: str = SERVICE, **more: Any
) -> Iterator[Reader]:
    headers = {"Authorization": f"Bearer {bearer}"}
    if after is not None:
        headers["Last-Event-ID"] = after
    url = f"{site.server.http_url}/events"
    with httpx.stream("GET", url, headers=headers, timeout=20, **more) as response:
        reader = Reader(response)  # named: one that nobody holds closes its connection
        yield reader


def tip_ids(messages: list[Message]) -> list[str]:
    return [json.loads(each["data"])["tipId"] for each in messages]


def refusal(site: Site, bearer: str = SERVICE) -> Any:
    with reading(site, bearer=bearer) as reader:
        reader.response.read()
        return problem_of(reader.response)


# ---- what it carries -------------------------------------------------------------------------


def test_what_is_settled_from_now_on_byte_for_byte(site: Site) -> None:
    tip(site)
    with reading(site) as reader:
        reader.begin()
        headers = reader.response.headers
        assert headers["content-type"] == "text/event-stream"
        assert headers["cache-control"] == "no-store"
        sent = [tip(site) for _ in range(3)]
        messages = reader.take(3)
    assert tip_ids(messages) == sent
    assert {each["event"] for each in messages} == {"TipActivated"}
    rows = site.query(
        "SELECT seq, event::text FROM outbox WHERE tip_id = ANY ($1) ORDER BY seq", sent
    )
    assert [(each["id"], each["data"]) for each in messages] == [
        (str(row["seq"]), row["event"]) for row in rows
    ]


def test_it_resumes_exactly_behind_the_last_id(site: Site) -> None:
    with reading(site) as reader:
        reader.begin()
        sent = [tip(site) for _ in range(5)]
        first = reader.take(2)
    with reading(site, after=first[-1]["id"]) as reader:
        assert tip_ids(first + reader.take(3)) == sent
    with reading(site, after=first[-1]["id"]) as reader:
        assert tip_ids(reader.take(3)) == sent[2:]


def test_a_reader_that_got_nothing_yet_has_a_position_too(site: Site) -> None:
    with reading(site) as reader:
        reader.begin()
    missed = tip(site)
    with reading(site, after=reader.position) as reader:
        assert tip_ids(reader.take(1)) == [missed]


def test_from_the_first_event_on(site: Site) -> None:
    newest = tip(site)
    [row] = site.query("SELECT count(*) AS events, min(seq)::text AS first FROM outbox")
    with reading(site, after="0") as reader:
        messages = reader.take(row["events"])
    assert (messages[0]["id"], tip_ids(messages)[-1]) == (row["first"], newest)
    with reading(site, params={"after": "0"}) as reader:
        assert reader.take(1) == messages[:1]


def test_the_header_comes_before_the_address(site: Site) -> None:
    tip(site)
    with reading(site) as reader:
        reader.begin()
    sent = tip(site)
    with reading(site, reader.position, params={"after": "0"}) as again:
        assert tip_ids(again.take(1)) == [sent]


# ---- ends and refusals -----------------------------------------------------------------------


def test_over_a_restart_there_is_no_gap_and_no_repeat(data_dir: Path) -> None:
    with running_site(data_dir) as site:
        with reading(site) as reader:
            reader.begin()
            sent = [tip(site) for _ in range(3)]
            got = reader.take(3)
            begun_s = time.monotonic()
            assert site.server.stop() == 0
            assert time.monotonic() - begun_s < 6
            assert list(reader) == []
            assert reader.comments[-1] == "the server is going away"
        site.server.restart()
        sent += [tip(site) for _ in range(3)]
        with reading(site, after=reader.position) as resumed:
            got += resumed.take(3)
            site.server.kill()
            with pytest.raises(httpx.TransportError):
                list(resumed)
        site.server.restart()
        sent += [tip(site) for _ in range(3)]
        with reading(site, after=resumed.position) as resumed:
            got += resumed.take(3)
    assert tip_ids(got) == sent


def test_it_ends_with_the_token(site: Site) -> None:
    short = token("service", "back-end", room=None, exp=int(time.time()) - 3)
    with reading(site, bearer=short) as reader:  # within the clocks' leeway of 5 s
        assert list(reader) == []
        assert reader.comments[-1] == "the token has expired"


def test_a_reader_that_stands_still_does_not_keep_the_server_from_ending(
    data_dir: Path, database_dsn: str
) -> None:
    with running_site(data_dir, DATABASE_URL=database_dsn) as site:
        place = urlsplit(site.server.http_url)
        assert place.hostname is not None
        with socket.socket() as still:
            still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            still.connect((place.hostname, place.port))
            request = f"GET /events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE}"
            still.sendall(f"{request}\r\n\r\n".encode())
            site.query(
                """INSERT INTO outbox (tip_id, room_id, event)
                SELECT 'big-' || n, 'no-room', to_json(repeat('x', 100000))
                FROM generate_series(1, 200) n"""
            )
            resumed = tip(site)  # it makes the stream look; more is waiting now than sockets hold
            with reading(site, params={"after": "0"}) as reader:
                assert tip_ids(reader.take(201)[-1:]) == [resumed]
            assert still.recv(1) == b"H"
            begun_s = time.monotonic()
            assert site.server.stop() == 0
            assert time.monotonic() - begun_s < 12


@pytest.mark.parametrize(
    "last_event_id", ["", "x", "-1", "01", "1.0", "1e3", "9" * 30, str(2**63), str(2**62), "٣"]
)
def test_an_id_that_is_none_of_ours(site: Site, last_event_id: str) -> None:
    headers = {
        b"Authorization": f"Bearer {SERVICE}".encode(),
        b"Last-Event-ID": last_event_id.encode(),
    }
    problem = problem_of(site.http.get("/events", headers=headers))
    assert (problem["code"], problem["field"]) == ("INVALID_FIELD", "Last-Event-ID")


@pytest.mark.parametrize("after", ["-1", "x", "", str(2**62)])
def test_a_position_that_there_is_not(site: Site, after: str) -> None:
    headers = {"Authorization": f"Bearer {SERVICE}"}
    answer = site.request("GET", "/events", params={"after": after}, headers=headers)
    assert (problem_of(answer)["code"], problem_of(answer)["field"]) == ("INVALID_FIELD", "after")


@pytest.mark.parametrize("role", ["viewer", "model", "moderator", "admin"])
def test_for_back_ends_alone(site: Site, role: str) -> None:
    assert refusal(site, bearer=token(role, "jo"))["code"] == "FORBIDDEN"


def test_only_so_many_at_once_and_a_place_is_free_again(data_dir: Path, database_dsn: str) -> None:
    with running_site(data_dir, DATABASE_URL=database_dsn) as site:
        with ExitStack() as streams:
            readers = [streams.enter_context(reading(site)) for _ in range(STREAMS_MAX)]
            for reader in readers:
                reader.begin()
            assert refusal(site)["code"] == "TOO_MANY_STREAMS"
        sent = tip(site)  # by its answer the server has heard that the readers have gone
        with reading(site, after="0") as reader:
            assert tip_ids(reader.take(1)) == [sent]
