"""Checks that are executed on their own, as "Execute" in the catalogue does: they look at what is there and pull nothing."""

from __future__ import annotations

import dagster as dg
import duckdb
import pytest

from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench
from integration_assets_tests.orchestrate.shop import Shop

DAY1, DAY2 = "2024-03-01", "2024-03-02"
OF_LAKE = ("accounting_adds_up", "contract_held", "reject_ratio", "no_drift", "volume")
OF_TABLE = ("keys_unique", "equals_lake")


def execute(bench: Bench, *names: str) -> dict[str, dg.AssetCheckEvaluation]:
    """Run checks and nothing else."""
    keys = {dg.AssetCheckKey(LAKE if name in OF_LAKE else WAREHOUSE, name) for name in names}
    job = bench.definitions.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection=keys)
    run = job.execute_in_process(instance=bench.instance)
    assert not run.get_asset_materialization_events()
    return bench.checks(run)


def test_every_check_of_a_run_can_be_executed_alone(bench: Bench, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the API and its secret each check is evaluated on the last run's receipts and on the table."""
    shop.orders[3]["amount"] = -5
    bench.run(LAKE, WAREHOUSE, partition=DAY1)
    bench.run(LAKE, WAREHOUSE, partition=DAY2)
    asked = len(shop.asked)
    monkeypatch.delenv("SHOP_KEY")

    found = execute(bench, *OF_LAKE, *OF_TABLE)
    assert {name: check.passed for name, check in found.items()} == {
        **dict.fromkeys((*OF_LAKE, *OF_TABLE), True),
        "contract_held": False,
        "reject_ratio": False,
    }
    assert found["accounting_adds_up"].metadata["fetched"].value == 3
    assert len(shop.asked) == asked
    assert set(execute(bench, "volume")) == {"volume"}


def test_before_the_first_pull_there_is_nothing_to_look_at(bench: Bench) -> None:
    """Checks that are executed before anything was pulled warn that there is nothing, instead of failing or passing."""
    found = execute(bench, *OF_LAKE, "equals_lake")
    assert not any(check.passed for check in found.values())
    assert {check.severity for check in found.values()} == {dg.AssetCheckSeverity.WARN}


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DELETE FROM shop.orders WHERE id = '030100'", "the lake has 6 rows"),
        ("UPDATE shop.orders SET updated_at = updated_at + INTERVAL 1 DAY WHERE id = '030200'", "the table 6 rows"),
    ],
)
def test_a_table_that_someone_changed_is_told(bench: Bench, sql: str, said: str) -> None:
    """A row that is missing, or has another version, is an error of the comparison that numbers or hash tell."""
    bench.run(LAKE, WAREHOUSE, partition=DAY1, to=DAY2)
    assert execute(bench, "equals_lake")["equals_lake"].passed
    with duckdb.connect(str(bench.stores.warehouse_uri)) as con:
        con.execute(sql)
    check = execute(bench, "equals_lake")["equals_lake"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert said in str(check.description)


def test_a_run_compares_what_changed_lately_and_execute_all_of_it(bench: Bench) -> None:
    """A row that went missing from an old day is not looked for after every merge; executed alone, the check finds it."""
    bench.run(LAKE, WAREHOUSE, partition=DAY1)
    with duckdb.connect(str(bench.stores.warehouse_uri)) as con:
        con.execute("DELETE FROM shop.orders WHERE id = '030100'")
    run = bench.checks(bench.run(LAKE, WAREHOUSE, partition="2024-03-09"))["equals_lake"]
    assert run.passed
    assert run.metadata["rows compared"].value == 3
    assert not execute(bench, "equals_lake")["equals_lake"].passed


def test_a_lake_that_is_ahead_is_no_difference(bench: Bench) -> None:
    """While days wait to be merged the table equals the lake as it was, and the check says how far that is behind."""
    bench.run(LAKE, WAREHOUSE, partition=DAY1)
    bench.run(LAKE, partition=DAY2)
    check = execute(bench, "equals_lake")["equals_lake"]
    assert check.passed
    assert check.metadata["lake versions ahead"].value == 1


@pytest.mark.parametrize("stream", ["returns", "countries"])
def test_the_other_dispositions_equal_the_lake_too(bench: Bench, stream: str) -> None:
    """An append table has each version, a replaced one the newest snapshot."""
    keys = dg.AssetKey(["shop", stream]), dg.AssetKey(["warehouse", "shop", stream])
    for _ in range(2):
        checks = bench.checks(bench.run(*keys))
        assert checks["equals_lake"].passed, checks["equals_lake"].description
    assert checks["equals_lake"].metadata["rows compared"].value > 0


def test_a_partition_that_is_refused_among_others_is_told(bench: Bench, shop: Shop) -> None:
    """In a range of days one is refused whole: the others land, and the ratio's check is an error that counts the refused."""
    for order in shop.orders[:3]:
        order["amount"] = -5
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1, to="2024-03-03")
    ratio = bench.checks(run)["reject_ratio"]
    assert (ratio.passed, ratio.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert (ratio.metadata["slices refused"].value, ratio.metadata["slices"].value) == (1, 3)
    assert bench.checks(run)["accounting_adds_up"].metadata["accepted"].value == 6
