"""What only the DuckDB warehouse has: its file, ledger and names; merges in any order. The rest is in parity/."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration_assets.errors import WarehouseError
from integration_assets.land.duckdb import DuckDBWarehouse
from integration_assets.land.lake import Lake, LakeTable
from integration_assets.land.warehouse import Target
from integration_assets_tests.land.helpers import CONTRACT, SCHEMA, TECHNICAL, day, days, land, row

TARGET = Target("shop", "orders", CONTRACT, {"id": "The order's number."}, ("id",), "at", "merge", tombstones=True)


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """A stream's lake table."""
    return Lake(str(tmp_path / "lake")).table("shop", "orders")


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    """A warehouse that is not there yet."""
    return DuckDBWarehouse(str(tmp_path / "w" / "warehouse.duckdb"), wait_seconds=60)


def state(warehouse: DuckDBWarehouse, columns: str = 'n, "at", _deleted_at') -> dict[str, tuple[Any, ...]]:
    """The table's rows by id."""
    found = warehouse.query(f"SELECT id, {columns} FROM shop.orders ORDER BY id").to_pylist()
    return {one.pop("id"): tuple(one.values()) for one in found}


def test_a_merge_repeated_finds_nothing_new(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """A run killed between the lake's commit and the merge is mended by the next merge, and a third one does nothing."""
    land(table, [row("a", 1, 1)], days(0, 2))
    assert warehouse.version("shop", "orders") is None
    land(table, [row("a", 2, 2)], days(2, 3))
    warehouse.merge(TARGET, table, "later")
    again = warehouse.merge(TARGET, table, "again")
    assert (again.rows_read, again.inserted, again.updated, again.lake_version_after) == (0, 0, 0, 2)
    assert again.rows_total == 1
    assert warehouse.version("shop", "orders") == 2
    ledger = warehouse.query("SELECT lake_version, run_id, rows_read, inserted FROM integration_assets.ledger").to_pylist()
    assert ledger == [{"lake_version": 2, "run_id": "later", "rows_read": 2, "inserted": 1}]


def test_a_frontier_without_rows_is_recorded(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """An empty slice makes the table and moves the recorded version, so nobody looks behind."""
    land(table, [], days(0, 1))
    result = warehouse.merge(TARGET, table, "run")
    assert (result.lake_version_after, result.rows_total) == (1, 0)
    assert warehouse.version("shop", "orders") == 1
    assert warehouse.query("SELECT * FROM shop.orders").column_names == [
        "id",
        "n",
        "at",
        "_deleted_at",
        "_extracted_at",
        "_run_id",
    ]


def test_a_record_that_came_and_went_in_one_merge_keeps_its_values(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """One merge over many commits ends as many merges would."""
    land(table, [row("a", 2, None, deleted=True), row("a", 1, 7)], days(0, 3))
    warehouse.merge(TARGET, table, "run")
    assert state(warehouse) == {"a": (7, day(2), day(2))}


def test_without_a_version_the_later_extraction_counts(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """A stream without a version column is ordered by when it was pulled, then by arrival."""
    target = replace(TARGET, version=None, tombstones=False)
    land(table, [row("a", 1, 1, extracted=2), row("a", 1, 2, extracted=2)], None)
    warehouse.merge(target, table, "run")
    land(table, [row("a", 1, 3, extracted=1)], None)
    warehouse.merge(target, table, "run")
    assert state(warehouse, "n") == {"a": (2,)}


@pytest.mark.parametrize("split", [False, True])
def test_append_with_a_key_keeps_each_version_once(table: LakeTable, warehouse: DuckDBWarehouse, *, split: bool) -> None:
    """An event log has every version once, however often it was landed."""
    target = replace(TARGET, disposition="append", tombstones=False)
    for again in range(2):
        land(table, [row("a", 1, 1), row("a", 2, 2), row("a", 1, 1), row("b", 1, 3)], days(0, 3))
        if split or again:
            warehouse.merge(target, table, "run")
    found = warehouse.query("SELECT id, n FROM shop.orders ORDER BY id, n").to_pylist()
    assert found == [{"id": "a", "n": 1}, {"id": "a", "n": 2}, {"id": "b", "n": 3}]


def test_the_table_grows_with_the_contract(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """A new column is added with its comment and shown in the live view; one gone from the contract stays and is null."""
    land(table, [row("a", 1, 1)], days(0, 2))
    warehouse.merge(TARGET, table, "run")
    part = pa.struct([("code", pa.string()), ("sizes", pa.list_(pa.int64()))])
    schema = pa.schema([*SCHEMA, ("part", part)])
    land(table, [{**row("b", 2, 2), "part": {"code": "x", "sizes": [1, 2]}}], days(2, 3), schema=schema)
    contract = pa.schema([field for field in [*CONTRACT, schema.field("part")] if field.name != "n"])
    grown = replace(TARGET, contract_schema=contract, descriptions={"part": "It's a part."})
    warehouse.merge(grown, table, "run")
    assert warehouse.query("SELECT id, n, part FROM shop.orders_live ORDER BY id").to_pylist() == [
        {"id": "a", "n": 1, "part": None},
        {"id": "b", "n": None, "part": {"code": "x", "sizes": [1, 2]}},
    ]
    comments = warehouse.query("SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'orders'").to_pylist()
    told = {one["column_name"]: one["comment"] for one in comments}
    assert (told["id"], told["part"]) == ("The order's number.", "It's a part.")


def test_a_changed_type_is_refused(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """A narrowed column names itself, both types and the remedy; the table and the ledger stay as they were."""
    land(table, [row("a", 1, 1)], days(0, 2))
    warehouse.merge(TARGET, table, "run")
    land(table, [row("b", 1, 1)], days(2, 3))
    narrow = CONTRACT.set(1, pa.field("n", pa.int32()))
    with pytest.raises(WarehouseError, match=r"shop.orders \(n\): the column is BIGINT.*INTEGER in the contract.*ALTER TABLE"):
        warehouse.merge(replace(TARGET, contract_schema=narrow), table, "run")
    assert warehouse.version("shop", "orders") == 1
    assert set(state(warehouse)) == {"a"}


def test_a_failed_merge_changes_nothing(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """A row that the table refuses rolls everything back, table and ledger alike."""
    land(table, [row("a", 1, 1), {**row("b", 1, 1), "id": None}], days(0, 2))
    with pytest.raises(WarehouseError, match="NOT NULL"):
        warehouse.merge(TARGET, table, "run")
    assert warehouse.version("shop", "orders") is None
    assert warehouse.query("SELECT 1 FROM duckdb_tables()").num_rows == 0


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """Something else where the warehouse should be, or no folder to make it in, says so and names the setting."""
    (tmp_path / "text").write_text("not a database, but long enough to be looked at" * 100)
    for path in (tmp_path / "text", tmp_path / "text" / "warehouse.duckdb"):
        with pytest.raises(WarehouseError, match="INTEGRATION_WAREHOUSE_URI"):
            DuckDBWarehouse(str(path)).check()
    with pytest.raises(WarehouseError, match="Sync a stream first"):
        DuckDBWarehouse(str(tmp_path / "none.duckdb")).query("SELECT 1")


def test_queries_take_parameters_and_errors_are_ours(warehouse: DuckDBWarehouse) -> None:
    """Values are parameters, timestamps come in UTC, and a wrong query is a WarehouseError."""
    warehouse.check()
    found = warehouse.query("SELECT ? AS a, TIMESTAMPTZ '2024-01-01 00:00:00+01' AS b", [1])
    assert found["a"].to_pylist() == [1]
    assert str(found.schema.field("b").type) == "timestamp[us, tz=UTC]"
    with pytest.raises(WarehouseError, match="nowhere"):
        warehouse.query("SELECT * FROM nowhere")


def test_odd_names_are_quoted(tmp_path: Path, warehouse: DuckDBWarehouse) -> None:
    """A stream and columns named like SQL words work."""
    table = Lake(str(tmp_path / "lake")).table("select", "group")
    contract = pa.schema([("order", pa.string()), ("table", pa.timestamp("us", "UTC"))])
    one = {"order": "a", "table": day(1), "_deleted": False, "_extracted_at": day(1), "_run_id": "r"}
    land(table, [one], days(0, 2), schema=pa.schema([*contract, *TECHNICAL]))
    target = Target("select", "group", contract, {}, ("order",), "table", "merge", tombstones=True)
    assert warehouse.merge(target, table, "run").table == '"warehouse"."select"."group"'
    assert warehouse.query('SELECT "order" FROM "select"."group_live"').num_rows == 1


Version = tuple[str, int, int, bool, int]


def truth(versions: Sequence[Version]) -> dict[str, tuple[datetime, datetime | None, int | None]]:
    """Newest per key in plain Python: version, deletion, and the value where the record is live."""
    best: dict[str, tuple[int, int, int]] = {}
    chosen: dict[str, Version] = {}
    for arrival, one in enumerate(versions):
        rank = (one[1], one[2], arrival)
        if one[0] not in best or rank > best[one[0]]:
            best[one[0]], chosen[one[0]] = rank, one
    return {k: (day(v[1]), day(v[1]) if v[3] else None, None if v[3] else v[4]) for k, v in chosen.items()}


def content(key: str, version: int, extracted: int) -> Version:
    """One record version as one pull saw it: the same version in the same pull has the same content."""
    return key, version, extracted, (version + extracted) % 4 == 0, version * 10 + extracted


one_version = st.builds(content, st.sampled_from("abc"), st.integers(0, 4), st.integers(100, 102))
commits = st.lists(st.tuples(st.lists(one_version, max_size=6), st.sampled_from(["", "merge", "compact"])), max_size=5)


@settings(
    max_examples=200 if os.environ.get("INTEGRATION_SOAK") else 10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(commits)
def test_any_split_and_order_gives_the_newest_version_per_key(
    tmp_path_factory: pytest.TempPathFactory, landed: list[tuple[list[Version], str]]
) -> None:
    """Versions, ties and tombstones in any order over any commits and merges end as the plain definition says."""
    folder = tmp_path_factory.mktemp("property")
    table = Lake(str(folder / "lake")).table("shop", "orders")
    warehouse = DuckDBWarehouse(str(folder / "warehouse.duckdb"))
    for versions, then in landed:
        land(table, [row(k, v, None if gone else n, deleted=gone, extracted=e) for k, v, e, gone, n in versions], None)
        if then == "compact":
            table.compact()
        if then == "merge":
            warehouse.merge(TARGET, table, "run")
    warehouse.merge(TARGET, table, "run")
    if not landed:
        return
    found = state(warehouse, '"at", _deleted_at, CASE WHEN _deleted_at IS NULL THEN n END AS n')
    assert found == truth([one for versions, _ in landed for one in versions])


def test_the_file_is_free_between_operations(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """After a merge any program can open the warehouse."""
    land(table, [row("a", 1, 1)], days(0, 2))
    warehouse.merge(TARGET, table, "run")
    with duckdb.connect(str(warehouse.path), config={"threads": 1}) as other:
        assert other.execute("SELECT count(*) FROM shop.orders").fetchone() == (1,)


@pytest.mark.parametrize("stream", ["csv", "json", "parquet"])
def test_a_stream_may_be_called_as_files_are(tmp_path: Path, warehouse: DuckDBWarehouse, stream: str) -> None:
    """DuckDB takes a name such as `shop.csv` for a file where there is no table of that name yet."""
    table = Lake(str(tmp_path / "lake")).table("shop", stream)
    land(table, [row("a", 1)], days(0, 2))
    target = replace(TARGET, stream=stream)
    assert warehouse.doubled_keys(target) == 0
    assert warehouse.merge(target, table, "run").rows_total == 1
    assert warehouse.merge(target, table, "again").rows_total == 1
    assert warehouse.query(f'SELECT id FROM shop."{stream}_live"').num_rows == 1


KEYLESS = replace(TARGET, key=(), disposition="append", tombstones=False)


def test_append_without_a_key_is_not_doubled_by_a_lake_made_anew(tmp_path: Path, warehouse: DuckDBWarehouse) -> None:
    """A lake that was moved away and pulled again gives the same rows: they take the place of the first ones."""
    for name in ("one", "two", "three"):
        table = Lake(str(tmp_path / name)).table("shop", "orders")
        table.prepare(SCHEMA)
        # Before its first commit, a new lake says nothing about the rows that are there.
        warehouse.merge(KEYLESS, table, "run")
        if name != "three":
            land(table, [row("a", 1), row("a", 1)], days(0, 2))
        else:
            land(table, [], days(0, 1))
            warehouse.merge(KEYLESS, table, "run")
            land(table, [row("a", 1), row("a", 1)], days(1, 2))
        assert warehouse.merge(KEYLESS, table, "run").rows_total == 2
    assert warehouse.query("SELECT id FROM shop.orders").num_rows == 2


@pytest.mark.parametrize("target", [TARGET, KEYLESS], ids=["merge", "keyless"])
def test_a_lake_that_was_put_back_from_a_backup_is_merged_whole(
    table: LakeTable, warehouse: DuckDBWarehouse, tmp_path: Path, target: Target
) -> None:
    """It goes on otherwise, and comes to the version that the warehouse had: that is not the one that was merged."""
    land(table, [row("a", 1, 1)], days(0, 2))
    copytree(table.uri, tmp_path / "backup")
    land(table, [row("b", 2, 1)], days(2, 3))
    warehouse.merge(target, table, "before")
    rmtree(table.uri)
    copytree(tmp_path / "backup", table.uri)
    land(table, [row("b", 2.5, 2)], days(2, 3))
    warehouse.merge(target, table, "after")
    assert warehouse.version("shop", "orders") == table.version()
    assert [row[0] for row in state(warehouse, "n").values()] == [1, 2]


def test_append_without_a_key_replaces_a_table_that_no_ledger_knows(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """When the ledger was lost, the table is made again from the lake instead of doubled."""
    land(table, [row("a", 1), row("b", 1)], days(0, 2))
    warehouse.merge(KEYLESS, table, "run")
    with duckdb.connect(str(warehouse.path)) as other:
        other.execute("DROP TABLE integration_assets.ledger")
    assert warehouse.merge(KEYLESS, table, "run").rows_total == 2


@pytest.mark.parametrize("disposition", ["merge", "append", "replace"])
def test_what_is_deleted_from_the_lake_goes_from_the_warehouse(
    table: LakeTable, warehouse: DuckDBWarehouse, disposition: str
) -> None:
    """A right to be forgotten reaches the table with the next merge, whatever came with it, up to the last row."""
    target = replace(TARGET, disposition=disposition, tombstones=False)
    land(table, [row("a", 1, 1), row("b", 1, 2), row("c", 1, 3)], None)
    warehouse.merge(target, table, "run")
    table.delete("id = 'a'")
    table.compact()
    table.vacuum(hours=0)
    assert warehouse.merge(target, table, "run").deleted == 3
    assert state(warehouse, "n") == {"b": (2,), "c": (3,)}
    table.delete("id = 'b'")
    land(table, [row("c", 2, 4, extracted=101)], None)
    warehouse.merge(target, table, "run")
    assert set(state(warehouse, "n")) == {"c"}
    table.delete("true")
    assert warehouse.merge(target, table, "run").rows_total == 0


def test_a_newer_version_that_is_deleted_gives_way_to_the_older(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """When only a record's newest version is forgotten, its values go from the table too."""
    land(table, [row("a", 1, 1)], days(0, 2))
    land(table, [row("a", 2, 2)], days(2, 3))
    warehouse.merge(TARGET, table, "run")
    table.delete("n = 2")
    warehouse.merge(TARGET, table, "run")
    assert state(warehouse, "n") == {"a": (1,)}


def test_rows_of_an_earlier_lake_stay_when_versions_are_only_unreadable(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """A rebuild after a vacuum takes nothing away: only a deletion in the lake does."""
    land(table, [row("a", 1, 1)], days(0, 2))
    warehouse.merge(TARGET, table, "run")
    with duckdb.connect(str(warehouse.path)) as other:
        other.execute("INSERT INTO shop.orders (id, n) VALUES ('older', 9)")
    land(table, [row("b", 2, 2)], days(2, 3))
    table.compact()
    table.vacuum(hours=0)
    assert warehouse.merge(TARGET, table, "run").deleted == 0
    assert state(warehouse, "n") == {"a": (1,), "b": (2,), "older": (9,)}


@pytest.mark.parametrize("compacted", [False, True])
def test_an_older_snapshot_does_not_come_back(table: LakeTable, warehouse: DuckDBWarehouse, *, compacted: bool) -> None:
    """When every row of the newest full snapshot was deleted, the table is empty and not as it was before."""
    target = replace(TARGET, version=None, disposition="replace", tombstones=False)
    land(table, [row("a", 1, 1, extracted=1)], None, started=day(1))
    land(table, [row("b", 1, 2, extracted=2), row("c", 1, 2, extracted=2)], None, started=day(2))
    if compacted:
        table.compact()
    warehouse.merge(target, table, "run")
    assert state(warehouse, "n") == {"b": (2,), "c": (2,)}
    table.delete("id = 'b'")
    warehouse.merge(target, table, "run")
    assert state(warehouse, "n") == {"c": (2,)}
    table.delete("id = 'c'")
    warehouse.merge(target, table, "run")
    assert state(warehouse, "n") == {}


@pytest.mark.parametrize(("file", "source"), [("shop", "shop"), ("w", "temp"), ("w", "system"), ("w", "main"), ("temp", "temp")])
def test_a_source_may_have_any_name(tmp_path: Path, file: str, source: str) -> None:
    """A source named as the warehouse's file, or as one of DuckDB's own catalogs, is merged, grown and shown."""
    warehouse = DuckDBWarehouse(str(tmp_path / f"{file}.duckdb"))
    table = Lake(str(tmp_path / "lake")).table(source, "staged")
    target = replace(TARGET, source=source, stream="staged")
    land(table, [row("a", 1, 1)], days(0, 2))
    warehouse.merge(target, table, "run")
    grown = pa.schema([*SCHEMA, ("note", pa.string())])
    land(table, [{**row("b", 2, 2), "note": "x"}, {**row("a", 2, None, deleted=True), "note": None}], days(2, 3), schema=grown)
    target = replace(target, contract_schema=pa.schema([*CONTRACT, ("note", pa.string())]))
    assert warehouse.merge(target, table, "run").rows_total == 2
    assert warehouse.doubled_keys(target) == 0
    assert warehouse.version(source, "staged") == table.version()
    name = warehouse.table_name(target)
    assert warehouse.query(f"SELECT id FROM {name} ORDER BY id")["id"].to_pylist() == ["a", "b"]
    assert warehouse.query(f'SELECT id, note FROM {name[:-1]}_live"').to_pylist() == [{"id": "b", "note": "x"}]


def test_the_live_view_comes_with_the_first_tombstone_described(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """A stream that is told later how its API says `gone` gets the view then, and one that was dropped comes back."""
    land(table, [row("a", 1, 1)], days(0, 2))
    warehouse.merge(replace(TARGET, tombstones=False), table, "run")
    land(table, [row("b", 2, 2)], days(2, 3))
    warehouse.merge(TARGET, table, "run")
    assert warehouse.query("SELECT id FROM shop.orders_live").num_rows == 2
    with duckdb.connect(str(warehouse.path)) as other:
        other.execute("DROP VIEW shop.orders_live")
    land(table, [row("a", 3, None, deleted=True)], days(3, 4))
    warehouse.merge(TARGET, table, "run")
    assert warehouse.query("SELECT id FROM shop.orders_live")["id"].to_pylist() == ["b"]
