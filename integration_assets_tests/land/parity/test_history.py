"""Histories: one row a version of a record, each with the range in which it held, whatever order versions come in."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from integration_assets.errors import WarehouseError
from integration_assets.land.fingerprint import lake_fingerprint
from integration_assets.land.warehouse import Target
from integration_assets_tests.land.helpers import CONTRACT, SCHEMA, TECHNICAL, day, days, land, row
from integration_assets_tests.land.histories import COLUMNS, HISTORY, seen, truth
from integration_assets_tests.land.parity.conftest import Pair, bigquery_in_soak, pairs_with


def history(pair: Pair, target: Target = HISTORY) -> list[tuple[Any, ...]]:
    """The rows by key and version."""
    found = [tuple(one[name] for name in COLUMNS) for one in pair.rows(target)]
    return sorted(found, key=lambda one: (one[0], one[2]))


@bigquery_in_soak
def test_each_version_has_its_range(pair: Pair) -> None:
    """A version holds until the next one; the newest is current, in the table and in the view; the counts say what happened."""
    land(pair.table(), [row("a", 1, 1), row("a", 3, 3), row("b", 1, 10)], days(0, 4))
    first = pair.warehouse.merge(HISTORY, pair.table(), "run 1")
    assert (first.rows_read, first.inserted, first.updated, first.deleted, first.rows_total) == (3, 3, 0, 0, 3)
    land(pair.table(), [row("a", 4, 4), row("c", 4, 5)], days(4, 5))
    second = pair.warehouse.merge(HISTORY, pair.table(), "run 2")
    assert (second.inserted, second.updated, second.deleted, second.rows_total) == (2, 0, 0, 5)
    assert history(pair) == [
        ("a", 1, day(1), day(3), False, None),
        ("a", 3, day(3), day(4), False, None),
        ("a", 4, day(4), None, True, None),
        ("b", 10, day(1), None, True, None),
        ("c", 5, day(4), None, True, None),
    ]
    assert pair.rows(HISTORY, "_current") == [
        {"id": "a", "n": 4, "at": day(4)},
        {"id": "b", "n": 10, "at": day(1)},
        {"id": "c", "n": 5, "at": day(4)},
    ]
    assert pair.warehouse.doubled_keys(HISTORY) == 0


@bigquery_in_soak
def test_a_late_version_takes_its_place_and_an_old_one_again_none(pair: Pair) -> None:
    """A version that comes after its successor is put before it; one that comes again doubles nothing; a correction replaces."""
    land(pair.table(), [row("a", 1, 1, extracted=10), row("a", 5, 5, extracted=10)], days(0, 6))
    pair.warehouse.merge(HISTORY, pair.table(), "run")
    land(pair.table(), [row("a", 3, 3, extracted=11), row("a", 1, 1, extracted=11), row("a", 5, 55, extracted=11)], days(0, 6))
    late = pair.warehouse.merge(HISTORY, pair.table(), "run")
    assert (late.inserted, late.updated, late.rows_total) == (1, 2, 3)
    land(pair.table(), [row("a", 5, 5, extracted=9)], days(0, 6))
    pair.warehouse.merge(HISTORY, pair.table(), "run")
    assert history(pair) == [
        ("a", 1, day(1), day(3), False, None),
        ("a", 3, day(3), day(5), False, None),
        ("a", 55, day(5), None, True, None),
    ]


@bigquery_in_soak
def test_a_deletion_ends_the_last_version(pair: Pair) -> None:
    """The row is ended and marked, no row is added; one that comes back begins anew, and what comes late is ended as well."""
    land(pair.table(), [row("a", 1, 1), row("b", 1, 1), row("d", 5, None, deleted=True)], days(0, 2))
    pair.warehouse.merge(HISTORY, pair.table(), "run")
    land(pair.table(), [row("a", 4, None, deleted=True), row("b", 1, None, deleted=True, extracted=101)], days(2, 5))
    result = pair.warehouse.merge(HISTORY, pair.table(), "run")
    assert (result.inserted, result.deleted, result.rows_total) == (0, 2, 2)
    # The same version, first live and then gone, held for no time at all.
    gone = [("a", 1, day(1), day(4), False, day(4)), ("b", 1, day(1), day(1), False, day(1))]
    assert history(pair) == gone
    assert pair.rows(HISTORY, "_current") == []
    land(pair.table(), [row("a", 6, 6), row("a", 2, 2), row("d", 3, 3)], days(5, 7))
    assert pair.warehouse.merge(HISTORY, pair.table(), "run").deleted == 2
    assert history(pair) == [
        ("a", 1, day(1), day(2), False, None),
        ("a", 2, day(2), day(4), False, day(4)),
        ("a", 6, day(6), None, True, None),
        gone[1],
        ("d", 3, day(3), day(5), False, day(5)),
    ]
    assert pair.warehouse.doubled_keys(HISTORY) == 0


@bigquery_in_soak
def test_a_history_is_the_same_when_it_is_built_again(pair: Pair) -> None:
    """From the lake's snapshot after compaction, after a deletion of rows, and after the table was dropped."""
    versions = [seen(key, version, pulled) for key in "ab" for version, pulled in ((1, 100), (3, 101), (2, 102), (3, 100))]
    for part in (versions[:4], versions[4:]):
        land(pair.table(), [one.row() for one in part], None)
        pair.warehouse.merge(HISTORY, pair.table(), "run")
    assert history(pair) == truth(versions)
    pair.table().delete("id = 'b'")
    pair.warehouse.merge(HISTORY, pair.table(), "run")
    assert history(pair) == truth([one for one in versions if one.key == "a"])


