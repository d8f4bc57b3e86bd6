"""Checks and metadata: what a run leaves for people to read."""

from __future__ import annotations

import json
from datetime import date

import dagster as dg
import pytest

from integration_assets.errors import RejectThresholdError
from integration_assets.feed import Job
from integration_assets.land.state import EMPTY
from integration_assets.orchestrate.checks import adds_up
from integration_assets.orchestrate.checks.tables import keys_unique
from integration_assets.orchestrate.links import folder_link, table_link
from integration_assets.orchestrate.metadata import markdown_table
from integration_assets.orchestrate.progress import Reporter
from integration_assets.progress import Progress
from integration_assets.spec import Receipt, Slice
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench, value
from integration_assets_tests.orchestrate.shop import Shop, source

DAY1, DAY2 = "2024-03-01", "2024-03-02"


def test_a_good_run_leaves_its_checks_passed(bench: Bench) -> None:
    """Accounting, contract, rejects, drift, volume and keys are each evaluated once a run, over all of its partitions."""
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1, to=DAY2)
    checks = bench.checks(run)
    assert {name for name, check in checks.items() if check.passed} >= {
        "accounting_adds_up",
        "contract_held",
        "reject_ratio",
        "no_drift",
        "volume",
        "keys_unique",
        "equals_lake",
    }
    assert checks["accounting_adds_up"].metadata["fetched"].value == 6
    assert checks["keys_unique"].asset_key == WAREHOUSE
    assert not any(check.blocking for check in checks.values())


def test_rejects_and_drift_are_warnings_with_reasons(bench: Bench, shop: Shop) -> None:
    """A record that the contract turns away and a field it does not know are warnings, and the good rows land."""
    shop.orders[0]["amount"] = -5
    shop.orders[1]["colour"] = "red"
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1)

    assert run.success
    checks = bench.checks(run)
    assert not checks["contract_held"].passed
    assert checks["contract_held"].severity is dg.AssetCheckSeverity.WARN
    assert checks["contract_held"].metadata["rejected"].value == 1
    assert "amount" in str(checks["contract_held"].metadata["reasons"].value)
    assert not checks["reject_ratio"].passed
    assert checks["reject_ratio"].severity is dg.AssetCheckSeverity.WARN
    assert checks["reject_ratio"].metadata["share"].value == pytest.approx(1 / 3)
    assert not checks["no_drift"].passed
    assert "colour" in str(checks["no_drift"].description)
    assert checks["accounting_adds_up"].passed
    (event,) = bench.events(LAKE)
    assert (value(event, "rows accepted"), value(event, "rows rejected")) == (2, 1)
    assert "colour" in value(event, "warnings")


def test_a_single_reject_is_told_of_and_leaves_the_ratio_alone(bench: Bench, shop: Shop) -> None:
    """One reject of many is in quarantine, which the contract's check says; the ratio stays far from the threshold."""
    shop.fill(date(2024, 3, 1), days=1, each=6)
    shop.orders[0]["amount"] = -5
    checks = bench.checks(bench.run(LAKE, partition=DAY1))
    assert (checks["contract_held"].passed, checks["reject_ratio"].passed) == (False, True)


