"""A run that is killed: events may be lost, data is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, partitions, value
from integration_assets_tests.orchestrate.shop import KEY, Shop, source

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from pathlib import Path
import dagster as dg
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE
from integration_assets_tests.orchestrate.shop import source
url, folder = sys.argv[1], Path(sys.argv[2])
with dg.DagsterInstance.local_temp(str(folder / "instance")) as instance:
    make_bench(source(url), folder, instance).run(LAKE, WAREHOUSE, partition="2024-03-01", to="2024-03-04")
"""


def test_a_killed_run_keeps_what_it_committed(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the third day is asked for, a run leaves two days with their events; the rest is run and nothing doubled."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    (tmp_path / "instance").mkdir()
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", CHILD, shop.url, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.DEVNULL,
    )

    def kill_on_the_third() -> None:
        if len(shop.asked) == 3:
            os.kill(child.pid, signal.SIGKILL)

    shop.on_ask = kill_on_the_third
    assert child.wait(timeout=120) == -signal.SIGKILL

    shop.on_ask = lambda: None
    with dg.DagsterInstance.local_temp(str(tmp_path / "instance")) as instance:
        bench = make_bench(source(shop.url), tmp_path, instance)
        assert partitions(bench.events(LAKE)) == ["2024-03-01", "2024-03-02"]
        assert bench.events(WAREHOUSE) == []

        assert bench.run(LAKE, WAREHOUSE, partition="2024-03-02", to="2024-03-04").success
        assert value(bench.events(WAREHOUSE)[0], "dagster/row_count") == 12
    assert bench.rows("SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM shop.orders") == [{"rows": 12, "ids": 12}]
