"""`integration sweep`: what the API lists no more, shown, and deleted softly unless it is a dry run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from integration_assets.cli.report import block, blocks_table, line
from integration_assets.feed import open_feeds
from integration_assets.settings import Settings
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.sweep import SweepReceipt
from integration_assets.stores import Stores
from integration_assets.sweep import EXAMPLES, sweep
from integration_assets.transform.showing import Showing


def run_sweep(
    source: Source,
    stream: Stream,
    settings: Settings,
    out: Console,
    run_id: str,
    actor: str,
    *,
    tenants: Sequence[str] | None,
    threshold: float | None,
    dry_run: bool,
) -> None:
    """Sweep the stream and print each tenant's account, and the rows that go, as people may see them."""

    def say(sentence: str) -> None:
        line(out, sentence, "yellow")

    stores = Stores.from_settings(settings, say)
    with open_feeds(source, stores, settings, [stream], say) as (feed,):
        showing = Showing(feed.contract, settings.mask_key)
        for swept in sweep(feed, stores, run_id, actor, tenants=tenants, threshold=threshold, dry_run=dry_run):
            account = blocks_table("Dry run: nothing was written" if dry_run else "Sweep")
            account.add_row(block(_name(swept.receipt), _lines(swept.receipt)))
            out.print(account)
            for warning in swept.receipt.warnings:
                say(warning)
            if swept.examples:
                rows = [showing.row(row) for row in swept.examples]
                line(out, "Would be deleted:" if swept.receipt.version is None else "Deleted:")
                out.print(_rows(rows))
            if swept.receipt.unlisted > EXAMPLES:
                line(out, f"and {swept.receipt.unlisted - len(swept.examples):,} more")


def _name(receipt: SweepReceipt) -> str:
    whose = "" if receipt.tenant is None else f" of {receipt.tenant}"
    return f"{receipt.source}.{receipt.stream}{whose}"


def _lines(receipt: SweepReceipt) -> dict[str, str]:
    counted = "" if receipt.total is None else f", {receipt.total:,} by the API's count"
    lines = {
        "": receipt.outcome,
        "list": f"{receipt.listed:,} keys{counted}; {receipt.unknown:,} without a row yet",
        "table": f"{receipt.live:,} live rows, {receipt.unlisted:,} not listed, of which {receipt.allowed:,} may be deleted",
        "back": f"{receipt.returned:,} deleted rows are listed",
        "done": f"{receipt.deleted:,} deleted, {receipt.revived:,} revived",
        "cost": f"{receipt.pages:,} pages, {receipt.requests:,} requests",
    }
    return lines | ({"refused": receipt.refused} if receipt.refused else {})


def _rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table()
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
