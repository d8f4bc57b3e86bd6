"""`integration sync`: pull, land and merge the chosen streams, with progress while it works and an account at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from integration_assets import ingest
from integration_assets.cli.report import receipts_table
from integration_assets.ingest import Feed
from integration_assets.settings import Settings
from integration_assets.spec.cursor import Slice, steps
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream
from integration_assets.sync import Stores, merge, open_feeds, outcome, plan_slice
from integration_assets.sync import sync as sync_stream


def run_sync(
    source: Source,
    streams: Sequence[Stream],
    settings: Settings,
    out: Console,
    *,
    run_id: str,
    spans: Mapping[str, Slice | None],
    partitions: Mapping[str, Sequence[str]],
    dry_run: bool,
) -> None:
    """Sync the streams one after the other; prints the account of those that finished even when one raises."""

    def say(sentence: str) -> None:
        out.print(sentence, style="yellow", highlight=False, markup=False)

    stores = Stores.from_settings(settings, say)
    rows: list[tuple[str, Receipt, int]] = []
    merged: list[str] = []
    try:
        with open_feeds(source, stores, settings, streams, say) as feeds, _progress(out) as bars:
            for feed in feeds:
                keys, span = partitions.get(feed.stream.name), spans.get(feed.stream.name)
                receipts = _pull(feed, run_id, keys, span, bars, dry_run=dry_run)
                account = outcome(receipts)
                if account:
                    rows.append((f"{source.name}.{feed.stream.name}", account, len(receipts)))
                if not dry_run:
                    result = merge(feed, stores, run_id)
                    merged.append(
                        f"{result.table}: {result.rows_total:,} rows ({result.inserted:,} new, {result.updated:,} changed,"
                        f" {result.deleted:,} gone), lake version {result.lake_version_after}"
                    )
    finally:
        _account(out, rows, merged, "Dry run: nothing was written" if dry_run else "Sync")


def _pull(
    feed: Feed, run_id: str, keys: Sequence[str] | None, span: Slice | None, bars: Progress, *, dry_run: bool
) -> list[Receipt]:
    """Ingest one stream under a progress bar of its slices."""
    total = len(keys) if keys is not None else sum(1 for _ in steps(feed.stream.cursor, plan_slice(feed, None, span)))
    bar = bars.add_task(feed.stream.name, total=total, rows=0, pages=0, rate="")
    base = {"rows": 0, "pages": 0, "seconds": 0.0}

    def watch(now: ingest.Progress) -> None:
        rows, seconds = base["rows"] + now.fetched, base["seconds"] + now.seconds
        bars.update(bar, rows=rows, pages=base["pages"] + now.pages, rate=f"{rows / seconds:,.0f}/s" if seconds else "")

    receipts = []
    for receipt in sync_stream(feed, run_id, partitions=keys, span=span, dry_run=dry_run, watch=watch):
        receipts.append(receipt)
        base["rows"] += receipt.fetched
        base["pages"] += receipt.pages
        base["seconds"] += receipt.seconds
        bars.update(bar, advance=1)
    bars.update(bar, total=len(receipts), completed=len(receipts))
    return receipts


def _progress(out: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("slices, {task.fields[rows]:,} records, {task.fields[pages]:,} pages {task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=out,
    )


def _account(out: Console, rows: Sequence[tuple[str, Receipt, int]], merged: Sequence[str], title: str) -> None:
    if rows:
        out.print(receipts_table(rows, title))
    for line in merged:
        out.print(line, highlight=False)
    for name, receipt, _ in rows:
        for warning in receipt.warnings:
            out.print(f"[yellow]{name}[/]: {warning}", highlight=False)
