"""What the framework refuses of its own accord is a problem of ours, too, and never our fault."""

import pytest
from quart_trio import QuartTrio
from werkzeug import exceptions

from protocol.errors import ERRORS, ErrorCode
from server.http import problem


@pytest.fixture
def app() -> QuartTrio:
    app = QuartTrio("tests")
    problem.install(app)
    return app


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (exceptions.BadRequest(), 422),
        (exceptions.NotFound(), 404),
        (exceptions.RequestTimeout(), 408),
        (exceptions.RequestEntityTooLarge(), 413),
        (exceptions.RequestedRangeNotSatisfiable(), 416),
    ],
)
async def test_an_error_of_the_framework_gets_a_code(
    app: QuartTrio, error: exceptions.HTTPException, status: int
) -> None:
    @app.get("/")
    async def failing() -> None:
        raise error

    answer = await app.test_client().get("/")
    body = await answer.get_json(force=True)
    assert (answer.status_code, body["status"]) == (status, status)
    assert answer.content_type == problem.MEDIA_TYPE
    assert ERRORS[ErrorCode(body["code"])].http_status == status


async def test_a_wrong_method_is_told_the_right_ones(app: QuartTrio) -> None:
    @app.put("/")
    async def put() -> str:
        return ""

    answer = await app.test_client().delete("/")
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"PUT", "OPTIONS"}


async def test_a_range_beyond_the_end_is_told_the_length(app: QuartTrio) -> None:
    @app.get("/")
    async def out_of_range() -> None:
        raise exceptions.RequestedRangeNotSatisfiable(length=12)

    answer = await app.test_client().get("/")
    assert answer.headers["Content-Range"] == "bytes */12"


async def test_what_has_no_code_is_a_failure_of_ours(app: QuartTrio) -> None:
    @app.get("/")
    async def failing() -> None:
        raise exceptions.ImATeapot

    answer = await app.test_client().get("/")
    body = await answer.get_json(force=True)
    assert (answer.status_code, body["code"]) == (500, "INTERNAL")
