"""Dagster replays what is open, leaves its receipt, and merges; with real definitions and a real instance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandera.pandas as pandera
import pytest

from integration_assets.spec.contract import Int64, String, Timestamp, column
from integration_assets.spec.source import Source
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench, value
from integration_assets_tests.orchestrate.shop import KEY, Shop, source

DAY1 = "2024-03-01"


class Mended(pandera.DataFrameModel):
    """An order whose amount may be below zero, for what was sent back."""

    id: String = column(nullable=False)
    amount: Int64 = column(nullable=False, ge=-100)
    note: String = column()
    updated_at: Timestamp = column(nullable=False)


@pytest.fixture
def shop() -> Iterator[Shop]:
    """An API with orders of one day, two of which are wrong."""
    api = Shop()
    api.orders = [
        {"id": str(number), "amount": amount, "note": "", "updated_at": f"{DAY1}T0{number}:00:00+00:00"}
        for number, amount in enumerate((1, -2, 3, -400))
    ]
    with api.served():
        yield api


def mended(before: Source) -> Source:
    """The same source after someone mended the contract of its orders."""
    orders = before.stream("orders").changed(contract=f"{__name__}:Mended")
    return before.changed(streams=(orders, *(stream for stream in before.streams if stream.name != "orders")))


def test_the_job_replays_and_merges(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One event on the lake's asset with the receipt, the row in the warehouse; what is still wrong is told and stays open."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "home")) as instance:
        before = source(shop.url)
        assert make_bench(before, tmp_path, instance).run(LAKE, WAREHOUSE, partition=DAY1).success
        bench = make_bench(mended(before), tmp_path, instance)
        asked = len(shop.asked)
        run = _replay(bench)
        assert run.success
        assert len(shop.asked) == asked
        (event,) = bench.events(LAKE, run)
        assert event.partition is None
        assert (value(event, "outcome"), value(event, "rows accepted"), value(event, "rows rejected")) == ("replayed", 1, 1)
        assert value(event, "open in quarantine") == 1
        assert len(bench.events(WAREHOUSE, run)) == 1
        assert [row["amount"] for row in bench.rows("select amount from shop.orders order by id")] == [1, -2, 3]

        only = {"only": {"reason": "no such reason"}}
        again = _replay(bench, only)
        assert (again.success, bench.events(LAKE, again), bench.events(WAREHOUSE, again)) == (True, [], [])
        refused = _replay(bench, {"only": {"since": "soon"}})
        assert "'soon' is no moment" in str(bench.failure(refused).user_failure_data.description)


def _replay(bench: Bench, given: dict[str, object] | None = None) -> dg.ExecuteInProcessResult:
    """The replay job over orders alone."""
    job = bench.definitions.resolve_job_def("shop_replay")
    config = {"ops": {"shop__orders": {"config": given}}} if given else None
    return job.execute_in_process(
        instance=bench.instance, run_config=config, asset_selection=[LAKE, WAREHOUSE], raise_on_error=False
    )
