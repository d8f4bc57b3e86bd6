"""Tables that people read: sources, and what a sync did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from integration_assets.settings import Settings
from integration_assets.spec.auth import secret_names
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source

_KIB = 1024


def sources_table(sources: Iterable[Source], settings: Settings) -> Table:
    """One row a stream; secrets by name and whether they are set."""
    table = Table("stream", "reads", "cursor", "partitions", "lands as", "secret", title="Sources")
    for source in sources:
        needed = [f"{name} ({'set' if settings.environ.get(name) else 'not set'})" for name in secret_names(source.auth)]
        for stream in source.streams:
            table.add_row(
                f"{source.name}.{stream.name}",
                f"{settings.locate(source).base_url}{stream.path}",
                stream.cursor.field if stream.cursor else "-",
                stream.partitions.every if stream.partitions else "-",
                stream.disposition,
                ", ".join(needed) or "none",
            )
    return table


def receipts_table(rows: Sequence[tuple[str, Receipt, int]], title: str) -> Table:
    """One row a stream: its name, its receipts as one account, and how many slices they were."""
    table = Table(title=title)
    for name in ("stream", "outcome"):
        table.add_column(name, no_wrap=True)
    for name in ("slices", "pages", "requests", "records", "accepted", "rejected", "duplicate", "filtered", "bytes", "records/s"):
        table.add_column(name, justify="right")
    for name, receipt, slices in rows:
        numbers = (slices, receipt.pages, receipt.requests)
        counts = (receipt.accepted, receipt.rejected, receipt.duplicate, receipt.filtered)
        table.add_row(
            name,
            receipt.outcome,
            *(f"{number:,}" for number in numbers),
            f"{receipt.fetched:,} {'=' if receipt.adds_up else '≠'}",
            *(f"{number:,}" for number in counts),
            size(receipt.bytes),
            f"{receipt.fetched / receipt.seconds:,.0f}" if receipt.seconds and receipt.fetched else "-",
        )
    return table


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < _KIB:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= _KIB
    return f"{count:,.1f} GiB"