def test_a_refused_slice_fails_the_reject_ratio(bench: Bench, shop: Shop) -> None:
    """When too many records are rejected, the run fails, and the ratio's check says why and what to do where people look."""
    for order in shop.orders[:3]:
        order["amount"] = -5
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1)

    assert not run.success
    assert bench.failure(run).user_failure_data.metadata["error"].value == RejectThresholdError.__name__
    checks = bench.checks(run)
    assert set(checks) == {"contract_held", "reject_ratio"}
    ratio, contract = checks["reject_ratio"], checks["contract_held"]
    assert (ratio.passed, ratio.severity, ratio.metadata["share"].value) == (False, dg.AssetCheckSeverity.ERROR, 1.0)
    assert "mend the contract" in str(ratio.description)
    assert (contract.passed, contract.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert contract.metadata["rejected"].value == 3
    assert bench.events(LAKE) == []


def test_a_receipt_that_does_not_add_up_is_an_error() -> None:
    """One lost record in one of two slices fails the check and names the slice."""
    whole = Receipt("shop", "orders", "run", "committed", ("a", "b"), fetched=3, accepted=3)
    short = Receipt("shop", "orders", "run", "committed", ("b", "c"), fetched=3, accepted=2)
    result = adds_up(LAKE, [whole, short])
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "1 of 2" in str(result.description)
    assert "'c'" in str(result.metadata["slices that do not"].value).replace("&#39;", "'")


def test_doubled_keys_are_found_in_the_table(bench: Bench) -> None:
    """A key that someone put into the warehouse's table twice is found by the next merge's check."""
    import duckdb

    bench.run(LAKE, WAREHOUSE, partition=DAY1)
    with duckdb.connect(str(bench.stores.warehouse_uri)) as con:
        con.execute("INSERT INTO shop.orders SELECT * FROM shop.orders LIMIT 1")
    check = bench.checks(bench.run(WAREHOUSE))["keys_unique"]
    assert not check.passed
    assert check.metadata["doubled keys"].value == 1


def test_streams_without_unique_keys_pass_with_a_note() -> None:
    """An append table has one row a version: the check says that it does not apply."""
    shop = source()
    result = keys_unique(shop, shop.stream("returns"), None)
    assert result.passed
    assert "Not applicable" in str(result.description)


def test_the_catalogue_shows_columns_a_sample_and_the_receipt(bench: Bench) -> None:
    """A materialization carries the column schema of the contract, a few rows as text, links and the whole receipt."""
    bench.run(LAKE, WAREHOUSE, partition=DAY1)
    (lake,), (warehouse,) = bench.events(LAKE), bench.events(WAREHOUSE)

    columns = {column.name: column for column in value(lake, "dagster/column_schema").columns}
    assert list(columns) == ["id", "amount", "note", "updated_at", "_deleted", "_extracted_at", "_run_id"]
    assert (columns["amount"].type, columns["amount"].description) == ("int64", "Cents.")
    assert not columns["id"].constraints.nullable
    assert columns["note"].constraints.nullable
    unique = {column.name: column.constraints.unique for column in value(warehouse, "dagster/column_schema").columns}
    assert {name for name, is_unique in unique.items() if is_unique} == {"id"}
    assert list(unique)[4:] == ["_deleted_at", "_extracted_at", "_run_id"]

    sample = value(lake, "sample").splitlines()
    assert sample[0].startswith("| id | amount | note |")
    assert len(sample) == 2 + 3
    assert "a&#124;b" in sample[2]
    assert value(lake, "docs") == "https://shop.example/docs"
    assert Receipt.from_json(json.dumps(value(lake, "receipt"))).adds_up
    assert value(lake, "lake").endswith("lake/shop/orders")
    assert value(warehouse, "dagster/table_name") == "warehouse.shop.orders"
    assert value(warehouse, "lake version after") == str(value(lake, "lake version"))


def test_columns_are_followed_from_the_field_to_the_table(bench: Bench) -> None:
    """The lake's columns come from the API's fields, the warehouse's from the lake's, along the graph."""
    bench.run(LAKE, WAREHOUSE, partition=DAY1)
    (lake,), (warehouse,) = bench.events(LAKE), bench.events(WAREHOUSE)
    from_api = value(lake, "dagster/column_lineage").deps_by_column
    from_lake = value(warehouse, "dagster/column_lineage").deps_by_column
    assert from_api["amount"] == [dg.TableColumnDep(["api", "shop", "orders"], "amount")]
    assert from_lake["amount"] == [dg.TableColumnDep(LAKE, "amount")]
    assert set(from_lake) == {*from_api, "_extracted_at", "_run_id"}
    graph = bench.definitions.get_repository_def().asset_graph
    assert graph.get(LAKE).parent_keys == {dg.AssetKey(["api", "shop", "orders"])}


def test_what_the_api_cost_is_plotted(bench: Bench) -> None:
    """Requests, retries, waits, latency, the share of rejects and the frontier's lag are numbers, which Dagster plots."""
    bench.run(LAKE, partition=DAY1)
    (event,) = bench.events(LAKE)
    plotted = {name for name, entry in event.metadata.items() if isinstance(entry, dg.IntMetadataValue | dg.FloatMetadataValue)}
    assert plotted >= {
        *(
            "dagster/row_count",
            "records fetched",
            "rows accepted",
            "requests",
            "retries",
            "seconds",
            "seconds throttled",
            "seconds queued",
        ),
        *("latency p50, ms", "latency p95, ms", "share rejected", "frontier lag, hours"),
    }
    assert 0 < value(event, "latency p50, ms") <= value(event, "latency p95, ms")
    assert value(event, "breaker") == "closed"


def test_links_lead_to_the_console() -> None:
    """A bucket and a BigQuery table have an address for people; a folder and a DuckDB table have none."""
    (bucket,) = folder_link("lake", "gs://acme-lake/prod/shop/orders/").values()
    assert bucket.value == "https://console.cloud.google.com/storage/browser/acme-lake/prod/shop/orders"
    (table,) = table_link("table", "bigquery://acme?location=EU", "`acme.shop.orders`").values()
    assert table.value.endswith("bigquery?project=acme&ws=!1m5!1m4!4m3!1sacme!2sshop!3sorders")
    assert folder_link("lake", "/var/lake") == table_link("table", "/var/warehouse.duckdb", '"w"."shop"."orders"') == {}


def test_what_an_api_sent_is_never_markup() -> None:
    """Pipes, links and tags in a value are text in the catalogue, and long values are cut."""
    table = markdown_table([{"name": "<img src=x> [a](b) | c", "text": "x" * 500}])
    assert "<" not in table
    assert "](" not in table
    assert max(len(line) for line in table.splitlines()) < 200
    assert all(line.count("|") == 3 for line in table.splitlines())


def test_progress_says_how_far_and_how_long() -> None:
    """A long pull's line has records, pages, rate, partitions done and what remains; lines come no closer than asked."""
    said: list[str] = []
    report = Reporter(said.append, total=4, every=0)
    progress = Progress("orders", Job(Slice(1, 2), EMPTY, "run"), fetched=2000, pages=2)
    report.done_partition()
    report.watch(progress)
    assert "2,000 records in 2 pages" in said[0]
    assert "1 of 4 partitions done" in said[0]
    assert "to go" in said[0]

    quiet = Reporter(said.append, total=4, every=3600)
    quiet.watch(progress)
    assert len(said) == 1
