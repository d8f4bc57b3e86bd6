"""Ours, everything on: contract, gate, accounting, Delta commit; with `--merge`, the warehouse's table too."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from itertools import pairwise

from benchmarks.contenders.job import Job, finish, job
from benchmarks.records import START
from integration_assets.settings import Settings
from integration_assets.spec import Cursor, Limits, Offset, Source, Stream, Token
from integration_assets.spec.cursor import Slice
from integration_assets.sync import Stores, merge, open_feeds, sync


def source(asked: Job, connections: int, bad: bool) -> Source:
    """The upstream as a spec."""
    paging = {
        "token": Token(path="next", param="cursor", size_param="limit", size=asked.page),
        "offset": Offset(limit=asked.page),
    }[asked.paging]
    stream = Stream(
        name="orders",
        path="/orders",
        contract="benchmarks.contract:Order",
        key=("id",),
        paging=paging,
        cursor=Cursor(field="updated_at", start=START, start_param="updated_since", end_param="updated_before"),
        reject_threshold=1.0 if bad else 0.05,
    )
    return Source(name="bench", base_url=asked.url, streams=(stream,), limits=Limits(max_connections=connections))


def main() -> None:
    """Sync once, or once a slice of a backfill."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--merge", action="store_true", help="merge into the warehouse too")
    parser.add_argument("--slices", type=int, default=0, help="cut the window into so many slices, each its own commit")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--bad", action="store_true", help="tolerate any share of bad rows")
    asked, rest = job(parser)
    settings = Settings.from_environ(
        {"INTEGRATION_LAKE_URI": f"{asked.folder}/lake", "INTEGRATION_WAREHOUSE_URI": f"{asked.folder}/warehouse.duckdb"}
    )
    stores = Stores.from_settings(settings)
    with open_feeds(source(asked, rest.connections, rest.bad), stores, settings) as (feed,):
        span = None
        if asked.since or asked.before:
            start = datetime.fromisoformat(asked.since) if asked.since else START
            span = Slice(start, datetime.fromisoformat(asked.before) if asked.before else None)
        receipts = []
        for part in _cut(span, rest.slices) if rest.slices and span else [span]:
            receipts += list(sync(feed, "bench", span=part))
        if rest.merge and any(receipt.version is not None for receipt in receipts):
            merge(feed, stores, "bench")
        finish(
            rows=sum(receipt.accepted for receipt in receipts),
            rejected=sum(receipt.rejected for receipt in receipts),
            commits=sum(receipt.version is not None for receipt in receipts),
            requests=sum(receipt.requests for receipt in receipts),
        )


def _cut(span: Slice, slices: int) -> list[Slice]:
    start, end = span.start, span.end
    assert isinstance(start, datetime)  # noqa: S101 - the window is one of time
    assert isinstance(end, datetime)  # noqa: S101
    step: timedelta = (end - start) / slices
    return [Slice(low, high) for low, high in pairwise([*(start + step * number for number in range(slices)), end])]


if __name__ == "__main__":
    main()
