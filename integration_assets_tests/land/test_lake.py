"""The lake's tables: made, grown, refused, read by version, compacted."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from integration_assets.errors import LakeError, LakeNewerThanContractError
from integration_assets.land import writer as writing
from integration_assets.land.lake import Lake, LakeTable
from integration_assets.land.store import Store, VersionsGoneError
from integration_assets.spec.cursor import Slice
from integration_assets_tests.land.helpers import SCHEMA, day, days, land, row, rows

GROWN = pa.schema([*SCHEMA, pa.field("note", pa.string(), metadata={"description": "What was said."})])


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """A stream's table in a fresh lake, not made yet."""
    return Lake(str(tmp_path / "lake")).table("shop", "orders")


def read(table: LakeTable, after: int | None = None, upto: int | None = None) -> list[str]:
    """The ids that versions in `(after, upto]` brought."""
    files = table.files(after, upto)
    return [value for batch in table.scan(files, ["id"]) for value in batch.column(0).to_pylist()] if files else []


def test_check_makes_the_lake_and_leaves_nothing(tmp_path: Path) -> None:
    """A lake that can be written is made, and the probe is gone."""
    Lake(str(tmp_path / "a" / "lake")).check()
    assert list((tmp_path / "a" / "lake").iterdir()) == []


def test_check_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the folder should be is an error that names the place and the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match=r"file/lake.*INTEGRATION_LAKE_URI"):
        Lake(str(tmp_path / "file" / "lake")).check()
    with pytest.raises(LakeError, match="file/lake/shop/orders"):
        Lake(str(tmp_path / "file" / "lake")).table("shop", "orders").prepare(SCHEMA)


FULL = """
import resource, sys
import pyarrow as pa
from integration_assets.errors import LakeError
from integration_assets.land.lake import Lake
from integration_assets_tests.land.helpers import SCHEMA, row, rows
lake = Lake(sys.argv[1])
table = lake.table("shop", "orders")
table.prepare(SCHEMA)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
for attempt in (lake.check, lambda: write(table)):
    try:
        attempt()
    except LakeError as error:
        print(error)
"""
WRITE = """
def write(table):
    import os
    with table.writer(SCHEMA) as writer:
        writer.write(rows(*[row(os.urandom(40).hex(), n) for n in range(1000)]))
        writer.finish()
"""


def test_a_full_disk_is_named_and_leaves_no_half_file(tmp_path: Path) -> None:
    """When files cannot grow any more, check and writer say so, name the place and the remedy, and delete what they began."""
    lake = tmp_path / "lake"
    script = WRITE + FULL
    done = subprocess.run([sys.executable, "-B", "-c", script, str(lake)], capture_output=True, text=True, check=False)  # noqa: S603
    told = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(told) == 2
    assert all(str(lake) in line and "Free space" in line for line in told)
    assert [path.name for path in lake.rglob("part-*")] == []
    assert Lake(str(lake)).table("shop", "orders").count() == 0


