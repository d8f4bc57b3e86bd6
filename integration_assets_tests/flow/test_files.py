"""Files that someone drops flow as pages do: gated, committed with their watermark, merged; each once, a rewritten one again."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from integration_assets.errors import LimitExceededError, ResponseError, SpecError
from integration_assets.feed import open_feeds
from integration_assets.files import FileGoneError, FileRef
from integration_assets.files.folder import Folder
from integration_assets.settings import Settings
from integration_assets.spec import Bearer, Csv, Cursor, Files, Json, Limits, Ndjson, NextLink, Parquet, Source, Stream
from integration_assets.spec.contract import Int64, String, Timestamp, column
from integration_assets.spec.cursor import Slice
from integration_assets.spec.receipt import Receipt
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync
from integration_assets_tests.gcs.process import GcsEmulator

HERE = "integration_assets_tests.flow.test_files"


class Settlement(pandera.DataFrameModel):
    """A settlement of a payment partner."""

    id: Int64 = column(nullable=False)
    amount: Int64 = column(ge=0)
    file: String = column("$file.name")
    arrived: Timestamp = column("$file.arrived", nullable=False)


class WrongFile(Settlement):
    """Wants to know of a file what nobody knows."""

    owner: String = column("$file.owner")


@dataclass
class Drop:
    """A place into which files are dropped, and everything to sync them."""

    url: str
    folder: Path
    write: Callable[[str, bytes], None]

    def stream(self, **changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
        """Settlements as CSV, by when their file arrived."""
        described = Stream(
            name="settlements",
            path="settlements",
            contract=f"{HERE}:Settlement",
            key=("id",),
            files=Files(pattern="*.csv*"),
            format=Csv(),
            cursor=Cursor(field="arrived"),
        )
        return described.changed(**changes)

    def pull(self, stream: Stream | None = None, **changes: Any) -> list[Receipt]:  # noqa: ANN401 - any setting of a source
        """Sync and merge; the receipts."""
        source = Source(**{"name": "partner", "base_url": self.url, "streams": (stream or self.stream(),), **changes})
        settings = self.settings()
        stores = Stores.from_settings(settings)
        with open_feeds(source, stores, settings) as (feed,):
            receipts = list(sync(feed, "run"))
            merge(feed, stores, "run")
        return receipts

    def settings(self) -> Settings:
        """A lake and a warehouse of this test's own."""
        return Settings.from_environ(
            {
                "INTEGRATION_LAKE_URI": str(self.folder / "lake"),
                "INTEGRATION_WAREHOUSE_URI": str(self.folder / "warehouse.duckdb"),
                "INTEGRATION_LIMITS_URI": str(self.folder / "limits"),
            }
        )

    def rows(self, columns: str = "id, amount, file") -> list[tuple[Any, ...]]:
        """What the warehouse's table has."""
        found = Stores.from_settings(self.settings()).warehouse.query(f"select {columns} from partner.settlements order by 1")
        return [tuple(row.values()) for row in found.to_pylist()]


@pytest.fixture
def drop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drop:
    """A folder whose clock has no margin, so that what was just written is read."""
    monkeypatch.setattr("integration_assets.files.folder._MARGIN", timedelta(0))
    root = tmp_path / "drop"

    def write(name: str, data: bytes) -> None:
        path = root / "settlements" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        time.sleep(0.02)  # a file system's clock ticks coarsely, and the slice ends before now

    (root / "settlements").mkdir(parents=True)
    return Drop(f"file://{root}", tmp_path, write)


def test_files_land_once_and_what_a_newer_one_says_wins(drop: Drop) -> None:
    """The second sync reads only the file that arrived since; of a record in both the newer file's version is current."""
    drop.write("a.csv", b"id,amount\n1,10\n2,20\n")
    (first,) = drop.pull()
    assert (first.fetched, first.accepted, first.pages) == (2, 2, 1)
    drop.write("b.csv.gz", gzip.compress(b"id,amount\n2,25\n3,30\n"))
    (second,) = drop.pull()
    assert (second.fetched, second.watermark_before) == (2, first.watermark_after)
    assert drop.rows() == [(1, 10, "a.csv"), (2, 25, "b.csv.gz"), (3, 30, "b.csv.gz")]
    (third,) = drop.pull()
    assert (third.fetched, third.outcome) == (0, "empty")


