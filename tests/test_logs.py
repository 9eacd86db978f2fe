"""The log's form: one JSON object a line, and nothing in it that nobody put there."""

import json
import subprocess
import sys

PROGRAM = """
import logging
import structlog
from server.observe import logs

def fail(token, address):
    raise ValueError("the row of alex@example.org is no good")

logs.configure("info")
for log in (structlog.get_logger("tiproom.test"), logging.getLogger("a.library")):
    try:
        fail("a-secret-token", "192.0.2.7")
    except ValueError as error:
        log.error("request_failed", exc_info=error)
        error.add_note("alex@example.org")
        log.error("request_failed\\nx@example.org", exc_info=ExceptionGroup("x@", [error]))
structlog.get_logger("tiproom.test").debug("not shown")
"""


def test_a_failure_is_logged_without_the_values_that_it_failed_on() -> None:
    """In a process of its own: the configuration is global."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["request_failed"] * 4
    for line in lines:
        assert line["level"] == "error"
    for line in lines[::2]:
        assert line["exception"][0]["exc_type"] == "ValueError"
        assert line["exception"][0]["frames"][-1]["name"] == "fail"
    for line in lines[1::2]:
        [inner] = line["exception"][0]["exceptions"]
        assert inner[0]["exc_type"] == "ValueError"
    assert "@example.org" not in done.stderr
    assert "a-secret-token" not in done.stderr
    assert "192.0.2.7" not in done.stderr