def test_two_creators_both_end_with_the_table(table: LakeTable) -> None:
    """Eight runs that make the same table at once all succeed, and so do eight that grow it."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(table.prepare, [SCHEMA] * 8))
        list(pool.map(table.prepare, [GROWN] * 8))
    assert table.schema().names == GROWN.names


def test_a_new_column_is_added_and_null_in_older_rows(table: LakeTable) -> None:
    """The contract gains a column: old files read as null there, new ones have it, and its description is kept."""
    land(table, [row("a", 0)], days(0, 1))
    land(table, [{**row("b", 1), "note": "hi"}], days(1, 2), schema=GROWN)
    assert table.schema().names == GROWN.names
    assert table.schema().field("note").metadata == {b"comment": b"What was said."}
    assert table.scan(table.files(None), ["id", "note"]).read_all().to_pylist() == [
        {"id": "a", "note": None},
        {"id": "b", "note": "hi"},
    ]
    assert table.state().finished == (days(0, 2),)


def test_older_code_is_refused_by_a_newer_lake(table: LakeTable) -> None:
    """Code whose contract lacks a column of the lake stops, and is told which one and what to do."""
    table.prepare(GROWN)
    with pytest.raises(LakeNewerThanContractError, match=r"note.*Deploy the newer code"):
        table.prepare(SCHEMA)


def test_a_changed_type_is_refused_with_both_types(table: LakeTable) -> None:
    """A column that changed its type names itself, the lake's type and the contract's."""
    table.prepare(SCHEMA)
    changed = SCHEMA.set(1, pa.field("n", pa.string()))
    with pytest.raises(LakeError, match=r"n: the column is long in the lake and string in the contract"):
        table.prepare(changed)
    nested = pa.schema([*SCHEMA, ("s", pa.struct([("a", pa.int64())]))])
    table.prepare(nested)
    with pytest.raises(LakeError, match="struct"):
        table.prepare(pa.schema([*SCHEMA, ("s", pa.struct([("b", pa.int64())]))]))


def test_a_type_that_delta_lacks_is_refused(table: LakeTable) -> None:
    """A type that the lake cannot store is an error in one line, not a backtrace."""
    with pytest.raises(LakeError, match=r"Delta cannot store a column: .*Duration.*") as raised:
        table.prepare(pa.schema([("d", pa.duration("us"))]))
    assert "\n" not in str(raised.value)


def test_rows_of_other_columns_are_refused(table: LakeTable) -> None:
    """Rows that lack a column or bring one too many are not written."""
    table.prepare(SCHEMA)
    with table.writer(SCHEMA) as writer, pytest.raises(LakeError, match="columns n, note"):
        writer.write(rows(row("a", 0)).drop_columns(["n"]).append_column("note", pa.array(["x"])))
    with table.writer(SCHEMA) as writer, pytest.raises(LakeError, match="do not fit"):
        writer.write(rows(row("a", 0)).set_column(1, "n", pa.array(["x"])))


def test_nested_columns_come_back_as_they_were(table: LakeTable) -> None:
    """Structs, lists of structs, decimals, dates and booleans survive the lake."""
    part = pa.struct([("code", pa.string()), ("prices", pa.list_(pa.decimal128(10, 2)))])
    schema = pa.schema([("id", pa.string()), ("part", part), ("parts", pa.list_(part)), ("d", pa.date32()), ("b", pa.bool_())])
    one = {"code": "x", "prices": [Decimal("1.50"), None]}
    data = pa.Table.from_pylist([{"id": "a", "part": None, "parts": [], "d": None, "b": None}], schema=schema)
    more = pa.Table.from_pylist([{"id": "b", "part": one, "parts": [one, None], "d": day(0).date(), "b": True}], schema=schema)
    land(table, pa.concat_tables([data, more]), None, schema=schema)
    assert table.scan(table.files(None)).read_all().to_pylist() == [*data.to_pylist(), *more.to_pylist()]


def test_versions_are_read_in_order_and_only_once(table: LakeTable) -> None:
    """A consumer that goes on from its last version sees each file once, in the order of commits."""
    for number in range(4):
        land(table, [row(str(number), number)] if number != 1 else [], days(number, number + 1))
    assert read(table) == ["0", "2", "3"]
    assert read(table, 1, 3) == ["2"]
    assert read(table, 3) == ["3"]
    assert read(table, 4) == []
    assert [file.version for file in table.files(None)] == [1, 3, 4]
    assert [file.rows for file in table.files(None)] == [1, 1, 1]


def test_compaction_is_invisible_to_consumers_of_versions(table: LakeTable) -> None:
    """Compaction brings no rows, before or after the versions it joined, and they can still be read until a vacuum."""
    land(table, [row("a", 0)], days(0, 1))
    land(table, [row("b", 1)], days(1, 2))
    table.compact()
    land(table, [row("c", 2)], days(2, 3))
    assert read(table) == ["a", "b", "c"]
    assert read(table, 2) == ["c"]
    assert len(table.snapshot_files()) == 2
    assert len(table.vacuum(hours=0)) == 2
    assert table.vacuum(hours=0) == [], "what is gone is not named again"
    assert read(table, 2) == ["c"]
    with pytest.raises(VersionsGoneError, match="vacuumed"):
        table.files(None)
    assert sorted(table.scan(table.snapshot_files(), ["id"]).read_all()["id"].to_pylist()) == ["a", "b", "c"]


def test_cleaned_rewritten_and_unknown_versions_are_named(table: LakeTable) -> None:
    """A consumer is told to rebuild when the log is cleaned, when rows were deleted, and when it is ahead of the lake."""
    land(table, [row("a", 0), row("b", 0)], days(0, 1))
    with pytest.raises(VersionsGoneError, match="beyond"):
        table.files(9)
    table.delete("id = 'a'")
    with pytest.raises(VersionsGoneError, match="rewrote or deleted"):
        table.files(1)
    DeltaTable(table.uri).create_checkpoint()
    (Path(table.uri) / "_delta_log" / f"{1:020d}.json").unlink()
    with pytest.raises(VersionsGoneError, match="log entry of version 1"):
        table.files(0)


def test_a_file_that_goes_while_it_is_read_is_named(table: LakeTable) -> None:
    """A vacuum between listing and reading is a VersionsGoneError, not an unexplained I/O error."""
    land(table, [row("a", 0)], days(0, 1))
    files = table.files(None)
    (Path(table.uri) / files[0].path).unlink()
    with pytest.raises(VersionsGoneError):
        table.scan(files).read_all()


def test_known_rows_are_those_of_the_slice(table: LakeTable) -> None:
    """Known versions include the slice's start, exclude its end, and skip rows and files outside."""
    for number in range(4):
        land(table, [row(f"{number}a", number), row(f"{number}b", number + 0.5)], days(number, number + 1))
    found = pa.concat_tables(table.known(["id"], "at", days(1, 2.5)))
    assert sorted(found["id"].to_pylist()) == ["1a", "1b", "2a"]
    assert found.column_names == ["id"]
    assert sum(rows.num_rows for rows in table.known(["id", "at"], "at", Slice())) == 8
    (Path(table.uri) / table.files(3)[0].path).unlink()
    assert sum(rows.num_rows for rows in table.known(["id"], "at", days(1, 2))) == 2


