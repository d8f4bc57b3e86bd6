"""Ours, everything on: contract, gate, accounting, Delta commit; with `--merge`, the warehouse's table too."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.contenders.job import Job, finish, job
from benchmarks.records import START, YEAR
from integration_assets.feed import open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import Cursor, Limits, Offset, Partitions, Source, Stream, Token
from integration_assets.spec.cursor import Slice
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync


def source(asked: Job, connections: int, bad: bool, daily: bool = False) -> Source:
    """The upstream as a spec."""
    paging = {
        "token": Token(path="next", param="cursor", size_param="limit", size=asked.page),
        "offset": Offset(limit=asked.page, total_path="total"),
    }[asked.paging]
    stream = Stream(
        name="orders",
        path="/orders",
        contract="benchmarks.contract:Order",
        key=("id",),
        paging=paging,
        cursor=Cursor(field="updated_at", start=START, start_param="updated_since", end_param="updated_before"),
        reject_threshold=1.0 if bad else 0.05,
        partitions=Partitions(start=START.date()) if daily else None,
    )
    return Source(name="bench", base_url=asked.url, streams=(stream,), limits=Limits(max_connections=connections))


def main() -> None:
    """Sync once, or the days of a backfill in one run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--merge", action="store_true", help="merge into the warehouse too")
    parser.add_argument("--days", type=int, default=0, help="pull so many partitions, each its own commit")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--bad", action="store_true", help="tolerate any share of bad rows")
    asked, rest = job(parser)
    settings = Settings.from_environ(
        {"INTEGRATION_LAKE_URI": f"{asked.folder}/lake", "INTEGRATION_WAREHOUSE_URI": f"{asked.folder}/warehouse.duckdb"}
    )
    stores = Stores.from_settings(settings)
    with open_feeds(source(asked, rest.connections, rest.bad, bool(rest.days)), stores, settings) as (feed,):
        span = None
        if asked.since or asked.before:
            start = datetime.fromisoformat(asked.since) if asked.since else START
            span = Slice(start, datetime.fromisoformat(asked.before) if asked.before else None)
        days = [f"{START + timedelta(days=number):%Y-%m-%d}" for number in range(rest.days)]
        receipts = list(sync(feed, "bench", span=span, partitions=days or None, now=_now(asked) if rest.merge else None))
        if rest.merge and any(receipt.version is not None for receipt in receipts):
            merge(feed, stores, "bench")
        finish(
            rows=sum(receipt.accepted for receipt in receipts),
            rejected=sum(receipt.rejected for receipt in receipts),
            commits=sum(receipt.version is not None for receipt in receipts),
            requests=sum(receipt.requests for receipt in receipts),
        )


def _now(asked: Job) -> datetime:
    """The upstream's clock: the end of its history at first, and a week on when something changed since."""
    return START + YEAR + (timedelta(days=7) if Path(asked.folder, "warehouse.duckdb").exists() else timedelta(0))


if __name__ == "__main__":
    main()