def test_a_rewritten_file_is_read_again(drop: Drop) -> None:
    """A correction under the same name replaces what its first version said."""
    drop.write("a.csv", b"id,amount\n1,10\n")
    drop.pull()
    drop.write("a.csv", b"id,amount\n1,11\n")
    (receipt,) = drop.pull()
    assert receipt.fetched == 1
    assert drop.rows() == [(1, 11, "a.csv")]


@pytest.mark.parametrize("disposition", ["append", "merge"])
def test_a_file_whose_mode_changes_is_not_read_again(drop: Drop, disposition: str) -> None:
    """The same bytes land once, whoever links them or changes their mode; what was asked for lands anew, and `touch` is news."""
    stream = drop.stream(disposition=disposition)
    drop.write("a.csv", b"id,amount\n1,10\n")
    drop.pull(stream)
    path = drop.folder / "drop" / "settlements" / "a.csv"
    path.chmod(0o600)
    (drop.folder / "linked.csv").hardlink_to(path)
    drop.write("b.csv", b"id,amount\n2,20\n")
    (receipt,) = drop.pull(stream)
    assert receipt.fetched == 1
    assert "a.csv came again with the size and the time that landed before" in receipt.warnings[0]
    assert drop.rows() == [(1, 10, "a.csv"), (2, 20, "b.csv")]
    again = stream.changed(cursor=Cursor(field="arrived", lookback=timedelta(hours=1)))
    (receipt,) = drop.pull(again)
    assert (receipt.fetched, receipt.duplicate, receipt.accepted) == (1, 1, 0)
    path.touch()
    time.sleep(0.02)
    (receipt,) = drop.pull(stream)
    assert (receipt.fetched, receipt.accepted) == (1, 1)


def test_records_without_a_key_land_once_however_often_their_file_is_read(drop: Drop) -> None:
    """Nothing tells such records apart, so in a lookback a file that landed is left out whole."""
    stream = drop.stream(disposition="append", key=(), cursor=Cursor(field="arrived", lookback=timedelta(hours=1)))
    drop.write("a.csv", b"id,amount\n1,10\n1,10\n")
    drop.pull(stream)
    (receipt,) = drop.pull(stream)
    assert receipt.fetched == 0
    assert drop.rows() == [(1, 10, "a.csv"), (1, 10, "a.csv")]


def test_a_range_of_files_that_is_asked_for_lands_anew(drop: Drop) -> None:
    """What landed once may be pulled again by name of its range."""
    drop.write("a.csv", b"id,amount\n1,10\n")
    (first,) = drop.pull()
    settings = drop.settings()
    stores = Stores.from_settings(settings)
    with open_feeds(Source(name="partner", base_url=drop.url, streams=(drop.stream(),)), stores, settings) as (feed,):
        (receipt,) = sync(feed, "again", span=Slice(None, datetime.fromisoformat(str(first.watermark_after))))
    assert (receipt.fetched, receipt.accepted) == (1, 1)


def test_a_bad_row_is_quarantined_with_its_file(drop: Drop) -> None:
    """The rows beside it land, and the reject tells in which file it was."""
    drop.write("a.csv", b"id,amount\n1,10\n2,twenty\n")
    (receipt,) = drop.pull()
    assert (receipt.accepted, receipt.rejected) == (1, 1)
    (reject,) = Stores.from_settings(drop.settings()).quarantine.list("partner", "settlements")
    assert "in a.csv" in reject.reasons[0]
    assert reject.payload == b"2,twenty"


def test_a_file_that_is_none_holds_the_slice_until_it_is_mended(drop: Drop) -> None:
    """No file is passed over unseen: the error names the one, nothing lands, and after it is mended all do."""
    drop.write("a.csv", b"id,amount\n1,10\n")
    drop.write("b.csv", b"<html>Sign in</html>")
    with pytest.raises(ResponseError, match=r"the file b\.csv: the header has none of the columns"):
        drop.pull()
    drop.write("b.csv", b"id,amount\n2,20\n")
    drop.pull()
    assert [row[0] for row in drop.rows()] == [1, 2]


def test_an_empty_file_says_nothing(drop: Drop) -> None:
    """A file without a byte is no error and no record."""
    drop.write("a.csv", b"")
    drop.write("b.csv", b"id,amount\n1,10\n")
    (receipt,) = drop.pull()
    assert receipt.accepted == 1


