"""`integration status`: how far each stream is, what is missing, and whether the warehouse follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table

from integration_assets.settings import Settings
from integration_assets.spec.cursor import Slice, gaps, watermark
from integration_assets.spec.source import Source, Stream
from integration_assets.sync import Stores

_SHOWN = 3


def status_tables(chosen: Iterable[tuple[Source, Sequence[Stream]]], settings: Settings) -> Iterator[Table]:
    """One table a source, one row a stream. Reads the lake's and the warehouse's own record; asks no API."""
    stores = Stores.from_settings(settings)
    for source, streams in chosen:
        table = Table(title=source.name, show_lines=False)
        for name in ("stream", "watermark", "gaps", "last receipt", "records", "lake", "warehouse"):
            table.add_column(name, justify="right" if name in {"records", "lake", "warehouse"} else "left")
        for stream in streams:
            table.add_row(stream.name, *_row(stores, source, stream))
        yield table


def _row(stores: Stores, source: Source, stream: Stream) -> tuple[str, ...]:
    lake = stores.table(source, stream)
    if not lake.exists():
        return ("never synced", "-", "-", "-", "-", "-")
    state = lake.state()
    mark = Slice(watermark(state.finished, stream.origin)).to_json()[0]
    holes = [str(hole) for hole in gaps(state.finished, stream.origin)]
    more = f" and {len(holes) - _SHOWN} more" if len(holes) > _SHOWN else ""
    last = state.receipt
    reached = stores.warehouse.version(source.name, stream.name)
    return (
        str(mark if mark is not None else "whole" if stream.cursor is None else "-"),
        ", ".join(holes[:_SHOWN]) + more or "none",
        f"{last.outcome} {last.finished_at[:19]}Z" if last else "-",
        f"{last.fetched:,} = {last.accepted:,} + {last.rejected:,} + {last.duplicate:,} + {last.filtered:,}" if last else "-",
        f"v{state.version}",
        "-" if reached is None else f"v{reached}" if reached == state.version else f"v{reached}, behind",
    )
