"""What one merge leaves behind: a table laid out by its contract, jobs that say whose they are, and what they may cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.cloud.bigquery import Client, LoadJob, QueryJob

from integration_assets.land.bigquery import BigQueryWarehouse
from integration_assets.land.bigquery_types import spelled
from integration_assets.land.lake import Lake
from integration_assets.land.warehouse import MergeResult
from integration_assets_tests.bigquery.fixtures import BUCKET
from integration_assets_tests.bigquery.test_jobs import jobs
from integration_assets_tests.gcs.process import GcsEmulator
from integration_assets_tests.land.helpers import days, land, row
from integration_assets_tests.land.parity.test_merging import TARGET

BOUND = 12_345_678


@pytest.fixture(scope="module")
def merged(bigquery_client: Client, gcs_for_bigquery: GcsEmulator) -> tuple[BigQueryWarehouse, MergeResult]:
    """A warehouse after its first merge, which all tests here look at, and the merge's result."""
    warehouse = BigQueryWarehouse("project-traces", "US", bigquery_client, wait_seconds=60)
    table = Lake(f"gs://{BUCKET}/traces", gcs_for_bigquery.storage_options).table("shop", "orders")
    land(table, [row("a", 1, 1)], days(0, 2))
    target = replace(TARGET, contract_hash="AB12", maximum_bytes_billed=BOUND)
    return warehouse, warehouse.merge(target, table, "Run 1/ü")


def test_a_table_is_laid_out_by_its_contract(merged: tuple[BigQueryWarehouse, MergeResult], bigquery_client: Client) -> None:
    """Days of the version, sorted by the key, described, labelled; the key is required."""
    table = bigquery_client.get_table(merged[0].table_name(TARGET).strip("`"))
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("DAY", "at")
    assert table.clustering_fields == ["id"]
    assert table.labels == {"source": "shop", "stream": "orders", "contract": "ab12"}
    described = {field.name: (spelled(field), field.mode, field.description) for field in table.schema}
    assert described["id"] == ("STRING", "REQUIRED", "The order's number.")
    assert described["n"] == ("INT64", "NULLABLE", "")
    assert described["_deleted_at"][2].startswith("When the API said")


def test_every_job_says_whose_it_is(merged: tuple[BigQueryWarehouse, MergeResult], bigquery_client: Client) -> None:
    """Loads and merges are labelled with run, source and stream, spelled as labels can be."""
    for kind in (LoadJob, QueryJob):
        (job,) = jobs(bigquery_client, merged[0], kind)
        assert job.labels == {"run": "run-1--", "source": "shop", "stream": "orders"}


def test_a_merge_is_bounded_in_cost(merged: tuple[BigQueryWarehouse, MergeResult], bigquery_client: Client) -> None:
    """The stream's bound goes with the job, and what the merge billed and could have scanned comes back."""
    (job,) = jobs(bigquery_client, merged[0], QueryJob)
    assert job.maximum_bytes_billed == BOUND
    assert (merged[1].bytes_billed, merged[1].dry_run_bytes) == (0, 0)
