"""Rejected records are kept whole, once, and can be found again."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from integration_assets.land.lake import LakeTable
from integration_assets.land.quarantine import Pull, Quarantine, identity
from integration_assets.spec.cursor import Slice
from integration_assets.spec.records import Reject
from integration_assets_tests.land.helpers import days

BROKEN = b'{"id": "\xff\xfe", "n": "ten"}'


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    """A quarantine of a fresh lake."""
    return Quarantine(str(tmp_path / "lake"))


def test_a_record_is_kept_byte_by_byte_with_its_reasons(quarantine: Quarantine) -> None:
    """Payload, reasons, key, slice, partition, run and contract come back as they went in, invalid UTF-8 included."""
    reject = Reject(BROKEN, ("n: not a number", "id: not text"), "k1")
    assert quarantine.add("shop", "orders", [reject], days(0, 1), "run 1", "abc", "2024-01-01") == 1
    (kept,) = quarantine.list("shop", "orders")
    assert (kept.payload, kept.reasons, kept.key) == (BROKEN, reject.reasons, "k1")
    assert (kept.slice, kept.partition, kept.run_id, kept.contract_hash) == (days(0, 1), "2024-01-01", "run 1", "abc")
    assert kept.identity == identity("shop", "orders", BROKEN)
    table = quarantine.table("shop", "orders")
    assert table.scan(table.files(None), ["preview"]).read_all()["preview"].to_pylist() == [r'{"id": "\xff\xfe", "n": "ten"}']


def test_nothing_rejected_makes_nothing(quarantine: Quarantine, tmp_path: Path) -> None:
    """Without rejects there is no table, no commit and no row."""
    assert quarantine.add("shop", "orders", [], days(0, 1), "run", "abc") == 0
    assert (quarantine.count("shop", "orders"), quarantine.list("shop", "orders")) == (0, [])
    assert not (tmp_path / "lake").exists()


def test_a_repeated_run_doubles_nothing(quarantine: Quarantine) -> None:
    """A record is kept whole once; a run that is tried again notes nothing twice, and another run that it came again."""
    rejects = [Reject(b"one", ("x: bad",)), Reject(b"two", ("x: bad",)), Reject(b"one", ("x: bad",))]
    assert quarantine.add("shop", "orders", rejects, Slice(), "run 1", "abc") == 2
    assert quarantine.add("shop", "orders", [*rejects, Reject(b"three", ())], Slice(), "run 1", "abc") == 1
    assert quarantine.add("shop", "orders", rejects[:1], Slice(), "run 2", "abc") == 1
    assert quarantine.count("shop", "orders") == 3
    payloads = quarantine.table("shop", "orders").scan(quarantine.table("shop", "orders").snapshot_files(), ["payload"])
    assert sorted(one for one in payloads.read_all()["payload"].to_pylist() if one) == [b"one", b"three", b"two"]
    assert {entry.key or "": entry.times for entry in quarantine.entries("shop", "orders", limit=1)} == {"": 2}


def test_another_slice_or_contract_is_another_rejection_of_the_same_record(quarantine: Quarantine) -> None:
    """A record turned away again elsewhere or by a mended contract is noted, counted once, and listed with its newest reasons."""
    for number, (slice_, contract) in enumerate([(days(0, 1), "a"), (days(1, 2), "a"), (days(0, 1), "b")]):
        assert quarantine.add("shop", "orders", [Reject(b"one", (f"reason {number}",))], slice_, "run", contract) == 1
    assert quarantine.table("shop", "orders").count() == 3
    assert quarantine.count("shop", "orders") == 1
    assert [kept.reasons for kept in quarantine.list("shop", "orders")] == [("reason 2",)]


def test_integer_slices_come_back_as_integers(quarantine: Quarantine) -> None:
    """A slice on an integer cursor keeps its type, open ends included."""
    quarantine.add("shop", "orders", [Reject(b"one", ())], Slice(-5, None), "run", "abc")
    assert quarantine.list("shop", "orders")[0].slice == Slice(-5, None)


def test_many_rejects_are_one_commit_and_the_list_is_limited(quarantine: Quarantine) -> None:
    """Thousands of rejects arrive as a stream and land in one version; the list gives the newest few."""
    rejects = (Reject(str(number).encode(), ("x: bad",)) for number in range(2_500))
    assert quarantine.add("shop", "orders", rejects, Slice(), "run", "abc") == 2_500
    assert quarantine.table("shop", "orders").version() == 1
    assert [kept.payload for kept in quarantine.list("shop", "orders", limit=2)] == [b"2499", b"2498"]


def test_a_record_that_keeps_coming_makes_no_heap_of_files(quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks reads a bounded number of files, however many runs saw the record, and counts them all."""
    monkeypatch.setattr("integration_assets.land.quarantine._FILES", 4)
    for number in range(7):
        quarantine.add("shop", "orders", [Reject(b"one", (f"reason {number}",))], Slice(), f"run {number}", "abc")
    (entry,) = quarantine.entries("shop", "orders")
    assert (entry.times, entry.reasons) == (7, ("reason 6",))
    assert len(quarantine.table("shop", "orders").snapshot_files()) < 4
    assert quarantine.payloads("shop", "orders", [entry.identity]) == {entry.identity: b"one"}


