"""The account of a place: what it holds, version by version, against what the API has shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from integration_assets.feed import Feed
from integration_assets.land.lake import LakeTable
from integration_assets.spec.cursor import CursorValue, watermark
from integration_assets.stores import Stores
from integration_assets_tests.campaign.place import Place
from integration_assets_tests.campaign.upstream import Ledger
from integration_assets_tests.campaign.work import opened

_ALL = 10_000


@dataclass
class Account:
    """What was found.

    records : versions that the API showed.
    lost    : of them, how many are neither in the lake nor in quarantine, or missing in the warehouse.
    doubled : how many are there more often than once.
    wrong   : everything else that does not add up, in words.
    """

    records: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)
    watermark: CursorValue | None = None

    def compare(self, what: str, found: Counter[Any], wanted: Counter[Any], *, once: bool = True) -> None:
        """Count what is missing and what is there too often, unless it may be; what was never shown is wrong."""
        found = found if once else Counter(set(found))
        missing, extra = wanted - found, found - wanted
        foreign = {one for one in extra if one not in wanted}
        self.lost += missing.total()
        self.doubled += sum(number for one, number in extra.items() if one in wanted)
        if missing or extra:
            self.wrong.append(f"{what}: {dict(missing)} missing, {dict(extra)} too many, of them unknown {foreign}")


def account(place: Place, ledger: Ledger, *, mended: bool = False, tidy: bool = False, once: bool = True) -> Account:
    """Hold the place against the ledger.

    mended : the contract was mended and everything replayed.
    once   : each version is in the lake once; not so when a range was asked for that was there, which lands anew.
    tidy   : vacuum as well, which must leave nothing but the table's own files and must take nothing away.
    """
    found = Account(records=len(ledger.shown))
    with place.here(), opened(place.environ, mended=mended) as (feed, stores):
        _lake(found, feed, ledger, mended=mended, once=once)
        _receipts(found, feed)
        _quarantine(found, feed, ledger, mended=mended)
        _warehouse(found, stores, place, ledger, mended=mended)
        if tidy:
            _orphans(found, feed.table)
            _lake(found, feed, ledger, mended=mended, once=once)
    return found


def frontier(place: Place) -> CursorValue | None:
    """The watermark, as the lake has it now."""
    with place.here(), opened(place.environ) as (feed, _):
        return watermark(feed.table.state().finished, feed.stream.origin)


def _lake(found: Account, feed: Feed, ledger: Ledger, *, mended: bool, once: bool) -> None:
    table = feed.table
    rows = [row for batch in table.scan(table.snapshot_files(), ["id", "changed_at"]) for row in batch.to_pylist()]
    there = Counter((row["id"], row["changed_at"].isoformat()) for row in rows)
    found.compare("lake", there, ledger.good(mended=mended), once=once)
    found.watermark = watermark(table.state().finished, feed.stream.origin)


def _receipts(found: Account, feed: Feed) -> None:
    receipts = feed.table.receipts(limit=_ALL)
    for receipt in receipts:
        if not receipt.adds_up:
            found.wrong.append(f"receipt {receipt.version}: {receipt.fetched} fetched do not add up")
    landed = sum(receipt.accepted for receipt in receipts)
    if landed != feed.table.count():
        found.wrong.append(f"receipts tell of {landed} rows, the lake has {feed.table.count()}")
    marks = [
        datetime.fromisoformat(str(mark))
        for receipt in reversed(receipts)
        for mark in (receipt.watermark_before, receipt.watermark_after)
        if mark is not None
    ]
    if marks != sorted(marks):
        found.wrong.append(f"the watermark went back: {marks}")


def _quarantine(found: Account, feed: Feed, ledger: Ledger, *, mended: bool) -> None:
    source, stream = feed.source.name, feed.stream.name
    entries = feed.quarantine.entries(source, stream)
    payloads = feed.quarantine.payloads(source, stream, [entry.identity for entry in entries])
    found.compare("quarantine", Counter(payloads[entry.identity] for entry in entries), ledger.bad())
    state = "replayed" if mended else "open"
    others = [entry for entry in entries if entry.state != state]
    if others:
        found.wrong.append(f"quarantine: {[(one.key, one.state) for one in others]} are not {state}")


def _warehouse(found: Account, stores: Stores, place: Place, ledger: Ledger, *, mended: bool) -> None:
    sql = f"SELECT id, amount, changed_at FROM {place.table} WHERE _deleted_at IS NULL"
    rows = Counter(tuple(row.values()) for row in stores.warehouse.query(sql).to_pylist())
    found.compare("warehouse", rows, Counter(ledger.rows(mended=mended)))
    keys = stores.warehouse.query(f"SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM {place.table}")
    (row,) = keys.to_pylist()
    if row["n"] != row["ids"]:
        found.doubled += row["n"] - row["ids"]
        found.wrong.append(f"warehouse: {row['n']} rows of {row['ids']} keys")


def _orphans(found: Account, table: LakeTable) -> None:
    """One vacuum without grace takes all files of killed runs; a second one finds none."""
    table.vacuum(hours=0)
    left = table.vacuum(hours=0)
    if left:
        found.wrong.append(f"{len(left)} files of killed runs outlive a vacuum")
