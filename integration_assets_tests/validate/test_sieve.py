"""Records of another slice and records already seen are set aside, and nothing else is."""

import pyarrow as pa

from integration_assets.spec.cursor import Slice
from integration_assets.spec.records import Batch, combine
from integration_assets.validate.sieve import Seen, inside


def batch(*rows: tuple[str | None, int | None]) -> Batch:
    """Make a batch of (key, version) rows, whose raw record is its key."""
    table = pa.table(
        {"key": pa.array([row[0] for row in rows], pa.string()), "v": pa.array([row[1] for row in rows], pa.int64())}
    )
    return Batch(table, [str(row[0]).encode() for row in rows], (), len(rows))


def test_only_rows_of_the_slice_stay() -> None:
    """The start is inside, the end is not, and a null cursor stays for the gate to reject."""
    kept = inside(batch(("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", None)), "v", Slice(2, 4))
    assert kept.table.column("key").to_pylist() == ["b", "c", "e"]
    assert list(kept.raw) == [b"b", b"c", b"e"]


def test_a_record_version_is_met_once() -> None:
    """The same key and version is dropped within a batch, across batches and against the lake; another version stays."""
    seen = Seen(("key", "v"))
    seen.add(batch(("old", 1)).table)
    first = seen.fresh(batch(("a", 1), ("a", 1), ("a", 2), ("old", 1)))
    second = seen.fresh(batch(("a", 2), ("b", 1)))
    assert first.table.to_pylist() == [{"key": "a", "v": 1}, {"key": "a", "v": 2}]
    assert second.table.column("key").to_pylist() == ["b"]


def test_rows_without_a_key_are_never_duplicates() -> None:
    """Two records that lack their key are two rejects, not one duplicate."""
    assert Seen(("key", "v")).fresh(batch((None, 1), (None, 1))).table.num_rows == 2


def test_memory_is_bounded_by_the_window() -> None:
    """However many records go by, only the newest are remembered."""
    seen = Seen(("key", "v"), window=100)
    for start in range(0, 1000, 50):
        seen.fresh(batch(*((str(number), 0) for number in range(start, start + 50))))
    assert len(seen._known) == 100
    assert seen.fresh(batch(("999", 0))).table.num_rows == 0


def test_raw_records_stay_aligned_through_joining_and_filtering() -> None:
    """After batches are joined and rows dropped, each row still leads to its own bytes."""
    joined = combine([batch(("a", 1), ("b", 2)), batch(("c", 3)), batch(), batch(("d", 4))])
    kept = joined.filter(pa.array([False, True, True, True])).filter(pa.array([True, False, True]))
    assert kept.table.column("key").to_pylist() == ["b", "d"]
    assert [kept.raw[0], kept.raw[1]] == [b"b", b"d"]
