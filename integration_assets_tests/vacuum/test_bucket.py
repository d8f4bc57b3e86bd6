"""The same with the lake in a bucket, over the wire to the strict emulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from integration_assets.land.lake import Lake
from integration_assets_tests.gcs.process import GcsEmulator

SCHEMA = pa.schema([("id", pa.int64())])


def test_a_bucket_is_cleaned(tmp_path: Path) -> None:
    """Orphans and replaced objects go once they are old, those that are wanted or the table's own stay, rows are the same."""
    with GcsEmulator(tmp_path / "gcs") as emulator:
        emulator.create_bucket("lake")
        table = Lake("gs://lake/tables", emulator.storage_options).table("any", "rows")
        table.prepare(SCHEMA)
        for number in range(3):
            with table.writer(SCHEMA) as writer:
                writer.write(pa.table({"id": pa.array([number], pa.int64())}))
                table.append(writer)
        small = {file.path for file in table.snapshot_files()}
        with table.writer(SCHEMA) as writer:
            writer.write(pa.table({"id": pa.array([99], pa.int64())}))
            (orphan,) = (file.path for file in writer.finish())
            writer.keep()
        assert table.compact() == 3
        assert table.waste(datetime.now(UTC) - timedelta(days=1)) == []
        later, first = datetime.now(UTC) + timedelta(days=1), min(small)
        waste = table.waste(later, {first})
        assert {file.path for file in waste} == {orphan, *small} - {first}
        table.delete_waste(waste)
        assert [file.path for file in table.waste(later)] == [first]
        rows = pa.Table.from_batches(list(table.scan(table.snapshot_files())))
        assert rows.column("id").to_pylist() == [0, 1, 2]
        assert not (emulator.folder / "lake/tables/any/rows" / orphan).exists()
