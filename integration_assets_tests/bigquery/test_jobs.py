"""Runs that are killed, repeated or overtaken between the load job and the merge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.cloud.bigquery import Client, LoadJob, QueryJob

from integration_assets.errors import WarehouseError
from integration_assets.land import bigquery
from integration_assets.land.bigquery import BigQueryWarehouse
from integration_assets.land.bigquery_jobs import run_script
from integration_assets.land.lake import Lake, LakeTable
from integration_assets_tests.land.helpers import days, land, row
from integration_assets_tests.land.parity.test_merging import PLAIN


class KilledError(BaseException):
    """What a kill is to the code that runs."""


@pytest.fixture
def table(gcs_lake: Lake) -> LakeTable:
    """A stream's lake table with one version of rows."""
    table = gcs_lake.table("shop", "orders")
    land(table, [row("a", 1, 1), row("b", 1, 1)], days(0, 2))
    return table


def jobs(client: Client, warehouse: BigQueryWarehouse, kind: type[LoadJob | QueryJob]) -> list[Any]:
    """The warehouse's jobs of a kind: loads, or merges."""
    found = client.list_jobs(project=warehouse.names.project, max_results=1000)
    return [job for job in found if isinstance(job, kind) and job.job_id.startswith(("load-", "merge-"))]


def staged(client: Client, warehouse: BigQueryWarehouse) -> list[str]:
    """The staging tables there are."""
    return [found.table_id for found in client.list_tables(warehouse.names.staging)]


@pytest.fixture
def killed_after_load(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The process ends when the load job is done."""
    with monkeypatch.context() as patch:

        def end(*_: object, **__: object) -> None:
            raise KilledError

        patch.setattr(bigquery, "run_script", end)
        yield patch


def test_a_run_killed_after_its_load_job_does_not_load_again(
    bigquery_warehouse: BigQueryWarehouse, bigquery_client: Client, table: LakeTable, killed_after_load: pytest.MonkeyPatch
) -> None:
    """The next run finds the job by its name and the staged rows in their table, merges them, and drops them."""
    with pytest.raises(KilledError):
        bigquery_warehouse.merge(PLAIN, table, "killed")
    assert len(staged(bigquery_client, bigquery_warehouse)) == 1
    killed_after_load.undo()
    result = bigquery_warehouse.merge(PLAIN, table, "next")
    assert (result.rows_read, result.inserted) == (2, 2)
    assert len(jobs(bigquery_client, bigquery_warehouse, LoadJob)) == 1
    assert staged(bigquery_client, bigquery_warehouse) == []


def test_staged_rows_that_are_gone_are_loaded_again(
    bigquery_warehouse: BigQueryWarehouse, bigquery_client: Client, table: LakeTable, killed_after_load: pytest.MonkeyPatch
) -> None:
    """A killed run's load job whose table has expired meanwhile is done again under the next id."""
    with pytest.raises(KilledError):
        bigquery_warehouse.merge(PLAIN, table, "killed")
    (left,) = staged(bigquery_client, bigquery_warehouse)
    bigquery_client.delete_table(f"{bigquery_warehouse.names.staging}.{left}")
    killed_after_load.undo()
    assert bigquery_warehouse.merge(PLAIN, table, "next").inserted == 2
    assert sorted(job.job_id[-2:] for job in jobs(bigquery_client, bigquery_warehouse, LoadJob)) == ["_0", "_1"]


def test_a_run_killed_after_its_merge_is_found_out_from_the_job(
    bigquery_warehouse: BigQueryWarehouse, bigquery_client: Client, table: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction went through although nobody heard of it: the next run does nothing twice."""

    def end(*given: Any, **named: Any) -> None:  # noqa: ANN401
        run_script(*given, **named)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(bigquery, "run_script", end)
        with pytest.raises(KilledError):
            bigquery_warehouse.merge(replace(PLAIN, disposition="append", key=()), table, "killed")
    result = bigquery_warehouse.merge(replace(PLAIN, disposition="append", key=()), table, "next")
    assert (result.rows_read, result.rows_total, result.lake_version_after) == (0, 2, 1)
    assert len(jobs(bigquery_client, bigquery_warehouse, QueryJob)) == 1


def test_a_run_that_looked_too_early_finds_the_merge_of_the_other(
    bigquery_warehouse: BigQueryWarehouse, bigquery_client: Client, table: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overtaken after its own load, a run is refused by the transaction and then finds nothing new."""
    other = BigQueryWarehouse(bigquery_warehouse.names.project, "US", bigquery_client)

    def overtaken(*given: Any, **named: Any) -> Any:  # noqa: ANN401
        monkeypatch.setattr(bigquery, "run_script", run_script)
        land(table, [row("c", 3, 1)], days(3, 4))
        other.merge(replace(PLAIN, disposition="append", key=()), table, "other")
        return run_script(*given, **named)

    monkeypatch.setattr(bigquery, "run_script", overtaken)
    result = bigquery_warehouse.merge(replace(PLAIN, disposition="append", key=()), table, "slow")
    assert (result.rows_read, result.rows_total, result.lake_version_after) == (0, 3, 2)
    ledger = bigquery_warehouse.query(f"SELECT run_id, lake_version, rows_read FROM `{bigquery_warehouse.names.ledger}`")
    assert ledger.to_pylist() == [{"run_id": "other", "lake_version": 2, "rows_read": 3}]


def test_a_failed_merge_is_tried_again_by_the_next_run(bigquery_warehouse: BigQueryWarehouse, gcs_lake: Lake) -> None:
    """An id that failed is spent; the same merge is done under the next one, from the rows that are staged."""
    table = gcs_lake.table("shop", "orders")
    land(table, [{**row("a", 1, 1), "id": None}], days(0, 1))
    for _ in range(2):
        with pytest.raises(WarehouseError, match="NOT NULL"):
            bigquery_warehouse.merge(PLAIN, table, "run")
    land(table, [row("a", 1, 1)], days(1, 2))
    assert bigquery_warehouse.version("shop", "orders") is None
