"""Merges: which version of a record the table has, whatever order, split and repetition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from integration_assets.errors import WarehouseError
from integration_assets.land.fingerprint import lake_fingerprint
from integration_assets.land.warehouse import Target
from integration_assets_tests.land.helpers import CONTRACT, SCHEMA, day, days, land, row
from integration_assets_tests.land.parity.conftest import Pair, bigquery_in_soak, pairs_with

TARGET = Target("shop", "orders", CONTRACT, {"id": "The order's number."}, ("id",), "at", "merge", tombstones=True)
PLAIN = replace(TARGET, tombstones=False)


def test_the_newest_version_of_each_key_is_in_the_table(pair: Pair) -> None:
    """Several versions in one merge and in the next leave one row per key, the newest, and the counts say what happened.

    A tombstone marks its row, which keeps its values and leaves the live view.
    """
    land(pair.table(), [row("a", 1, 1), row("a", 3, 3), row("a", 2, 2), row("b", 1, 10), row("d", 1, 7)], days(0, 4))
    first = pair.warehouse.merge(TARGET, pair.table(), "run 1")
    assert (first.lake_version_before, first.lake_version_after, first.rows_read) == (None, 1, 5)
    assert (first.inserted, first.updated, first.deleted, first.rows_total) == (3, 0, 0, 3)
    land(pair.table(), [row("a", 4, 4), row("b", 0.5, 99), row("c", 4, 5), row("d", 4, None, deleted=True)], days(4, 5))
    second = pair.warehouse.merge(TARGET, pair.table(), "run 2")
    assert (second.lake_version_before, second.lake_version_after, second.rows_read) == (1, 2, 4)
    assert (second.inserted, second.updated, second.deleted, second.rows_total) == (1, 1, 1, 4)
    assert pair.state(TARGET, "n", "_deleted_at") == {"a": (4, None), "b": (10, None), "c": (5, None), "d": (7, day(4))}
    assert {one["id"]: one["at"] for one in pair.rows(TARGET, "_live")} == {"a": day(4), "b": day(1), "c": day(4)}


@bigquery_in_soak
def test_a_merge_repeated_finds_nothing_new(pair: Pair) -> None:
    """A run killed between the lake's commit and the merge is mended by the next merge, and a third one does nothing."""
    land(pair.table(), [row("a", 1, 1)], days(0, 2))
    assert pair.warehouse.version("shop", "orders") is None
    land(pair.table(), [row("a", 2, 2)], days(2, 3))
    pair.warehouse.merge(PLAIN, pair.table(), "later")
    again = pair.warehouse.merge(PLAIN, pair.table(), "again")
    assert (again.rows_read, again.inserted, again.updated, again.lake_version_after) == (0, 0, 0, 2)
    assert pair.warehouse.version("shop", "orders") == 2
    assert pair.warehouse.doubled_keys(PLAIN) == 0


@bigquery_in_soak
def test_a_frontier_without_rows_is_recorded(pair: Pair) -> None:
    """An empty slice makes the table and moves the recorded version, so nobody looks behind."""
    land(pair.table(), [], days(0, 1))
    result = pair.warehouse.merge(TARGET, pair.table(), "run")
    assert (result.lake_version_after, result.rows_total) == (1, 0)
    assert pair.warehouse.version("shop", "orders") == 1
    assert pair.rows(TARGET) == []


def test_no_lake_table_is_no_merge(pair: Pair) -> None:
    """A stream that never landed anything leaves the warehouse as it is."""
    assert pair.warehouse.merge(TARGET, pair.table(), "run").rows_total == 0
    assert pair.warehouse.version("shop", "orders") is None
    assert pair.warehouse.doubled_keys(TARGET) == 0


@bigquery_in_soak
def test_ties_go_to_the_later_extraction(pair: Pair) -> None:
    """Of two rows with one version the one pulled later counts, whichever is merged first."""
    land(pair.table(), [row("a", 1, 1, extracted=20), row("b", 1, 3, extracted=10)], days(0, 2))
    pair.warehouse.merge(PLAIN, pair.table(), "run")
    land(pair.table(), [row("a", 1, 2, extracted=10), row("b", 1, 2, extracted=20)], days(0, 2))
    pair.warehouse.merge(PLAIN, pair.table(), "run")
    assert pair.state(PLAIN, "n") == {"a": (1,), "b": (2,)}


@bigquery_in_soak
def test_tombstones_keep_the_last_known_values(pair: Pair) -> None:
    """A record that is gone keeps its values and is marked with when; the live view does not show it."""
    land(pair.table(), [row("a", 1, 7), row("b", 1, 8)], days(0, 2))
    pair.warehouse.merge(TARGET, pair.table(), "run")
    land(pair.table(), [row("a", 2, None, deleted=True)], days(2, 3))
    result = pair.warehouse.merge(TARGET, pair.table(), "run")
    assert (result.deleted, result.rows_total) == (1, 2)
    assert pair.state(TARGET, "n", "at", "_deleted_at") == {"a": (7, day(2), day(2)), "b": (8, day(1), None)}
    assert pair.rows(TARGET, "_live") == [{"id": "b", "n": 8, "at": day(1)}]


