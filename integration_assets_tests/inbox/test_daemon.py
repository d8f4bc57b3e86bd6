"""The same over Dagster's own daemon, code server and run processes; takes a minute, so only when INTEGRATION_SOAK is set."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from integration_assets.inbox.store import open_inbox
from integration_assets_tests.inbox.sending import ROOT, SECRET, Receiver, event
from integration_assets_tests.orchestrate.shop import KEY, Shop

DEFINITIONS = """
from integration_assets.orchestrate import build
from integration_assets_tests.inbox.upstream import source
defs = build([source()])
"""
EVENTS = 40

pytestmark = pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="a minute long; set INTEGRATION_SOAK")


def test_the_daemon_drains_what_the_receiver_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Webhooks of today and yesterday trickle in; the sensor's runs are launched, and every record is in both tables once."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(ROOT / "dagster.yaml", home)
    (tmp_path / "defs.py").write_text(DEFINITIONS)
    dagster = [str(Path(sys.executable).with_name("dagster"))]
    with Shop().served() as shop:
        environ = {
            "DAGSTER_HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "SHOP_KEY": KEY,
            "SHOP_HOOK": SECRET,
            "SHOP_URL": shop.url,
            "SHOP_SINCE": (datetime.now(UTC) - timedelta(days=3)).date().isoformat(),
            "INTEGRATION_INBOX_URI": str(tmp_path / "inbox.sqlite"),
            "INTEGRATION_LAKE_URI": str(tmp_path / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(tmp_path / "warehouse.duckdb"),
        }
        for name, text in environ.items():
            monkeypatch.setenv(name, text)
        subprocess.run([*dagster, "sensor", "start", "shop_inbox", "-f", "defs.py"], cwd=tmp_path, check=True)  # noqa: S603
        daemon = subprocess.Popen([f"{dagster[0]}-daemon", "run", "-f", "defs.py"], cwd=tmp_path)  # noqa: S603
        try:
            with (
                Receiver(tmp_path, "integration_assets_tests.inbox.upstream:source", {}) as receiver,
                open_inbox(environ["INTEGRATION_INBOX_URI"]) as inbox,
            ):
                for number in range(EVENTS):
                    moment = datetime.now(UTC) - timedelta(days=number % 2)
                    shop.orders.append({"id": f"{number}", "amount": number, "note": "", "updated_at": moment.isoformat()})
                    assert receiver.post(event(f"evt_{number}", "all.updated", at=moment.timestamp()))[0] == 200
                    time.sleep(0.5)
                end = time.monotonic() + 400
                while {count.state for count in inbox.counts()} != {"acknowledged"}:
                    assert time.monotonic() < end, inbox.counts()
                    time.sleep(1)
                assert inbox.troubled(1) == []
        finally:
            daemon.terminate()
            daemon.wait(90)
    with duckdb.connect(environ["INTEGRATION_WAREHOUSE_URI"]) as warehouse:
        for stream in ("orders", "returns"):
            found = warehouse.execute(f"SELECT id, amount FROM shop.{stream}").fetchall()
            assert sorted(found) == sorted((order["id"], order["amount"]) for order in shop.orders)
