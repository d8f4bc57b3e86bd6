"""Delta tables of delta-rs on the emulator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import google.cloud.storage as gcs
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from integration_assets_tests.gcs.process import GcsEmulator

RACERS = 8


def rows(first: int, count: int = 10) -> pa.Table:
    """Give a small table."""
    return pa.table({"id": pa.array(range(first, first + count), pa.int64())})


def test_create_append_history(emulator: GcsEmulator, name: str) -> None:
    """A table is created, appended to, read at any version; its history tells each commit."""
    uri, options = f"gs://{name}/flights", emulator.storage_options
    for version in range(3):
        write_deltalake(uri, rows(10 * version), mode="append", storage_options=options)
    table = DeltaTable(uri, storage_options=options)
    assert table.version() == 2
    assert sorted(table.to_pyarrow_table()["id"].to_pylist()) == list(range(30))
    assert DeltaTable(uri, version=0, storage_options=options).to_pyarrow_table().num_rows == 10
    assert [commit["version"] for commit in table.history()] == [2, 1, 0]
    assert (emulator.folder / name / "flights/_delta_log/00000000000000000002.json").is_file()


def test_one_of_the_racing_writers_of_one_app_transaction_wins(emulator: GcsEmulator, name: str) -> None:
    """Of writers that saw the same version and record the same application transaction exactly one commits."""
    uri, options = f"gs://{name}/flights", emulator.storage_options
    write_deltalake(uri, rows(0), storage_options=options)
    tables = [DeltaTable(uri, storage_options=options) for _ in range(RACERS)]
    barrier = Barrier(RACERS)

    def commit(table: DeltaTable) -> str:
        barrier.wait()
        properties = CommitProperties(app_transactions=[Transaction("slice", 1)])
        try:
            write_deltalake(table, rows(100), mode="append", commit_properties=properties)
        except CommitFailedError:
            return "lost"
        return "won"

    with ThreadPoolExecutor(RACERS) as pool:
        assert sorted(pool.map(commit, tables)) == ["lost"] * (RACERS - 1) + ["won"]
    table = DeltaTable(uri, storage_options=options)
    assert (table.version(), table.to_pyarrow_table().num_rows, table.transaction_version("slice")) == (1, 20, 1)


def test_racing_appends_all_land(emulator: GcsEmulator, name: str) -> None:
    """Plain appends that race lose no row: each gets a version of its own."""
    uri, options = f"gs://{name}/flights", emulator.storage_options
    write_deltalake(uri, rows(0), storage_options=options)
    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(lambda n: write_deltalake(uri, rows(100 * n), mode="append", storage_options=options), range(RACERS)))
    table = DeltaTable(uri, storage_options=options)
    assert (table.version(), table.to_pyarrow_table().num_rows) == (RACERS, 10 + 10 * RACERS)


def test_checkpoint_compaction_vacuum(emulator: GcsEmulator, bucket: gcs.Bucket) -> None:
    """Compaction joins the small files, vacuum deletes them from the bucket, a checkpoint carries the log."""
    uri, options = f"gs://{bucket.name}/flights", emulator.storage_options
    for number in range(5):
        write_deltalake(uri, rows(10 * number), mode="append", storage_options=options)
    table = DeltaTable(uri, storage_options=options)
    assert table.optimize.compact()["numFilesRemoved"] == 5
    table.create_checkpoint()
    assert len(table.vacuum(0, dry_run=False, enforce_retention_duration=False)) == 5
    files = [blob.name for blob in bucket.list_blobs(prefix="flights/") if blob.name.endswith(".parquet")]
    assert len([file for file in files if "_delta_log" not in file]) == 1
    again = DeltaTable(uri, storage_options=options)
    assert sorted(again.to_pyarrow_table()["id"].to_pylist()) == list(range(50))


def test_a_large_file_goes_up_in_parts(emulator: GcsEmulator, bucket: gcs.Bucket) -> None:
    """A data file above the multipart size arrives whole."""
    uri, options = f"gs://{bucket.name}/large", emulator.storage_options
    noise = pa.table({"noise": pa.array([number.to_bytes(8) * 100 for number in range(60_000)], pa.binary())})
    plain = WriterProperties(compression="UNCOMPRESSED")
    write_deltalake(uri, noise, storage_options=options, writer_properties=plain)
    assert DeltaTable(uri, storage_options=options).to_pyarrow_table().equals(noise)
    parts = [blob.component_count for blob in bucket.list_blobs(prefix="large/") if blob.name.endswith(".parquet")]
    assert any(count and count > 1 for count in parts)


def test_a_commit_whose_answer_is_lost_happens_once(emulator: GcsEmulator, name: str) -> None:
    """When the connection breaks after the commit is stored, the writer is told of an error and the table holds it once."""
    uri, options = f"gs://{name}/flights", emulator.storage_options
    write_deltalake(uri, rows(0), storage_options=options)
    emulator.faults([{"action": "lost", "match": "^PUT .*_delta_log/00000000000000000001"}])
    properties = CommitProperties(app_transactions=[Transaction("slice", 1)])
    with pytest.raises((DeltaError, OSError)):
        write_deltalake(uri, rows(100), mode="append", commit_properties=properties, storage_options=options)
    assert emulator.fired() == [1]
    table = DeltaTable(uri, storage_options=options)
    assert (table.version(), table.to_pyarrow_table().num_rows, table.transaction_version("slice")) == (1, 20, 1)


def test_a_throttled_table_is_read(emulator: GcsEmulator, name: str) -> None:
    """429, 503 and resets while reading are retried; a denied bucket is an error that says so."""
    uri, options = f"gs://{name}/flights", emulator.storage_options
    write_deltalake(uri, rows(0), storage_options=options)
    emulator.faults([{"action": action, "match": "^GET .*flights"} for action in ("503", "429", "reset")])
    assert DeltaTable(uri, storage_options=options).to_pyarrow_table().num_rows == 10
    assert emulator.fired() == [1, 1, 1]
    emulator.deny(name)
    with pytest.raises((DeltaError, OSError), match=r"403|ermission"):
        DeltaTable(uri, storage_options=options)
