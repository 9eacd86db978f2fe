"""The generated documents: up to date, complete, and the pages' copy of the tables is the table."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from protocol.errors import CLOSES, ERRORS, reconnects
from protocol.frames import ClientFrame, ServerFrame
from protocol.mood_messages import MessageType
from server.documents import DOCUMENTS, ROOT, main, outdated, protocol_page, write


def test_checked_in_documents_are_those_that_the_code_makes() -> None:
    assert outdated() == [], "run python -m server.documents"


def test_write_makes_all_then_nothing_then_what_was_changed(tmp_path: Path) -> None:
    assert outdated(tmp_path) == list(DOCUMENTS)
    assert write(tmp_path) == list(DOCUMENTS)
    assert write(tmp_path) == []
    page = tmp_path / "docs" / "protocol.md"
    page.write_text(page.read_text() + "by hand\n")
    assert outdated(tmp_path) == ["docs/protocol.md"]
    assert write(tmp_path) == ["docs/protocol.md"]
    assert page.read_text() == protocol_page()


def test_check_names_what_is_out_of_date_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"]) == 0
    monkeypatch.setitem(DOCUMENTS, "docs/protocol.md", lambda: "newer")
    before = (ROOT / "docs" / "protocol.md").read_text()
    assert main(["--check"]) == 1
    assert "docs/protocol.md is out of date" in capsys.readouterr().err
    assert (ROOT / "docs" / "protocol.md").read_text() == before, "a check writes nothing"


def test_page_has_every_frame_every_code_and_no_dead_link() -> None:
    page = protocol_page()
    for frame in (*get_args(ClientFrame), *get_args(ServerFrame)):
        assert f"### `{frame.__struct_config__.tag}`\n" in page
        for field in frame.__struct_encode_fields__:
            assert f"| `{field}` |" in page
    for code in ERRORS:
        assert f"| `{code}` |" in page
    for close in CLOSES:
        assert f"| {close.value} | `{close.name}` |" in page
    headings = {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= headings


def test_page_speaks_of_the_wire_not_of_python() -> None:
    page = protocol_page()
    assert "None" not in page
    values = {"not_played", *MessageType}
    assert set(re.findall(r"`([a-z]+_[a-z]+)`", page)) == values, "values, not fields"


def test_pages_copy_of_the_tables_in_a_real_javascript_engine() -> None:
    """Node reads the module as a browser does."""
    node = Path(sys.executable).parent / "node"
    codes = [999, 1000, 1006, 3999, 4000, 4499, 4500, 4999, 5000, *CLOSES]
    script = """
        const { ERRORS, CLOSES, reconnects } = await import(process.argv[1]);
        const back = JSON.parse(process.argv[2]).map(reconnects);
        console.log(JSON.stringify({ ERRORS, CLOSES, back }));
    """
    module = (ROOT / "server" / "web" / "sdk" / "codes.js").as_uri()
    ran = subprocess.run(
        [node, "--input-type=module", "--eval", script, module, json.dumps(codes)],
        capture_output=True,
        check=True,
        timeout=30,
    )
    seen = json.loads(ran.stdout)
    assert seen["ERRORS"] == {
        code.value: {"retry": rule.retry, "cause": rule.cause, "text": rule.text}
        for code, rule in ERRORS.items()
    }
    assert seen["CLOSES"] == {
        code.name: {"code": code.value, "cause": rule.cause, "text": rule.text}
        for code, rule in CLOSES.items()
    }
    assert seen["back"] == [reconnects(code) for code in codes]
