"""What a merge may scan. The emulator bills nothing, so the statements themselves are what can be looked at here."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.cloud.bigquery import Client, QueryJob

from integration_assets.land.bigquery import BigQueryWarehouse
from integration_assets.land.lake import Lake
from integration_assets.land.warehouse import Target
from integration_assets_tests.bigquery.test_jobs import jobs
from integration_assets_tests.land.helpers import days, land, row
from integration_assets_tests.land.parity.test_merging import PLAIN, TARGET

_NAMED_DAYS = "TIMESTAMP_TRUNC(_t.`at`, DAY) IN UNNEST(_days)"


@pytest.mark.parametrize(
    ("target", "statements"), [(TARGET, 2), (replace(PLAIN, disposition="append"), 1), (replace(PLAIN, disposition="replace"), 0)]
)
def test_whatever_reads_the_table_names_its_days(
    bigquery_warehouse: BigQueryWarehouse, bigquery_client: Client, gcs_lake: Lake, target: Target, statements: int
) -> None:
    """Every MERGE, and an append's look for versions that are there, is kept to the days that can matter."""
    land(gcs_lake.table("shop", "orders"), [row("a", 1, 1)], days(0, 2))
    result = bigquery_warehouse.merge(target, gcs_lake.table("shop", "orders"), "run")
    (job,) = jobs(bigquery_client, bigquery_warehouse, QueryJob)
    assert job.query.count(_NAMED_DAYS) == statements
    assert (result.bytes_billed, result.dry_run_bytes) == (0, 0)


def test_a_merge_is_bounded_in_cost(bigquery_warehouse: BigQueryWarehouse, bigquery_client: Client, gcs_lake: Lake) -> None:
    """The stream's bound, else the warehouse's, goes with the job."""
    table = gcs_lake.table("shop", "orders")
    land(table, [row("a", 1, 1)], days(0, 2))
    bigquery_warehouse.merge(replace(PLAIN, maximum_bytes_billed=12_345_678), table, "run")
    (job,) = jobs(bigquery_client, bigquery_warehouse, QueryJob)
    assert job.maximum_bytes_billed == 12_345_678
