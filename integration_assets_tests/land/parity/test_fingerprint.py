"""Whether the table has what the lake says it must have, asked of both with a count and a hash."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from integration_assets.land.fingerprint import lake_fingerprint, recent
from integration_assets.land.warehouse import Target
from integration_assets.spec.cursor import CursorValue
from integration_assets_tests.land.helpers import CONTRACT, TECHNICAL, day, days, land, row
from integration_assets_tests.land.parity.conftest import Pair, bigquery_in_soak

MERGE = Target("shop", "orders", CONTRACT, {}, ("id",), "at", "merge", tombstones=True)
APPEND = replace(MERGE, disposition="append", tombstones=False)
REPLACE = replace(APPEND, disposition="replace")
HISTORY = replace(MERGE, disposition="history")


def alike(pair: Pair, target: Target, since: CursorValue | None = None) -> bool:
    """Whether lake and table have the same rows, at the lake's version that the table has reached."""
    reached = pair.warehouse.version("shop", "orders")
    assert reached is not None
    return lake_fingerprint(target, pair.table().at(reached), since) == pair.warehouse.fingerprint(target, since)


def change(pair: Pair, target: Target, sql: str) -> None:
    """What nobody should do to the table."""
    pair.warehouse.query(sql.format(table=pair.warehouse.table_name(target)))


def merge(pair: Pair, target: Target) -> None:
    """Bring the table up to the lake."""
    pair.warehouse.merge(target, pair.table(), "run")


def test_a_merge_table_has_the_newest_version_of_each_key(pair: Pair) -> None:
    """Versions, ties, tombstones and a record that came back, over three merges: both sides count and hash alike."""
    land(pair.table(), [row("a", 1), row("a", 3), row("b", 1), row("c", 1), row("d", 2)], days(0, 4))
    merge(pair, MERGE)
    land(
        pair.table(),
        [row("a", 2), row("b", 4, deleted=True), row("x", 4, deleted=True), row("d", 2, 7, extracted=101)],
        days(4, 5),
    )
    merge(pair, MERGE)
    land(pair.table(), [row("c", 5, deleted=True, extracted=101), row("x", 6, extracted=102)], days(5, 7))
    merge(pair, MERGE)
    found = pair.warehouse.fingerprint(MERGE)
    assert (found.rows, found.live) == (5, 3)
    assert alike(pair, MERGE)
    assert alike(pair, MERGE, day(4))
    assert pair.warehouse.fingerprint(MERGE, day(4)).rows == 3


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM {table} WHERE id = 'a'",
        "UPDATE {table} SET _deleted_at = _extracted_at WHERE id = 'a'",
        "UPDATE {table} SET id = 'z' WHERE id = 'a'",
        "INSERT INTO {table} SELECT * REPLACE ('z' AS id) FROM {table} WHERE id = 'a'",
    ],
)
@pytest.mark.parametrize("pair", ["duckdb"], indirect=True)
def test_a_table_that_someone_changed_differs(pair: Pair, sql: str) -> None:
    """A row taken away, marked as deleted, renamed or added is told by count or hash, in the table and in what is recent."""
    land(pair.table(), [row("a", 3), row("b", 1)], days(0, 4))
    merge(pair, MERGE)
    assert alike(pair, MERGE)
    change(pair, MERGE, sql)
    assert not alike(pair, MERGE)
    assert not alike(pair, MERGE, day(2))


@bigquery_in_soak
def test_what_is_recent_is_two_days_of_versions(pair: Pair) -> None:
    """The window goes back from the newest version that the lake has, so a change of an old row is not seen in it."""
    land(pair.table(), [row("a", 1), row("b", 8), row("c", 9)], days(0, 10))
    merge(pair, MERGE)
    since = recent(MERGE, pair.table(), lambda newest: newest - timedelta(days=2))
    assert since == day(7)
    assert pair.warehouse.fingerprint(MERGE, since).rows == 2
    change(pair, MERGE, "DELETE FROM {table} WHERE id = 'a'")
    assert alike(pair, MERGE, since)
    assert not alike(pair, MERGE)


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us")])
@pytest.mark.parametrize("pair", ["duckdb"], indirect=True)
def test_versions_that_engines_spell_differently_are_compared_whole(pair: Pair, kind: pa.DataType) -> None:
    """A date, or a time without zone, orders versions too; what is recent of them is everything."""
    contract = pa.schema([("id", pa.string()), ("at", kind)])
    target = replace(MERGE, contract_schema=contract)
    moment = day(1).date() if pa.types.is_date(kind) else day(1).replace(tzinfo=None)
    given = [{"id": "a", "at": moment, "_deleted": False, "_extracted_at": day(1), "_run_id": "run"}]
    land(pair.table(), given, schema=pa.schema([*contract, *TECHNICAL]))
    merge(pair, target)
    assert recent(target, pair.table(), lambda newest: newest - timedelta(days=2)) is None
    assert alike(pair, target)


