"""Partitions of one run of Dagster, pulled several at once: the catalogue has what the lake has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Event
from time import monotonic, sleep

import dagster as dg
import pytest

from integration_assets.spec import Limits
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench, partitions, value
from integration_assets_tests.orchestrate.shop import KEY, Shop, source

ROOT = Path(__file__).parents[2]
DAYS = [f"2024-03-{day:02}" for day in range(1, 11)]
LIMITS = Limits(attempts=1, wait_initial=0, wait_max=0, slices=4)
LONG = 60.0


@pytest.fixture
def four(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The shop's definitions, four partitions of a run at once."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "home")) as instance:
        yield make_bench(source(shop.url, limits=LIMITS), tmp_path, instance)


def _first_four_together(shop: Shop) -> None:
    together = Barrier(4, timeout=LONG)
    shop.on_ask = lambda: together.wait() if len(shop.asked) <= 4 else None


def test_a_bad_day_keeps_no_other_back(four: Bench, shop: Shop) -> None:
    """Ten days, four at once, one of them refused: nine events in the days' order, nine days merged, and a failure."""
    _first_four_together(shop)
    shop.broken["2024-03-02"] = 400
    run = four.run(LAKE, WAREHOUSE, partition=DAYS[0], to=DAYS[-1])
    assert not run.success
    assert partitions(four.events(LAKE)) == [day for day in DAYS if day != "2024-03-02"]
    assert [value(event, "rows accepted") for event in four.events(LAKE)] == [3] * 9
    assert [value(event, "receipt")["requests"] for event in four.events(LAKE)] == [1] * 9
    assert value(four.events(WAREHOUSE)[-1], "dagster/row_count") == 27
    assert four.checks(run)["accounting_adds_up"].metadata["accepted"].value == 27
    assert sorted(shop.asked) == DAYS


def test_what_landed_beside_an_error_is_in_the_catalogue(four: Bench, shop: Shop) -> None:
    """A refused key ends the run; the days that were under way are committed, have their events, and are merged."""
    _first_four_together(shop)
    shop.broken["2024-03-02"] = 403
    run = four.run(LAKE, WAREHOUSE, partition=DAYS[0], to=DAYS[-1])
    assert four.failure(run).user_failure_data.metadata["error"].value == "AccessDeniedError"
    told = partitions(four.events(LAKE))
    assert told == sorted(map(str, told))
    assert {"2024-03-01", "2024-03-03", "2024-03-04"} <= set(told)
    assert four.lake_count(source(shop.url), source().stream("orders")) == 3 * len(told)
    assert value(four.events(WAREHOUSE)[-1], "dagster/row_count") == 3 * len(told)
    assert len(shop.asked) == len(told) + 1 < len(DAYS)


CHILD = """
import sys
from pathlib import Path
import dagster as dg
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE
from integration_assets_tests.orchestrate.shop import source
from integration_assets_tests.orchestrate.test_side_by_side import LIMITS
url, folder = sys.argv[1], Path(sys.argv[2])
with dg.DagsterInstance.local_temp(str(folder / "instance")) as instance:
    make_bench(source(url, limits=LIMITS), folder, instance).run(LAKE, partition="2024-03-01", to="2024-03-10")
"""


def test_a_run_that_is_ended_tells_of_what_it_committed(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended while the first day's answer hangs, a run waits for no page, and the days behind it that landed have events."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    (tmp_path / "instance").mkdir()
    shop.held["2024-03-01"] = Event()
    orders = source(shop.url).stream("orders")
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", CHILD, shop.url, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:
        with dg.DagsterInstance.local_temp(str(tmp_path / "instance")) as instance:
            bench = make_bench(source(shop.url), tmp_path, instance)
            deadline = monotonic() + LONG
            while bench.stores.stores().table(source(shop.url), orders).state().sequence < 9:
                assert monotonic() < deadline
                sleep(0.05)
            child.send_signal(signal.SIGINT)
            child.wait(LONG)
            assert partitions(bench.events(LAKE)) == DAYS[1:]
    finally:
        child.kill()
        child.wait(LONG)
        shop.held["2024-03-01"].set()
