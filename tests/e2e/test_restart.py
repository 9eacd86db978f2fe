"""Stopping and starting again: members are told, and what was there is there again."""

import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.members import Closed, Member
from tests.e2e.site import FIRST_TOKENS, SECRET, Site, new_tip_id, query, running_site
from tests.server_process import ServerProcess

STOP_TIMEOUT_S = 5.0

pytestmark = pytest.mark.slow  # each test starts servers of its own


def test_ctrl_c_tells_members_and_a_second_start_finds_everything(data_dir: Path) -> None:
    """With members connected, and with the secret that the demo made for itself."""
    tip_id = new_tip_id()
    with running_site(data_dir, own_secret=True) as site:
        assert (data_dir / "demo-token-secret").stat().st_mode & 0o077 == 0
        with site.model() as model, site.viewer("jo", toy=True) as jo:
            site.change_platform(lovenseMinTipForActivation=12)
            site.change_model(viewerSyncMode="SHARED_MOMENT")
            assert jo.ask("setPreferences", reactToMyTips=True)["type"] == "ok"
            first = jo.tip(tip_id, 15)
            broadcast_id, token = jo.broadcast_id, site.demo_token("jo")
            for member in (model, jo):
                member.run(member.until("command", tipId=tip_id))
            jo.until("activationChanged", tipId=tip_id, state="done")
        with site.viewer("jo") as jo, site.viewer("alex") as alex:
            began_s = time.monotonic()
            assert site.server.stop() == 0
            stopped_s = time.monotonic() - began_s
            assert stopped_s < STOP_TIMEOUT_S
            for each in (jo, alex):
                closed = each.closed()
                assert closed.code == 4000
                assert re.search(r"; in [01]\.\d s\Z", closed.reason), "two are back in a second"
            left_at = {"epoch": jo.snapshot["epoch"], "offset": jo.snapshot["offset"]}
        assert [line for line in site.server.log if line.get("level") == "error"] == []

        began_s = time.monotonic()
        site.server.restart()
        ready_s = time.monotonic() - began_s
        print(f"stopped in {stopped_s:.1f} s, ready again in {ready_s:.1f} s")

        with site.viewer("jo") as jo:
            assert jo.snapshot["self"]["balance"] == FIRST_TOKENS - 15
            assert jo.snapshot["self"]["reactToMyTips"] is True
            assert jo.broadcast_id == broadcast_id
            assert jo.snapshot["room"]["viewerSyncMode"] == "SHARED_MOMENT"
            assert jo.tip(tip_id, 15)["result"] == first["result"]
        with site.socket() as jo:
            snapshot = jo.join(site.demo_token("jo"), resume=left_at)
            assert (snapshot["recovered"], snapshot["missed"]) == (False, [])
            assert snapshot["epoch"] != left_at["epoch"]
        platform = site.request("GET", "/admin/settings", "admin").json()
        assert platform["lovenseMinTipForActivation"] == 12
        # The demo's secret is kept, too: a token of before is still good.
        assert site.request("GET", "/preferences", bearer=token).status_code == 200
        with site.model() as model:
            assert model.so_far("command") == []
        done = {each["consumer"]: each["done"] for each in site.trace(tip_id)["consumers"]}
        assert done == {"room": True, "loyalty": True, "messaging": True}


def test_a_rolling_restart_under_load_loses_nothing_that_was_acknowledged(
    data_dir: Path, empty_database_dsn: str
) -> None:
    """Viewers tip as fast as they are answered; each is told to come back, and does: to the next
    server, which stood by. The log says how far the drain is."""
    acknowledged: list[str] = []
    came_back: list[str] = []
    going, restarted = threading.Event(), threading.Event()

    def tip(viewer: Member) -> None:
        while True:
            tip_id = new_tip_id()
            if viewer.tip(tip_id, 1)["type"] == "ok":
                acknowledged.append(f"tip:{tip_id}")
                if len(acknowledged) == 15:
                    going.set()

    def tip_until_told_to_come_back(site: Site, name: str) -> None:
        with site.viewer(name) as viewer:
            with pytest.raises(Closed) as closed:
                tip(viewer)
            assert closed.value.code == 4000
        assert restarted.wait(30)
        with site.viewer(name):
            came_back.append(name)

    names = ["alex", "jo", "kim"]
    settings = {"DATABASE_URL": empty_database_dsn, "TIPROOM_SOCKETS__DRAIN_BATCH": "1"}
    with running_site(data_dir, **settings) as site:
        following = ServerProcess(data_dir, settings | {"TIPROOM_TOKEN_SECRET": SECRET})
        with ThreadPoolExecutor(len(names) + 1) as pool:
            taking_over = pool.submit(following.start, *site.server.ports)
            following.wait_for_line("stands_by")
            work = [pool.submit(tip_until_told_to_come_back, site, name) for name in names]
            assert going.wait(10)
            assert site.server.stop(signal.SIGTERM) == 0
            taking_over.result(30)
            restarted.set()
            for each in work:
                each.result(30)
        assert following.stop() == 0
        assert [line for line in following.log if line.get("level") == "error"] == []
        assert [line for line in site.server.log if line.get("level") == "error"] == []
        drain = [line for line in site.server.log if line["event"].startswith("drain_")]
        assert [line["event"] for line in drain] == [
            "drain_began",
            *["drain_told"] * len(names),
            "drain_members_gone",
            "drain_work_finished",
            "drain_ended",
        ]
        assert [line["told"] for line in drain if "told" in line] == [1, 2, 3]
        rows = query(empty_database_dsn, "SELECT source_ref FROM transfers")
        assert set(acknowledged) <= {row["source_ref"] for row in rows}
        assert sorted(came_back) == names


def test_an_existing_postgresql_is_used(data_dir: Path, empty_database_dsn: str) -> None:
    """And survives the server; nothing is started in the data folder."""
    tip_id = new_tip_id()
    with running_site(data_dir, DATABASE_URL=empty_database_dsn) as site:
        with site.viewer("alex") as alex:
            first = alex.tip(tip_id, 5)
            assert first["type"] == "ok"
        assert not (data_dir / "postgres").exists()
        site.server.kill()
        site.server.restart()
        again = Site(site.server)
        with again.http, again.viewer("alex") as alex:
            assert alex.tip(tip_id, 5) == first