@bigquery_in_soak
def test_a_lake_that_is_ahead_is_compared_where_the_table_is(pair: Pair) -> None:
    """Commits that are not merged yet do not count: the lake is read at the version that the table has reached."""
    land(pair.table(), [row("a", 1)], days(0, 2))
    merge(pair, MERGE)
    land(pair.table(), [row("a", 3), row("b", 3)], days(2, 4))
    assert alike(pair, MERGE)
    assert lake_fingerprint(MERGE, pair.table()).rows == 2


@bigquery_in_soak
def test_an_append_table_has_each_version_once(pair: Pair) -> None:
    """A version that the lake has twice is there once; one that is missing is told."""
    land(pair.table(), [row("a", 1), row("a", 2), row("a", 2), row("b", 2)], days(0, 3))
    merge(pair, APPEND)
    assert alike(pair, APPEND)
    assert pair.warehouse.fingerprint(APPEND).rows == 3
    change(pair, APPEND, "DELETE FROM {table} WHERE id = 'b'")
    assert not alike(pair, APPEND)


@bigquery_in_soak
def test_without_a_key_rows_are_counted(pair: Pair) -> None:
    """An append table without a key has as many rows as the lake, doubles included."""
    keyless = replace(APPEND, key=(), version=None)
    land(pair.table(), [row("a", 1), row("a", 1), row("b", 2)], days(0, 3))
    merge(pair, keyless)
    assert pair.warehouse.fingerprint(keyless).rows == 3
    assert alike(pair, keyless)
    change(pair, keyless, "DELETE FROM {table} WHERE id = 'b'")
    assert not alike(pair, keyless)


@bigquery_in_soak
def test_a_replaced_table_is_the_newest_snapshot(pair: Pair) -> None:
    """Of a lake of snapshots the last one counts, told by when its pull began; it may be empty."""
    land(pair.table(), [row("a", 1, extracted=1), row("b", 1, extracted=1)], started=day(1), content_hash="one")
    merge(pair, REPLACE)
    land(pair.table(), [row("b", 2, extracted=2), row("c", 2, extracted=2)], started=day(2), content_hash="two")
    merge(pair, REPLACE)
    assert pair.warehouse.fingerprint(REPLACE).rows == 2
    assert alike(pair, REPLACE)
    change(pair, REPLACE, "UPDATE {table} SET id = 'a' WHERE id = 'c'")
    assert not alike(pair, REPLACE)


@bigquery_in_soak
def test_a_history_has_each_version_that_is_no_deletion(pair: Pair) -> None:
    """A row a version, over merges in any order; a deletion ends a range and has no row of its own."""
    land(pair.table(), [row("a", 3), row("b", 1), row("b", 2, deleted=True)], days(0, 4))
    merge(pair, HISTORY)
    land(pair.table(), [row("a", 1), row("a", 3, 9, extracted=101), row("b", 4), row("x", 4, deleted=True)], days(4, 5))
    merge(pair, HISTORY)
    assert pair.warehouse.fingerprint(HISTORY).rows == 4
    assert alike(pair, HISTORY)
    assert alike(pair, HISTORY, day(2))
    change(pair, HISTORY, "DELETE FROM {table} WHERE id = 'b' AND _is_current")
    assert not alike(pair, HISTORY)


def test_every_type_that_a_key_may_have_is_hashed_alike(pair: Pair) -> None:
    """Numbers, dates, times, booleans and text with marks of their own give one hash on each side."""
    fields = [("n", pa.int64()), ("on", pa.date32()), ("seen", pa.timestamp("us")), ("yes", pa.bool_()), ("id", pa.string())]
    contract = pa.schema([*fields, ("at", pa.timestamp("us", "UTC"))])
    target = replace(MERGE, contract_schema=contract, key=("n", "on", "seen", "yes", "id"))
    naive = day(1).replace(tzinfo=None)
    values = [(-5, naive.date(), naive, True, "ä|~'\""), (2**62, naive.date(), naive + timedelta(microseconds=1), False, "")]
    given = [
        {"n": n, "on": on, "seen": seen, "yes": yes, "id": id_, "at": day(1) + timedelta(microseconds=3), "_deleted": False}
        | {"_extracted_at": day(1), "_run_id": "run"}
        for n, on, seen, yes, id_ in values
    ]
    land(pair.table(), given, days(0, 2), schema=pa.schema([*contract, *TECHNICAL]))
    merge(pair, target)
    assert alike(pair, target)


def test_a_table_that_is_not_there_has_no_rows(pair: Pair) -> None:
    """Before the first merge the table is empty, and asking is no error."""
    assert pair.warehouse.fingerprint(MERGE).rows == 0
