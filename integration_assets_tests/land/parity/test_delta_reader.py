"""The lake is Delta and not only what deltalake makes of it: another reader sees the same rows, in a folder and in a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from integration_assets.land.lake import Lake, LakeTable
from integration_assets_tests.gcs.process import GcsEmulator
from integration_assets_tests.land.helpers import SCHEMA, days, land, row
from integration_assets_tests.land.parity.delta_reader import Folder, read_delta


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[LakeTable, Folder]:
    """A stream's lake table, and how anyone else reaches its files."""
    if request.param == "folder":
        table = Lake(str(tmp_path / "lake")).table("shop", "orders")
        root = Path(table.uri)
        return table, Folder(
            lambda: [str(path.relative_to(root)) for path in root.rglob("*")], lambda path: (root / path).read_bytes()
        )
    emulator: GcsEmulator = request.getfixturevalue("gcs_for_bigquery")
    lake: Lake = request.getfixturevalue("gcs_lake")
    table = lake.table("shop", "orders")
    name, _, prefix = table.uri.removeprefix("gs://").partition("/")
    bucket = emulator.client().bucket(name)
    return table, Folder(
        lambda: [blob.name.removeprefix(f"{prefix}/") for blob in bucket.list_blobs(prefix=f"{prefix}/")],
        lambda path: bytes(bucket.blob(f"{prefix}/{path}").download_as_bytes()),
    )


def same(table: LakeTable, found: tuple[list[str], list[dict[str, Any]]]) -> list[str]:
    """See that the other reader has our columns and rows; returns the rows' ids."""
    columns, rows = found
    ours = table.scan(table.snapshot_files()).read_all()
    assert columns == ours.column_names
    assert sorted(rows, key=str) == sorted(ours.to_pylist(), key=str)
    return sorted(one["id"] for one in rows)


def test_another_reader_sees_the_same_rows(place: tuple[LakeTable, Folder]) -> None:
    """Through commits, a new column, compaction, the deletion of rows, and vacuum."""
    table, folder = place
    land(table, [row("a", 1, 1), row("b", 1, 2)], days(0, 2))
    land(table, [row("c", 2, None, deleted=True)], days(2, 3))
    assert same(table, read_delta(folder)) == ["a", "b", "c"]
    land(table, [row("d", 3, 3) | {"note": "ü"}], days(3, 4), schema=pa.schema([*SCHEMA, ("note", pa.string())]))
    table.compact()
    assert same(table, read_delta(folder)) == ["a", "b", "c", "d"]
    table.delete("id = 'b'")
    table.vacuum(hours=0)
    assert same(table, read_delta(folder)) == ["a", "c", "d"]