def test_a_large_file_is_read_in_pieces(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in a file does not have to be in memory at once: it is read as so many pages."""
    monkeypatch.setattr("integration_assets.extract.pieces.PIECE", 10_000)
    monkeypatch.setattr("integration_assets.extract.pieces._CHUNK", 4_096)
    lines = "".join(f"{number},{number}\n" for number in range(20_000))
    drop.write("a.csv", f"id,amount\n{lines}".encode())
    (receipt,) = drop.pull()
    assert receipt.accepted == 20_000
    assert receipt.pages > 15


@pytest.mark.parametrize(
    ("form", "name", "data"),
    [
        (Json(), "a.json", json.dumps({"data": [{"id": 1, "amount": 10}]}).encode()),
        (Ndjson(), "a.jsonl", b'{"id": 1, "amount": 10}\n'),
        (Parquet(), "a.parquet", None),
        (Csv(delimiter=";"), "a.csv", b"id;amount\n1;10\n"),
    ],
)
def test_each_format_lands(drop: Drop, form: Any, name: str, data: bytes | None) -> None:  # noqa: ANN401 - one of the formats
    """JSON, lines of JSON, Parquet and CSV of another delimiter give the same row."""
    if data is None:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": [1], "amount": [10]}), sink)
        data = sink.getvalue().to_pybytes()
    drop.write(name, data)
    drop.pull(drop.stream(format=form, files=Files()))
    assert drop.rows() == [(1, 10, name)]


def test_files_without_a_cursor_are_one_snapshot(drop: Drop) -> None:
    """All files together are the table; a file that is taken away takes its rows with it."""
    snapshot = drop.stream(cursor=None, disposition="replace", key=())
    drop.write("a.csv", b"id,amount\n1,10\n")
    drop.write("b.csv", b"id,amount\n2,20\n")
    drop.pull(snapshot)
    (drop.folder / "drop" / "settlements" / "a.csv").unlink()
    drop.pull(snapshot)
    assert drop.rows() == [(2, 20, "b.csv")]


def test_a_file_that_rests_too_shortly_waits(drop: Drop) -> None:
    """The safety lag is how long a file must have rested, for writers that take their time."""
    drop.write("a.csv", b"id,amount\n1,10\n")
    resting = drop.stream(cursor=Cursor(field="arrived", safety_lag=timedelta(minutes=5)))
    (receipt,) = drop.pull(resting)
    assert receipt.fetched == 0


def test_a_file_that_changes_while_the_slice_is_read_comes_with_the_next(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was replaced between listing and reading is told on the receipt, and lands with the next sync."""
    drop.write("a.csv", b"id,amount\n1,10\n")
    drop.write("b.csv", b"id,amount\n2,20\n")
    listed = Folder.list

    def list_then_rewrite(self: Folder, pattern: str = "*", after: str | None = None) -> Iterator[Any]:
        yield from listed(self, pattern, after)
        monkeypatch.undo()
        monkeypatch.setattr("integration_assets.files.folder._MARGIN", timedelta(0))
        drop.write("b.csv", b"id,amount\n2,21\n")

    monkeypatch.setattr(Folder, "list", list_then_rewrite)
    (receipt,) = drop.pull()
    assert "b.csv changed while the slice was read" in receipt.warnings[0]
    assert [row[:2] for row in drop.rows()] == [(1, 10)]
    drop.pull()
    assert [row[:2] for row in drop.rows()] == [(1, 10), (2, 21)]


@pytest.mark.parametrize("rows", [1, 20_000])
def test_a_file_that_is_written_to_while_it_is_read_never_lands_by_half(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """A file of one piece is left to the next slice; of a longer one nothing is committed, and all comes again."""
    monkeypatch.setattr("integration_assets.extract.pieces.PIECE", 10_000)
    monkeypatch.setattr("integration_assets.extract.pieces._CHUNK", 4_096)
    lines = "".join(f"{number},{number}\n" for number in range(1, rows))
    drop.write("a.csv", b"id,amount\n0,0\n")
    drop.write("b.csv", f"id,amount\n{lines}1000000,1\n".encode())
    opened = Folder.open

    @contextmanager
    def open_then_write(self: Folder, ref: FileRef) -> Iterator[BinaryIO]:
        with opened(self, ref) as file:
            yield file
            if ref.name == "b.csv":
                monkeypatch.setattr(Folder, "open", opened)
                drop.write("b.csv", f"id,amount\n{lines}1000000,22\n".encode())

    monkeypatch.setattr(Folder, "open", open_then_write)
    append = drop.stream(disposition="append")
    if rows == 1:
        (receipt,) = drop.pull(append)
        assert "b.csv changed while the slice was read" in receipt.warnings[0]
        assert drop.rows() == [(0, 0, "a.csv")]
    else:
        with pytest.raises(FileGoneError, match="written to while it was read"):
            drop.pull(append)
    drop.pull(append)
    found = drop.rows("id, amount")
    assert len(found) == rows + 1
    assert found[-1] == (1_000_000, 22)


def test_a_file_that_is_too_large_to_be_read_whole_is_named(drop: Drop) -> None:
    """A document of JSON beyond the limit is an error with the file's name and what to do."""
    drop.write("a.json", b"[" + b"1," * 1000 + b"1]")
    with pytest.raises(LimitExceededError, match=r"the file a\.json: the file is larger than 100 bytes"):
        drop.pull(drop.stream(format=Json(records=""), files=Files()), limits=Limits(max_page_bytes=100))


def test_latin_1_is_read_as_what_it_is(drop: Drop) -> None:
    """A partner's old system writes its own encoding."""
    drop.write("ä.csv", "id,amount,name\n1,10,Zoë\n".encode("latin-1"))
    drop.pull(drop.stream(files=Files(encoding="latin-1"), ignore=("name",)))
    assert drop.rows() == [(1, 10, "ä.csv")]


def test_files_of_a_bucket_land_like_those_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same stream over `gs://`: new objects land once, overwritten ones again."""
    monkeypatch.setattr("integration_assets.files.bucket._MARGIN", timedelta(0))
    with GcsEmulator(tmp_path / "gcs") as emulator:
        for name, value in emulator.environ.items():
            monkeypatch.setenv(name, value)
        emulator.create_bucket("drop")
        client = emulator.client()
        bucket = client.bucket("drop")

        def write(name: str, data: bytes) -> None:
            bucket.blob(f"out/settlements/{name}").upload_from_string(data)
            time.sleep(0.02)

        drop = Drop("gs://drop/out", tmp_path, write)
        drop.write("2024/a.csv", b"id,amount\n1,10\n")
        drop.pull()
        drop.write("2024/a.csv", b"id,amount\n1,11\n")
        drop.write("b.csv.gz", gzip.compress(b"id,amount\n2,20\n"))
        (receipt,) = drop.pull()
        cursor = Cursor(field="arrived", lookback=timedelta(hours=1))
        lines = drop.stream(name="lines", path="settlements", disposition="append", key=(), cursor=cursor)
        fetched = [one.fetched for _ in range(2) for one in drop.pull(lines)]
        client.close()
    assert receipt.fetched == 2
    assert drop.rows() == [(1, 11, "2024/a.csv"), (2, 20, "b.csv.gz")]
    assert fetched == [2, 0]  # rows without a key: a lookback leaves out the files that landed


def test_a_wrong_description_is_refused_before_anything_is_read(drop: Drop) -> None:
    """Each mistake is named with its field when the spec is made or its contract is loaded."""
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("cursor", {"cursor": Cursor(field="arrived", start_param="since")}),
        ("paging", {"paging": NextLink()}),
        ("format", {"files": None, "format": Parquet(), "cursor": None}),
    ]
    for field, changes in wrong:
        with pytest.raises(SpecError) as caught:
            drop.stream(**changes)
        assert caught.value.field == field
    with pytest.raises(SpecError, match="is a stream of files"):
        Source(name="partner", base_url="https://api.example.com", streams=(drop.stream(),))
    with pytest.raises(SpecError, match="need no auth"):
        Source(name="partner", base_url=drop.url, streams=(drop.stream(),), auth=Bearer(secret="KEY"))
    with pytest.raises(SpecError, match="no encoding"):
        Files(encoding="utf-16")
    with pytest.raises(SpecError, match=r"there is no \$file\.owner"):
        drop.pull(drop.stream(contract=f"{HERE}:WrongFile"))
    with pytest.raises(SpecError, match="is not when the file arrived"):
        drop.pull(drop.stream(contract=f"{HERE}:LateSettlement"))


class LateSettlement(Settlement):
    """Takes a column of the records for when the file arrived."""

    arrived: Timestamp = column("settled_at", nullable=False)
