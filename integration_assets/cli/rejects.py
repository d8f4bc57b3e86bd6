"""`integration rejects`: the records that could not become rows, and why."""

from __future__ import annotations

from rich.console import Console

from integration_assets.cli.report import block, blocks_table, line
from integration_assets.cli.status import check_readable
from integration_assets.land.quarantine import Rejected
from integration_assets.settings import Settings
from integration_assets.spec.source import Source, Stream
from integration_assets.sync import Stores

_PREVIEW = 400


def show_rejects(source: Source, stream: Stream, settings: Settings, out: Console, limit: int) -> None:
    """Print the newest rejects of a stream, each once. Raises `LakeError` when there is no lake to read."""
    stores = Stores.from_settings(settings)
    check_readable(stores.lake.uri)
    name = f"{source.name}.{stream.name}"
    found = stores.quarantine.list(source.name, stream.name, limit)
    where = stores.quarantine.table(source.name, stream.name).uri
    if not found:
        line(out, f"{name}: nothing is in quarantine.")
        return
    table = blocks_table(name)
    for reject in found:
        table.add_row(block(f"rejected {reject.rejected_at:%Y-%m-%d %H:%M:%S} UTC", _lines(reject)))
    out.print(table)
    total = stores.quarantine.count(source.name, stream.name)
    line(out, f"{len(found):,} of {total:,} records in quarantine, the newest first. All of them, whole, as a Delta table:")
    line(out, where)


def _lines(reject: Rejected) -> dict[str, str]:
    return {
        "reasons": "; ".join(reject.reasons),
        "key": reject.key or "not readable",
        "slice": f"partition {reject.partition}{_whose(reject)}" if reject.partition else str(reject.slice),
        "record": _preview(reject.payload),
    }


def _whose(reject: Rejected) -> str:
    return f" of {reject.slice.tenant}" if reject.slice.tenant is not None else ""


def _preview(payload: bytes) -> str:
    """The record's beginning; what could steer a terminal is spelled out."""
    text = payload[: _PREVIEW * 4].decode(errors="backslashreplace")
    plain = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text[:_PREVIEW])
    return plain if len(text) <= _PREVIEW and len(payload) <= _PREVIEW * 4 else f"{plain}…"