@pairs_with("chance", [0], in_soak=range(1, 8))
def test_any_order_gives_the_same_history(pair: Pair, chance: int) -> None:
    """Versions, corrections and tombstones of two keys in a random order over two merges are what the plain definition says."""
    dice = random.Random(chance)  # noqa: S311 - which order, repeatably
    versions = [seen(dice.choice("ab"), dice.randint(0, 5), dice.randint(100, 102)) for _ in range(16)]
    for part in (versions[:9], versions[9:]):
        land(pair.table(), [one.row() for one in part], None)
        merged = pair.warehouse.merge(HISTORY, pair.table(), "run")
    wanted = truth(versions)
    assert history(pair) == wanted
    assert merged.rows_total == len(wanted)
    current = [dict(zip(("id", "n", "at"), one[:3], strict=True)) for one in wanted if one[4]]
    assert pair.rows(HISTORY, "_current") == current
    assert pair.warehouse.fingerprint(HISTORY) == lake_fingerprint(HISTORY, pair.table())
    assert pair.warehouse.doubled_keys(HISTORY) == 0


@bigquery_in_soak
def test_a_history_may_be_by_number_or_by_pull_and_have_odd_keys(pair: Pair) -> None:
    """The range has the version's type; without a version it is the time of the pull; keys may be of several columns."""
    numbered = replace(HISTORY, stream="numbered", version="n")
    land(pair.table("numbered"), [row("a", 9, 3), row("a", 1, 7), row("a", 2, 9, deleted=True, extracted=50)], None)
    pair.warehouse.merge(numbered, pair.table("numbered"), "run")
    assert [(one[2], one[3], one[5]) for one in history(pair, numbered)] == [(3, 7, None), (7, 9, day(50))]
    contract = pa.schema([*CONTRACT, ("row", pa.string()), ("to", pa.string())])
    pulled = Target("shop", "pulled", contract, {}, ("id", "row", "to"), None, "history")
    one = row("a", 1, 1, extracted=1) | {"row": "x", "to": "y"}
    schema = pa.schema([*contract, *TECHNICAL])
    land(pair.table("pulled"), [one, one | {"n": 2, "_extracted_at": day(2)}, one | {"to": "z"}], None, schema=schema)
    pair.warehouse.merge(pulled, pair.table("pulled"), "run")
    found = [(one["to"], one["n"], one["_valid_from"], one["_valid_to"]) for one in pair.rows(pulled)]
    assert sorted(found, key=str) == [("y", 1, day(1), day(2)), ("y", 2, day(2), None), ("z", 1, day(1), None)]


@bigquery_in_soak
def test_a_history_grows_with_the_contract(pair: Pair) -> None:
    """A new column is there for new versions, and in the view."""
    land(pair.table(), [row("a", 1, 1)], days(0, 2))
    pair.warehouse.merge(HISTORY, pair.table(), "run")
    wide = pa.schema([*CONTRACT, ("note", pa.string())])
    land(pair.table(), [row("a", 2, 2) | {"note": "x"}], days(2, 3), schema=pa.schema([*SCHEMA, ("note", pa.string())]))
    pair.warehouse.merge(replace(HISTORY, contract_schema=wide), pair.table(), "run")
    assert [one["note"] for one in sorted(pair.rows(HISTORY), key=lambda one: one["at"])] == [None, "x"]
    assert pair.rows(HISTORY, "_current") == [{"id": "a", "n": 2, "at": day(2), "note": "x"}]


@bigquery_in_soak
def test_a_table_of_another_disposition_is_refused(pair: Pair) -> None:
    """A stream that becomes a history, or is none any more, says to drop the table; after that it is built from the lake."""
    land(pair.table(), [row("a", 1, 1)], days(0, 2))
    land(pair.table(), [row("a", 2, 2)], days(2, 3))
    merged = replace(HISTORY, disposition="merge")
    pair.warehouse.merge(merged, pair.table(), "run")
    with pytest.raises(WarehouseError, match=r"orders is no history.*disposition is history.*Drop the table"):
        pair.warehouse.merge(HISTORY, pair.table(), "run")
