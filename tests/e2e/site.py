"""One running demo server as those around it see it: its HTTP, its sockets, its database."""

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import asyncpg
import httpx
import jwt

from tests.e2e.members import MSGPACK, Client, Member, websockets_client
from tests.server_process import ServerProcess, start_demo

SECRET: Final = "the platform's own secret, 32 characters at least"
ROOM: Final = "room-1"
MODEL: Final = "model-1"
FIRST_TOKENS: Final = 5_000
"""Of each demo viewer."""

PROBLEM: Final = "application/problem+json"

LEVELS: Final = {
    "level1": {"min": 1, "max": 99, "time": "0.1", "rLevel": 3, "vLevel": "5"},
    "level2": {"min": 100, "max": "infinity", "time": "0.1", "rLevel": 3, "vLevel": "15"},
}
"""Short, so that the next activation need not wait for this one."""
SPECIAL: Final = {"clear": {"enable": True, "token": 77, "time": 0}}
TOY: Final = {"id": "toy-of-hers", "name": "lush", "type": "lush", "status": "on", "battery": "80"}

_numbers = itertools.count(1)


def new_tip_id() -> str:
    return f"tip-{next(_numbers)}-{time.time_ns()}"


def token(role: str, user_id: str, room: str | None = ROOM, **changes: Any) -> str:
    """Signed as the platform signs; `changes` overrides claims."""
    now_s = int(time.time())
    claims = {
        "sub": user_id,
        "name": user_id,
        "role": role,
        "tier": "FREE",
        "room": room,
        "iat": now_s,
        "exp": now_s + 3600,  # some are made once, for all tests of a run
        "aud": "tiproom",
    }
    return jwt.encode(claims | changes, SECRET, "HS256")


SERVICE: Final = token("service", "back-end", room=None)