@bigquery_in_soak
def test_a_deleted_record_comes_back_only_with_a_newer_version(pair: Pair) -> None:
    """A record that came and went in one merge keeps its values; a tombstone for an unknown key holds off older versions."""
    gone = [row("c", 2, None, deleted=True), row("c", 1, 7)]
    land(pair.table(), [row("a", 5, None, deleted=True), row("b", 5, None, deleted=True), *gone], days(1, 6))
    pair.warehouse.merge(TARGET, pair.table(), "run")
    land(pair.table(), [row("a", 4, 1), row("b", 6, 2)], days(4, 7))
    pair.warehouse.merge(TARGET, pair.table(), "run")
    assert pair.state(TARGET, "n", "at", "_deleted_at") == {
        "a": (None, day(5), day(5)),
        "b": (2, day(6), None),
        "c": (7, day(2), day(2)),
    }


def test_a_row_is_found_in_whatever_partition_it_lies(pair: Pair) -> None:
    """Versions years apart, and versions that are null, update their row and do not stand beside it."""
    undated = {**row("c", 1, 1), "at": None}
    land(pair.table(), [row("a", 1, 1), row("b", 900, 1), undated], days(0, 901))
    pair.warehouse.merge(PLAIN, pair.table(), "run")
    land(pair.table(), [row("a", 1000, 2), row("b", 2, 2), row("c", 3, 2)], days(1, 1001))
    result = pair.warehouse.merge(PLAIN, pair.table(), "run")
    assert (result.inserted, result.updated) == (0, 2)
    assert pair.state(PLAIN, "n") == {"a": (2,), "b": (1,), "c": (2,)}


@bigquery_in_soak
def test_a_version_may_be_a_number_or_none(pair: Pair) -> None:
    """Without a version column the later extraction counts; with a number, `_deleted_at` is when the tombstone was pulled."""
    unversioned, numbered = replace(PLAIN, version=None), replace(TARGET, stream="numbered", version="n")
    land(pair.table(), [row("a", 1, 2, extracted=2)], None)
    pair.warehouse.merge(unversioned, pair.table(), "run")
    land(pair.table(), [row("a", 1, 3, extracted=1)], None)
    pair.warehouse.merge(unversioned, pair.table(), "run")
    assert pair.state(unversioned, "n") == {"a": (2,)}
    land(pair.table("numbered"), [row("a", 1, 3, deleted=True, extracted=9)], days(0, 2))
    pair.warehouse.merge(numbered, pair.table("numbered"), "run")
    assert pair.state(numbered, "n", "_deleted_at") == {"a": (3, day(9))}


def test_append_with_a_key_keeps_each_version_once(pair: Pair) -> None:
    """An event log has every version once, however often it was landed."""
    target = replace(PLAIN, disposition="append")
    for _ in range(2):
        land(pair.table(), [row("a", 1, 1), row("a", 2, 2), row("a", 1, 1), row("b", 1, 3)], days(0, 3))
        pair.warehouse.merge(target, pair.table(), "run")
    found = sorted((one["id"], one["n"]) for one in pair.rows(target))
    assert found == [("a", 1), ("a", 2), ("b", 3)]
    assert pair.warehouse.doubled_keys(target) == 0
    assert pair.warehouse.fingerprint(target) == lake_fingerprint(target, pair.table())


def test_append_without_a_key_takes_each_file_once(pair: Pair) -> None:
    """Rows without a key are added as they come, not again with compaction, and not again when the lake must be reread."""
    target = replace(PLAIN, key=(), disposition="append")
    table = pair.table()
    land(table, [row("a", 1), row("a", 1)], days(0, 2))
    pair.warehouse.merge(target, table, "run")
    table.compact()
    land(table, [row("b", 1)], days(2, 3))
    assert pair.warehouse.merge(target, table, "run").inserted == 1
    land(table, [row("c", 1)], days(3, 4))
    table.compact()
    table.vacuum(hours=0)
    rebuilt = pair.warehouse.merge(target, table, "run")
    assert (rebuilt.rows_read, rebuilt.rows_total) == (4, 4)
    assert pair.warehouse.fingerprint(target) == lake_fingerprint(target, table)


def test_replace_takes_the_newest_snapshot_whole(pair: Pair) -> None:
    """The table is the last full snapshot, also when several landed since, and also after compaction and vacuum."""
    target = replace(PLAIN, version=None, disposition="replace")
    table = pair.table()
    land(table, [row("a", 1, 1, extracted=1), row("b", 1, 1, extracted=1)], None, content_hash="1")
    land(table, [row("b", 1, 2, extracted=2), row("c", 1, 2, extracted=2)], None, content_hash="2")
    pair.warehouse.merge(target, table, "run")
    assert pair.state(target, "n") == {"b": (2,), "c": (2,)}
    land(table, [row("x", 1, 3, extracted=3)], None, content_hash="3")
    land(table, [row("d", 1, 4, extracted=4)], None, content_hash="4")
    result = pair.warehouse.merge(target, table, "run")
    assert (result.inserted, result.deleted, result.rows_total) == (1, 2, 1)
    land(table, [row("e", 1, 5, extracted=5)], None, content_hash="5")
    table.compact()
    table.vacuum(hours=0)
    pair.warehouse.merge(target, table, "run")
    assert pair.state(target, "n") == {"e": (5,)}
    land(table, [], None, content_hash="6")
    emptied = pair.warehouse.merge(target, table, "run")
    assert (emptied.deleted, emptied.rows_total) == (1, 0)


