"""Records of another slice and records already seen are set aside, and nothing else is."""

import random

import pyarrow as pa

from integration_assets.land.hashing import row_hashes
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


def seen(window: int = 500_000) -> Seen:
    """Remember (key, version) rows as the flow does."""
    return Seen(("key", "v"), ("key", "v", "x"), row_hashes, window)


def marked(*rows: tuple[str | None, int | None, int]) -> Batch:
    """Make a batch of rows with a content beside key and version."""
    plain = batch(*((key, version) for key, version, _ in rows))
    return Batch(plain.table.append_column("x", pa.array([row[2] for row in rows], pa.int64())), plain.raw, (), len(rows))


def test_an_equal_record_is_seen_once() -> None:
    """The same record is dropped within a batch, across batches and against the lake; another version stays."""
    memory = seen()
    memory.add(marked(("old", 1, 0)).table)
    first = memory.fresh(marked(("a", 1, 0), ("a", 1, 0), ("a", 2, 0), ("old", 1, 0)))
    second = memory.fresh(marked(("a", 2, 0), ("b", 1, 0)))
    assert [(row["key"], row["v"]) for row in first.table.to_pylist()] == [("a", 1), ("a", 2)]
    assert second.table.column("key").to_pylist() == ["b"]


def test_a_record_that_changed_without_a_new_version_stays() -> None:
    """A correction under the same version is no duplicate, and neither is the way back."""
    memory = seen()
    memory.add(marked(("a", 1, 0)).table)
    assert memory.fresh(marked(("a", 1, 5))).table.num_rows == 1
    assert memory.fresh(marked(("a", 1, 0))).table.num_rows == 1
    assert memory.fresh(marked(("a", 1, 0))).table.num_rows == 0


def test_rows_without_a_key_are_never_duplicates() -> None:
    """Two records that lack their key are two rejects, not one duplicate."""
    assert seen().fresh(marked((None, 1, 0), (None, 1, 0))).table.num_rows == 2


def test_memory_is_bounded_by_the_window() -> None:
    """However many records go by, only the newest are remembered."""
    memory = seen(window=100)
    for start in range(0, 1000, 50):
        memory.fresh(marked(*((str(number), 0, 0) for number in range(start, start + 50))))
        assert len(memory) <= 100
    assert len(memory) >= 50
    assert memory.fresh(marked(("999", 0, 0))).table.num_rows == 0


def test_raw_records_stay_aligned_through_joining_and_filtering() -> None:
    """After batches are joined and rows dropped, each row still leads to its own bytes."""
    joined = combine([batch(("a", 1), ("b", 2)), batch(("c", 3)), batch(), batch(("d", 4))])
    kept = joined.filter(pa.array([False, True, True, True])).filter(pa.array([True, False, True]))
    assert kept.table.column("key").to_pylist() == ["b", "d"]
    assert [kept.raw[0], kept.raw[1]] == [b"b", b"d"]


def test_any_batches_are_sieved_as_one_row_after_the_other() -> None:
    """Cut into whatever batches, rows with repeats pass or not as they do one at a time."""
    chance = random.Random(7)  # noqa: S311 - the same rows each time
    rows = [(chance.choice("abcde"), chance.randint(1, 2), chance.randint(0, 1)) for _ in range(400)]
    alone: dict[tuple[str, int], int] = {}
    expected = []
    for key, version, content in rows:
        if alone.get((key, version)) != content:
            expected.append((key, version, content))
        alone[key, version] = content
    for size in (1, 3, 50, 400):
        memory, found = seen(), []
        for start in range(0, len(rows), size):
            kept = memory.fresh(marked(*rows[start : start + size])).table.to_pylist()
            found += [(row["key"], row["v"], row["x"]) for row in kept]
        assert found == expected
