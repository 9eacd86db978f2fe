"""Query strings become structs: one spelling a value, one value a name."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta
from quart import Response
from quart_trio import QuartTrio

from protocol.tip_activated import Id
from server.http import problem
from server.http.body import json, query


class Wanted(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    after_id: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    live: bool = False
    name: str = ""


@pytest.fixture
def app() -> QuartTrio:
    app = QuartTrio("tests")
    problem.install(app)

    @app.get("/<room_id>")
    @query(Wanted)
    async def get(wanted: Wanted, room_id: str) -> Response:
        return json([wanted, room_id])

    return app


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {}),
        ("limit=7", {"limit": 7}),
        ("limit=200&afterId=tip-1", {"limit": 200, "afterId": "tip-1"}),
        ("afterId=null", {"afterId": "null"}),
        ("live=true", {"live": True}),
        ("live=false", {}),
        ("name=1e2", {"name": "1e2"}),
    ],
)
async def test_a_query_is_decoded(app: QuartTrio, text: str, wanted: dict[str, Any]) -> None:
    answer = await app.test_client().get(f"/room-1?{text}")
    defaults = {"afterId": None, "limit": 50, "live": False, "name": ""}
    assert await answer.get_json() == [defaults | wanted, "room-1"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        *((f"limit={value}", "limit") for value in ("", "0", "201", "-1", "x", "+7", "07", " 7")),
        *((f"limit={value}", "limit") for value in ("1e2", "7.0", "null", "9" * 5000, "%D9%A3")),
        *((f"live={value}", "live") for value in ("", "1", "True", "TRUE", "yes")),
        ("afterId=", "afterId"),
        ("afterId=a%20b", "afterId"),
        ("afterId=a%00", "afterId"),
        ("limit=7&limit=7", "limit"),
        ("limit=7&limit=8", "limit"),
        ("name=a&name=", "name"),
        ("after_id=a", "after_id"),
        ("noSuchName=1", "noSuchName"),
        ("no%20name=1", None),
    ],
)
async def test_what_is_not_exactly_a_query_is_refused_by_name(
    app: QuartTrio, text: str, field: str | None
) -> None:
    answer = await app.test_client().get(f"/room-1?{text}")
    body = await answer.get_json(force=True)
    assert (answer.status_code, body["code"]) == (422, "INVALID_FIELD")
    assert body.get("field") == field
