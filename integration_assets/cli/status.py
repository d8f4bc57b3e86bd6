"""`integration status`: how far each stream is, what is missing, and whether the warehouse follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from integration_assets.cli.report import block, blocks_table, equation, line
from integration_assets.errors import LakeError
from integration_assets.land.gcs import check_bucket, is_bucket
from integration_assets.settings import Settings
from integration_assets.spec.cursor import Slice, gaps, watermark
from integration_assets.spec.source import Source, Stream
from integration_assets.stores import Stores

_SHOWN = 3


def show_status(chosen: Iterable[tuple[Source, Sequence[Stream]]], settings: Settings, out: Console) -> None:
    """Print one table a source. Reads the lake's and the warehouse's own record; asks no API and writes nothing.

    Raises `LakeError` when there is no lake to read, and the errors of the warehouse.
    """
    stores = Stores.from_settings(settings, lambda sentence: line(out, sentence, "yellow"))
    check_readable(stores.lake.uri)
    line(out, f"Lake:      {stores.lake.uri}")
    line(out, f"Warehouse: {settings.warehouse_uri}")
    for source, streams in chosen:
        table = blocks_table(source.name)
        for stream in streams:
            table.add_row(block(stream.name, _lines(stores, source, stream)))
        out.print(table)


def check_readable(uri: str) -> None:
    """Prove that the lake is there and can be listed, without writing to it. Raises `LakeError`, `RescheduleError`."""
    if is_bucket(uri):
        check_bucket(uri)
        return
    folder = Path(uri.removeprefix("file://"))
    remedy = "Sync a stream first, or set INTEGRATION_LAKE_URI to the lake that is meant."
    if not folder.exists():
        raise LakeError(f"there is no lake at {uri}", field="INTEGRATION_LAKE_URI", remedy=remedy)
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise LakeError(
            f"the lake at {uri} cannot be read: {error.strerror}", field="INTEGRATION_LAKE_URI", remedy=remedy
        ) from error


def _lines(stores: Stores, source: Source, stream: Stream) -> dict[str, str]:
    lake = stores.table(source, stream)
    if not lake.exists():
        return {"": "never synced"}
    state = lake.state()
    last = state.receipt
    reached = stores.warehouse.version(source.name, stream.name)
    follows = "never merged" if reached is None else f"merged up to version {reached}"
    behind = "" if reached == state.version else ", behind the lake: the next sync merges it"
    return {
        **(_by_tenant(stream, state.finished) if stream.tenants else _frontier(stream, state.finished)),
        "last": f"{last.outcome}, {last.finished_at[:19]}Z" if last else "-",
        "records": equation(last) if last else "-",
        "lake": f"version {state.version}",
        "warehouse": follows + behind,
        "quarantine": _quarantine(stores, source, stream),
    }


def _quarantine(stores: Stores, source: Source, stream: Stream) -> str:
    counts = stores.quarantine.counts(source.name, stream.name)
    return f"{counts['open']:,} open of {sum(counts.values()):,}"


def _by_tenant(stream: Stream, finished: Sequence[Slice]) -> dict[str, str]:
    """A line a tenant: those of a fixed set, and all that were ever pulled."""
    assert stream.tenants is not None  # noqa: S101 - asked only for streams that have some
    if stream.cursor is None:
        return {"watermark": "none: tenants are always pulled whole"}
    known = dict.fromkeys([*stream.tenants.keys, *sorted({done.tenant for done in finished if done.tenant})])
    lines = {tenant: _frontier(stream, finished, tenant) for tenant in known}
    return {f"tenant {tenant}": f"{line['watermark']}, gaps: {line['gaps']}" for tenant, line in lines.items()}


def _frontier(stream: Stream, finished: Sequence[Slice], tenant: str | None = None) -> dict[str, str]:
    """How far the stream or one tenant is, and what is missing on the way."""
    if stream.cursor is None:
        return {"watermark": "none: always pulled whole"}
    mark = Slice(watermark(finished, stream.origin, tenant)).to_json()[0]
    holes = [str(replace(hole, tenant=None)) for hole in gaps(finished, stream.origin, tenant)]
    more = f" and {len(holes) - _SHOWN} more" if len(holes) > _SHOWN else ""
    return {"watermark": "none yet" if mark is None else str(mark), "gaps": (", ".join(holes[:_SHOWN]) + more) or "none"}