def test_what_is_there_is_read_once(quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of rejects are compared with what is in quarantine in one reading of it, however many they are."""
    rejects = [Reject(str(number).encode(), ("x: bad",)) for number in range(2_500)]
    quarantine.add("shop", "orders", rejects[:1_500], Slice(), "run", "abc")
    scan, read = LakeTable.scan, []

    def counted(*arguments: Any) -> pa.RecordBatchReader:  # noqa: ANN401 - passed through
        read.append(arguments)
        return scan(*arguments)

    monkeypatch.setattr(LakeTable, "scan", counted)
    assert quarantine.add("shop", "orders", rejects, Slice(), "run", "abc") == 1_000
    assert len(read) == 1


def test_what_came_before_is_counted_without_holding_the_quarantine(quarantine: Quarantine) -> None:
    """Of a pull's rejects those count that a committed pull had; memory holds its own, however many others there are."""
    rejects = [Reject(str(number).encode(), ("x: bad",)) for number in range(20_000)]
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    for run, slice_, some in (
        ("early", days(0, 9), rejects),
        ("refused", days(8, 9), rejects[:7]),
        ("late", days(8, 10), rejects[:9]),
    ):
        quarantine.add("shop", "orders", some, slice_, run, "abc", pulled_at=moment)
    late, refused = Pull(days(8, 10), "late", moment), Pull(days(8, 9), "other", moment)
    assert quarantine.met_before("shop", "orders", late, []) == 0
    assert quarantine.met_before("shop", "orders", late, [late, Pull(days(0, 9), "gone on with", None)]) == 0
    assert quarantine.met_before("shop", "orders", late, [refused]) == 7
    tracemalloc.start()
    assert quarantine.met_before("shop", "orders", late, [Pull(days(0, 9), "gone on with", moment)]) == 9
    assert quarantine.add("shop", "orders", rejects[:9], days(10, 11), "next", "abc") == 9
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_streams_and_runs_at_the_same_time_lose_nothing(quarantine: Quarantine) -> None:
    """Runs of two streams that reject at once all keep their records, each stream its own."""

    def add(number: int) -> int:
        stream = ("orders", "refunds")[number % 2]
        return quarantine.add("shop", stream, [Reject(str(number).encode(), ())], days(number, number + 1), "run", "abc")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(add, range(8))) == [1] * 8
    assert (quarantine.count("shop", "orders"), quarantine.count("shop", "refunds")) == (4, 4)


def test_what_was_replayed_can_be_deleted(quarantine: Quarantine) -> None:
    """A record is erased by its identity and is gone after a vacuum; compaction keeps the others."""
    quarantine.add("shop", "orders", [Reject(b"one", ())], Slice(), "run", "abc")
    quarantine.add("shop", "orders", [Reject(b"two", ())], Slice(), "run", "abc")
    table = quarantine.table("shop", "orders")
    table.compact()
    assert table.delete(f"identity = '{identity('shop', 'orders', b'one')}'") == 1
    table.vacuum(hours=0)
    assert [kept.payload for kept in quarantine.list("shop", "orders")] == [b"two"]
