"""What people read: the sources, and what a sync did. Readable at 80 columns; no number or path is ever cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from integration_assets.settings import Settings
from integration_assets.spec.auth import secret_names
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.tenants import enumerated

Row = tuple[str, Receipt, Sequence[Receipt]]
"""A stream's name, its receipts as one account, and each of them."""
UP_TO_DATE = "up to date"
_KIB = 1024
_TENANTS = 20


def sources_table(sources: Iterable[Source], settings: Settings) -> Table:
    """One cell a stream; secrets by name and whether they are set."""
    table = blocks_table("Sources")
    for source in sources:
        names = (*secret_names(source.auth), *(source.events.secret_names if source.events else ()))
        needed = [f"{name} ({'set' if settings.environ.get(name) else 'not set'})" for name in names]
        for stream in source.streams:
            lines = {
                "reads": f"{settings.locate_stream(source, stream).base_url}{stream.path}",
                **({"parent": f"{stream.parent.stream}: asked once for each"} if stream.parent else {}),
                "cursor": stream.cursor.field if stream.cursor else "none: always pulled whole",
                "partitions": f"by {stream.partitions.every}" if stream.partitions else "none",
                **({"tenants": _tenants(stream)} if stream.tenants else {}),
                "lands by": stream.disposition,
                "secret": ", ".join(needed) or "none",
            }
            table.add_row(block(f"{source.name}.{stream.name}", lines))
    return table


def _tenants(stream: Stream) -> str:
    assert stream.tenants is not None  # noqa: S101 - asked only for streams that have some
    listing = stream.tenants.listing
    return enumerated(stream.tenants.keys) if listing is None else f"those that {listing.path} lists"


def account_table(rows: Sequence[Row], title: str) -> Table:
    """One cell a stream: outcome, the account that must add up, and what it cost."""
    table = blocks_table(title)
    for name, receipt, each in rows:
        pace = f", {receipt.fetched / receipt.seconds:,.0f} records/s" if receipt.seconds and receipt.fetched else ""
        lines = {
            "": f"{receipt.outcome}, {_count(len(each), 'slice')}",
            "records": equation(receipt),
            **_by_tenant(each),
            "cost": f"{_count(receipt.pages, 'page')}, {_count(receipt.requests, 'request')}, {size(receipt.bytes)}{pace}",
        }
        table.add_row(block(name, lines))
    return table


def _by_tenant(receipts: Sequence[Receipt]) -> dict[str, str]:
    """How many records of each tenant, where the stream has a few."""
    mine: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        if receipt.tenant is not None:
            mine.setdefault(receipt.tenant, []).append(receipt)
    if len(mine) > _TENANTS:
        return {"tenants": f"{len(mine):,}"}
    return {
        f"tenant {tenant}": f"{sum(one.accepted for one in some):,} accepted of {sum(one.fetched for one in some):,}"
        for tenant, some in mine.items()
    }


def blocks_table(title: str) -> Table:
    """A table of one column, to hold one `block` a row."""
    table = Table(title=title, show_header=False, show_lines=True)
    table.add_column(overflow="fold")
    return table


def block(name: str, lines: Mapping[str, str]) -> Text:
    """A name, what is said of it under an empty key beside it, and a line for each other key."""
    head = lines.get("")
    text = Text(name, style="bold").append(f": {head}" if head else "", style="not bold")
    rest = {key: value for key, value in lines.items() if key}
    width = max((len(key) for key in rest), default=0)
    for key, value in rest.items():
        text.append(f"\n{key:<{width}}  {value}", style="not bold")
    return text


def equation(receipt: Receipt) -> str:
    """The account that must add up."""
    parts = ("accepted", "rejected", "duplicate", "filtered")
    total = " + ".join(f"{getattr(receipt, part):,} {part}" for part in parts)
    return f"{receipt.fetched:,} {'=' if receipt.adds_up else '≠'} {total}"


def untouched(source: Source, stream: Stream, run_id: str) -> Receipt:
    """The account of a stream of which there was nothing to pull."""
    return Receipt(source.name, stream.name, run_id, UP_TO_DATE, (None, None))


def line(out: Console, text: str, style: str | None = None) -> None:
    """Print a line as it is: not wrapped, so that paths can be copied, and nothing in it taken for markup."""
    out.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < _KIB:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= _KIB
    return f"{count:,.1f} GiB"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