class Site:
    """Callers of `request` are named as the demo names them: a viewer, "model" or "admin"."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.http_url, timeout=15)
        self._document: dict[str, Any] = {}

    # ---- HTTP ----------------------------------------------------------------------------

    def demo_token(self, who: str) -> str:
        answer = self.http.post("/demo/tokens", json={"as": who})
        assert answer.status_code == 200
        issued = answer.json()["token"]
        assert isinstance(issued, str)
        return issued

    @property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if not self._document:
            self._document = self.http.get("/openapi.json").json()
        return self._document

    def request(
        self,
        method: str,
        path: str,
        who: str | None = None,
        *,
        bearer: str | None = None,
        ids: Mapping[str, str] = MappingProxyType({}),
        **more: Any,
    ) -> httpx.Response:
        """`path` as the document writes it; `ids` fills it in, the demo's room and model what it
        leaves out. What comes back is what the document promises: a status that it names, and a
        problem for every error."""
        place = {"room_id": ROOM, "model_id": MODEL, "tip_id": "none"}
        place |= {"user_id": "alex", "hold_id": "none", "account_id": "revenue"}
        place |= {"consumer": "none"}
        place |= {"webhook_id": "none", "seq": "1"}
        place |= {"message_id": "none", "template_id": "none"}
        place |= {"row_id": "none", "pattern_id": "none", "record_id": "none", "device_id": "none"}
        place |= {"menu_id": "none", "item_id": "none", "purchase_id": "none", "letter_id": "none"}
        place |= ids
        if who is not None:
            bearer = self.demo_token(who)
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        answer = self.http.request(
            method, path.format(**place), headers=headers | more.pop("headers", {}), **more
        )
        documented = self.document["paths"][path][method.lower()]["responses"]
        assert str(answer.status_code) in documented, (method, path, answer.status_code)
        (media_type,) = documented[str(answer.status_code)]["content"]
        assert answer.headers["content-type"] == media_type
        if answer.status_code >= 400:
            problem_of(answer)
        return answer

    def change_platform(self, **change: Any) -> None:
        answer = self.request("PATCH", "/admin/settings", "admin", json=change)
        assert answer.status_code == 200, answer.text

    def change_model(self, **change: Any) -> None:
        answer = self.request("PATCH", "/models/{model_id}/settings", "model", json=change)
        assert answer.status_code == 200, answer.text

    def broadcast_id(self) -> str:
        answer = self.request("GET", "/admin/rooms/{room_id}", "admin").json()
        found = answer["room"]["broadcastId"]
        assert isinstance(found, str)
        return found

    def post_tip(self, bearer: str, tip_id: str, amount: Any, **more: Any) -> httpx.Response:
        body = {"tipId": tip_id, "amount": amount, "broadcastId": None, **more}
        body["broadcastId"] = body["broadcastId"] or self.broadcast_id()
        return self.request("POST", "/rooms/{room_id}/tips", bearer=bearer, json=body)

    def trace(self, tip_id: str) -> dict[str, Any]:
        """Its whole life so far."""
        answer = self.request("GET", "/admin/tips/{tip_id}", "admin", ids={"tip_id": tip_id})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert isinstance(found, dict)
        return found

    # ---- sockets -------------------------------------------------------------------------

    @property
    def socket_url(self) -> str:
        return f"{self.server.socket_url}/rooms/{ROOM}"

    @contextmanager
    def socket(
        self,
        subprotocol: str = MSGPACK,
        client: Client = websockets_client,
        url: str | None = None,
    ) -> Iterator[Member]:
        """Connected to the port, not to the room."""
        with client(url or self.socket_url, subprotocol) as socket:
            yield Member(socket)

    @contextmanager
    def viewer(self, name: str, subprotocol: str = MSGPACK, toy: bool = False) -> Iterator[Member]:
        """In the room; with a connected toy if wanted."""
        with self.socket(subprotocol) as member:
            member.join(self.demo_token(name))
            if toy:
                assert member.ask("reportToys", toys=[TOY | {"id": f"toy-of-{name}"}])
            yield member

    @contextmanager
    def model(self, page_id: str = "page-1", subprotocol: str = MSGPACK) -> Iterator[Member]:
        """The model's page with her toy; when it goes, nothing plays any more."""
        with self.socket(subprotocol) as member:
            member.join(self.demo_token("model"), integration="EXTENSION", pageId=page_id)
            self.report(member)
            yield member
            member.ask("stopToys")
            member.ask("resumeToys")

    def report(self, model: Member) -> None:
        """What her page says of her toy and her levels, on ready."""
        assert model.ask("reportToys", toys=[TOY])["type"] == "ok"
        settings = {"levels": LEVELS, "special": SPECIAL}
        assert model.ask("reportSettings", settings=settings)["type"] == "ok"

    # ---- database ------------------------------------------------------------------------

    def query(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """Of the server's database."""
        return query(self.server.database_dsn, sql, *args)


def query(dsn: str, sql: str, *args: Any) -> list[asyncpg.Record]:
    """The rows of one statement."""

    async def fetch() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(dsn)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *args)
            return rows
        finally:
            await connection.close()

    return asyncio.run(fetch())


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """The problem that an error is."""
    assert answer.headers["content-type"] == PROBLEM
    body = answer.json()
    assert isinstance(body, dict)
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:tiproom:error:{body['code']}"
    assert body["title"]
    assert body["detail"]
    return body


@contextmanager
def new_data_dir() -> Iterator[Path]:
    """Not pytest's own folder: that one is closed to PostgreSQL's system user."""
    path = Path(tempfile.mkdtemp(prefix="tiproom-e2e-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def running_site(data_dir: Path, own_secret: bool = False, **environment: str) -> Iterator[Site]:
    """A demo server whose tokens `token` can sign, unless it makes a secret of its own; stopped
    as Ctrl-C stops it."""
    if not own_secret:
        environment["TIPROOM_TOKEN_SECRET"] = SECRET
    server = start_demo(data_dir, **environment)
    try:
        site = Site(server)
        with site.http:
            yield site
    finally:
        assert server.stop() == 0, server.last_lines
