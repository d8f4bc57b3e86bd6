"""Two runs that merge one stream at the same time, and runs that merge neighbours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from integration_assets_tests.land.helpers import days, land, row
from integration_assets_tests.land.parity.conftest import Pair, bigquery_in_soak, pairs_with
from integration_assets_tests.land.parity.test_merging import PLAIN


@pairs_with("disposition", ["append"], in_soak=["merge"])
def test_of_merges_at_once_one_does_the_work(pair: Pair, disposition: str) -> None:
    """One takes the rows, the others find nothing new; also rows without a key are there once."""
    target = replace(PLAIN, disposition=disposition, key=("id",) if disposition == "merge" else ())
    land(pair.table(), [row("a", 1, 1), row("b", 1, 1)], days(0, 1))
    pair.warehouse.merge(target, pair.table(), "before")
    land(pair.table(), [row("a", 2, 2), row("b", 2, 2)], days(1, 2))
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda run: pair.warehouse.merge(target, pair.table(), run), ["one", "two", "three"]))
    assert sorted(result.rows_read for result in results) == [0, 0, 2]
    assert {result.lake_version_after for result in results} == {2}
    assert len(pair.rows(target)) == (2 if disposition == "merge" else 4)


@bigquery_in_soak
def test_streams_do_not_hinder_each_other(pair: Pair) -> None:
    """Merges of several streams at once all succeed."""
    names = ["one", "two"]
    for name in names:
        land(pair.table(name), [row("a", 1, 1)], days(0, 2))
        pair.warehouse.merge(replace(PLAIN, stream=name), pair.table(name), "before")
        land(pair.table(name), [row("b", 2, 1)], days(2, 3))
    with ThreadPoolExecutor(3) as pool:
        merged = pool.map(lambda n: pair.warehouse.merge(replace(PLAIN, stream=n), pair.table(n), n), names)
        assert [result.inserted for result in merged] == [1, 1]