def test_known_finds_microseconds_after_compaction(table: LakeTable) -> None:
    """Compaction cuts a file's bounds down to milliseconds; rows in the last millisecond are found all the same."""
    late = day(1) + timedelta(microseconds=999)
    land(table, [{**row("a", 1), "at": late}], days(0, 2))
    land(table, [{**row("b", 1), "at": late}], days(0, 2))
    assert sum(rows.num_rows for rows in table.known(["id"], "at", Slice(late, None))) == 2
    table.compact()
    assert sum(rows.num_rows for rows in table.known(["id"], "at", Slice(late, None))) == 2


def test_statistics_bound_the_rows(table: LakeTable) -> None:
    """Each file's entry in the log has rows, nulls and bounds; timestamps are rounded outwards, text is left out."""
    table.prepare(SCHEMA)
    moment = day(0) + timedelta(microseconds=1_500)
    with table.writer(SCHEMA) as writer:
        writer.write(rows({**row("a", 0, None), "at": moment}, {**row("b", 0, 7), "at": moment}))
        stats = json.loads(writer.finish()[0].stats)
    assert stats["numRecords"] == 2
    assert (stats["minValues"]["at"], stats["maxValues"]["at"]) == ("2024-01-01T00:00:00.001Z", "2024-01-01T00:00:00.002Z")
    assert (stats["minValues"]["n"], stats["maxValues"]["n"], stats["nullCount"]["n"]) == (7, 7, 1)
    assert "id" not in {**stats["minValues"], **stats["nullCount"]}


def test_the_end_of_time_can_be_written_and_found(table: LakeTable) -> None:
    """A timestamp that has no millisecond after it goes without an upper bound, and is found before and after compaction."""
    end = datetime.max.replace(tzinfo=UTC)
    for key in ("a", "b"):
        land(table, [row(key, 1), {**row(f"{key}2", 1), "at": end}], None)
    with table.writer(SCHEMA) as writer:
        writer.write(rows({**row("c", 1), "at": end}))
        stats = json.loads(writer.finish()[0].stats)
    assert (stats["minValues"]["at"], stats["maxValues"].get("at")) == ("9999-12-31T23:59:59.999Z", None)
    for _ in range(2):
        found = pa.concat_tables(table.known(["id"], "at", Slice(day(2), None)))
        assert sorted(found["id"].to_pylist()) == ["a2", "b2"]
        table.compact()


def test_known_rows_come_in_bounded_pieces(table: LakeTable) -> None:
    """However much lies in the slice, no more than a batch of a file is held at once."""
    land(table, pa.concat_tables([rows(*[row("a", 1)] * 1_000)] * 150), days(0, 2))
    sizes = [part.num_rows for part in table.known(["id"], "at", days(0, 2))]
    assert sum(sizes) == 150_000
    assert max(sizes) <= 64 * 1024


def test_large_slices_rotate_files_in_bounded_row_groups(table: LakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows go out as they fill a row group, and a file ends when it is large enough."""
    monkeypatch.setattr(writing, "ROW_GROUP_ROWS", 1_000)
    monkeypatch.setattr(writing, "FILE_BYTES", 1)
    table.prepare(SCHEMA)
    block = rows(*[row(str(number), number) for number in range(600)])
    with table.writer(SCHEMA) as writer:
        for _ in range(5):
            writer.write(block)
            assert writer._rows < 1_000
        files = writer.finish()
        assert [file.rows for file in files] == [1_200, 1_200, 600]
        assert pq.ParquetFile(Path(table.uri) / files[0].path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_vacuum_finds_the_orphans_of_killed_runs(table: LakeTable) -> None:
    """Files that a killed run left are deleted, and no committed one is."""
    done = land(table, [row("a", 0)], days(0, 1))
    orphan = Path(table.uri) / "part-left.zstd.parquet"
    orphan.write_bytes(b"half a file")
    assert table.vacuum(hours=24) == []
    assert table.vacuum(hours=0) == [orphan.name]
    assert [path.name for path in Path(table.uri).glob("part-*")] == list(done.files)


def test_what_is_no_table_cannot_be_maintained(table: LakeTable) -> None:
    """Maintenance of a table that was never made says so."""
    with pytest.raises(LakeError, match="Sync the stream first"):
        table.compact()


def test_a_secret_in_the_store_options_is_in_no_message(tmp_path: Path) -> None:
    """Whatever the store says, the values it was opened with are cut out."""
    store = Store(str(tmp_path), {"google_service_account_key": "hunter2"})
    assert "hunter2" not in str(store.explain(OSError("denied for hunter2"), "read"))
    assert "hunter2" not in repr(store)


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Loading the definitions stays quick: the package itself brings neither deltalake nor duckdb nor Arrow."""
    code = "import sys, integration_assets.land; print({'deltalake', 'duckdb', 'pyarrow', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "set()"
