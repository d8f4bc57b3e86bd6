"""What only BigQuery's tables have: partitions, clusters, labels, modes, locations; and types that it lacks."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from google.cloud.bigquery import Client

from integration_assets.errors import WarehouseError
from integration_assets.land.bigquery import BigQueryWarehouse
from integration_assets.land.bigquery_types import column, spelled
from integration_assets.land.lake import Lake
from integration_assets_tests.land.helpers import CONTRACT, SCHEMA, day, days, land, row
from integration_assets_tests.land.histories import HISTORY
from integration_assets_tests.land.parity.test_merging import PLAIN


def test_a_table_may_be_partitioned_by_a_column_that_never_changes(
    bigquery_warehouse: BigQueryWarehouse, bigquery_client: Client, gcs_lake: Lake
) -> None:
    """By the day of creation, of which a history's versions, ranges and deletions know nothing."""
    made, table = ("made", pa.date32()), gcs_lake.table("shop", "orders")
    schema = pa.schema([*SCHEMA, made])
    target = replace(HISTORY, contract_schema=pa.schema([*CONTRACT, made]), partition_by="made")
    first, second = [row("a", 1, 1), row("a", 3, 3), row("b", 9, 9)], [row("a", 2, 2), row("b", 10, None, deleted=True)]
    for rows in (first, second):
        land(table, [one | {"made": None if one["_deleted"] else date(2024, 1, 1)} for one in rows], None, schema=schema)
        bigquery_warehouse.merge(target, table, "run")
    name = bigquery_warehouse.table_name(target)
    assert bigquery_client.get_table(name.strip("`")).time_partitioning.field == "made"
    found = bigquery_warehouse.query(f"SELECT id, n, _valid_to FROM {name} ORDER BY id, n").to_pylist()
    assert [tuple(one.values()) for one in found] == [("a", 1, day(2)), ("a", 2, day(3)), ("a", 3, None), ("b", 9, day(10))]


def test_a_key_that_left_the_contract_is_relaxed(bigquery_warehouse: BigQueryWarehouse, gcs_lake: Lake) -> None:
    """A column that was required and is not written any more takes nulls; a later description is taken over."""
    table = gcs_lake.table("shop", "orders")
    schema = pa.schema([*SCHEMA, ("region", pa.string())])
    land(table, [{**row("a", 1, 1), "region": "eu"}], days(0, 2), schema=schema)
    wide = pa.schema([*CONTRACT, ("region", pa.string())])
    bigquery_warehouse.merge(replace(PLAIN, contract_schema=wide, key=("id", "region")), table, "run")
    land(table, [{**row("b", 2, 2), "region": None}], days(2, 3), schema=schema)
    bigquery_warehouse.merge(replace(PLAIN, descriptions={"n": "How many."}), table, "run")
    assert bigquery_warehouse.query(f"SELECT region FROM {bigquery_warehouse.table_name(PLAIN)} ORDER BY id").to_pylist() == [
        {"region": "eu"},
        {"region": None},
    ]


def test_a_table_that_was_dropped_is_built_again(
    bigquery_warehouse: BigQueryWarehouse, bigquery_client: Client, gcs_lake: Lake
) -> None:
    """Not from the last merged version on, but whole."""
    table = gcs_lake.table("shop", "orders")
    land(table, [row("a", 1, 1)], days(0, 2))
    bigquery_warehouse.merge(PLAIN, table, "run")
    bigquery_client.delete_table(bigquery_warehouse.table_name(PLAIN).strip("`"))
    land(table, [row("b", 2, 2)], days(2, 3))
    assert bigquery_warehouse.merge(PLAIN, table, "run").rows_total == 2


def test_another_location_is_refused(bigquery_warehouse: BigQueryWarehouse, bigquery_client: Client) -> None:
    """A warehouse whose datasets are elsewhere says where they are, and what to set."""
    bigquery_warehouse.check()
    elsewhere = BigQueryWarehouse(bigquery_warehouse.names.project, "EU", bigquery_client)
    with pytest.raises(WarehouseError, match=r"is in US.*location is EU.*cannot span"):
        elsewhere.check()


def test_a_lake_outside_the_cloud_is_refused(bigquery_warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    """BigQuery cannot load from this machine's folder, and says what to set instead."""
    table = Lake(str(tmp_path)).table("shop", "orders")
    land(table, [row("a", 1, 1)], days(0, 2))
    with pytest.raises(WarehouseError, match=r"loads from gs://.*INTEGRATION_LAKE_URI"):
        bigquery_warehouse.merge(PLAIN, table, "run")


@pytest.mark.parametrize(
    ("type_", "named"),
    [
        (pa.int32(), "INT64"),
        (pa.float32(), "FLOAT64"),
        (pa.timestamp("us"), "DATETIME"),
        (pa.timestamp("us", "UTC"), "TIMESTAMP"),
        (pa.decimal128(38, 9), "NUMERIC"),
        (pa.decimal128(38, 10), "BIGNUMERIC"),
        (pa.decimal128(20, 18), "BIGNUMERIC"),
        (pa.binary(), "BYTES"),
        (pa.list_(pa.struct([("a", pa.list_(pa.date32()))])), "ARRAY<STRUCT<a ARRAY<DATE>>>"),
    ],
)
def test_types_are_those_that_hold_every_value(type_: pa.DataType, named: str) -> None:
    """Each Arrow type becomes the narrowest BigQuery type that loses nothing."""
    assert spelled(column(pa.field("a", type_))) == named


@pytest.mark.parametrize(
    "type_", [pa.list_(pa.list_(pa.int64())), pa.map_(pa.string(), pa.string()), pa.decimal256(76, 70), pa.uint64()]
)
def test_types_that_bigquery_lacks_are_named(type_: pa.DataType) -> None:
    """The column, its type, and what to do instead."""
    with pytest.raises(WarehouseError, match=r"^a: BigQuery has no column for the type .*JSON text"):
        column(pa.field("a", type_))