@bigquery_in_soak
def test_a_snapshot_that_shows_a_record_twice_has_it_once(pair: Pair) -> None:
    """A list that moved while it was read shows a record twice: the newest version is in the table, and the lake says so too."""
    target = replace(PLAIN, disposition="replace")
    land(pair.table(), [row("a", 2, 2), row("b", 1, 1), row("a", 1, 1)], None, content_hash="1", started=day(100))
    assert pair.warehouse.merge(target, pair.table(), "run").inserted == 2
    assert pair.state(target, "n") == {"a": (2,), "b": (1,)}
    assert pair.warehouse.doubled_keys(target) == 0
    assert pair.warehouse.fingerprint(target) == lake_fingerprint(target, pair.table())


@bigquery_in_soak
def test_a_cleaned_lake_is_merged_from_its_snapshot(pair: Pair) -> None:
    """When the versions since the last merge are gone, the snapshot gives the same table."""
    table = pair.table()
    land(table, [row("a", 1, 1)], days(0, 2))
    pair.warehouse.merge(PLAIN, table, "run")
    land(table, [row("a", 2, 2)], days(2, 3))
    land(table, [row("b", 3, 3)], days(3, 4))
    table.compact()
    table.vacuum(hours=0)
    assert pair.warehouse.merge(PLAIN, table, "run").rows_read == 3
    assert pair.state(PLAIN, "n") == {"a": (2,), "b": (3,)}
    assert pair.warehouse.version("shop", "orders") == table.version()


@bigquery_in_soak
def test_a_lake_made_anew_is_merged_from_its_start(pair: Pair) -> None:
    """Versions of another lake table do not count as seen, even when it has as many."""
    for name in ("one", "two"):
        land(pair.table(name), [row(name, 1, 1)], days(0, 2))
        pair.warehouse.merge(PLAIN, pair.table(name), "run")
    assert set(pair.state(PLAIN, "n")) == {"one", "two"}


@bigquery_in_soak
def test_a_failed_merge_changes_nothing(pair: Pair) -> None:
    """A row that the table refuses rolls everything back, table and ledger alike."""
    land(pair.table(), [row("a", 1, 1), {**row("b", 1, 1), "id": None}], days(0, 2))
    with pytest.raises(WarehouseError, match="NOT NULL"):
        pair.warehouse.merge(PLAIN, pair.table(), "run")
    assert pair.warehouse.version("shop", "orders") is None


@bigquery_in_soak
def test_a_keyless_append_is_not_doubled_by_a_lake_made_anew(pair: Pair) -> None:
    """A lake that was moved away and pulled again gives the same rows: they take the place of the first ones."""
    target = replace(PLAIN, key=(), disposition="append")
    for name in ("one", "two"):
        table = pair.table(name)
        table.prepare(SCHEMA)
        # Before its first commit, a new lake says nothing about the rows that are there.
        pair.warehouse.merge(target, table, "run")
        assert len(pair.rows(target)) == (0 if name == "one" else 2)
        land(table, [row("a", 1), row("a", 1)], days(0, 2))
        assert pair.warehouse.merge(target, table, "run").rows_total == 2


@pairs_with("disposition", ["merge"], in_soak=["append", "replace", "history"])
def test_rows_deleted_from_the_lake_leave_the_table(pair: Pair, disposition: str) -> None:
    """The right to be forgotten reaches the warehouse with the next merge, whatever came with it, up to the last row."""
    target = replace(PLAIN, disposition=disposition)
    table = pair.table()
    land(table, [row("a", 1, 1), row("b", 1, 1), row("b", 2, 2)], days(0, 3))
    pair.warehouse.merge(target, table, "run")
    table.delete("id = 'b'")
    result = pair.warehouse.merge(target, table, "run")
    assert pair.state(target, "n") == {"a": (1,)}
    assert (result.inserted, result.rows_total) == (1, 1)
    table.delete("true")
    assert pair.warehouse.merge(target, table, "run").rows_total == 0


@bigquery_in_soak
def test_a_newer_version_that_is_deleted_gives_way_to_the_older(pair: Pair) -> None:
    """When only a record's newest version is forgotten, its values go from the table too, while others land."""
    table = pair.table()
    land(table, [row("a", 1, 1), row("a", 2, 2)], days(0, 3))
    pair.warehouse.merge(TARGET, table, "run")
    table.delete("n = 2")
    table.compact()
    table.vacuum(hours=0)
    land(table, [row("b", 3, 3)], days(3, 4))
    pair.warehouse.merge(TARGET, table, "run")
    assert pair.state(TARGET, "n") == {"a": (1,), "b": (3,)}
