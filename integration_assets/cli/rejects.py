"""`integration rejects`: the records that could not become rows, and why."""

from __future__ import annotations

from rich.console import Console

from integration_assets.cli.report import block, blocks_table, line
from integration_assets.cli.status import check_readable
from integration_assets.land.quarantine import Rejected
from integration_assets.settings import Settings
from integration_assets.spec.contract_loading import check_stream
from integration_assets.spec.source import Source, Stream
from integration_assets.stores import Stores
from integration_assets.transform.showing import Showing

_PREVIEW = 400


def show_rejects(source: Source, stream: Stream, settings: Settings, out: Console, limit: int, *, whole: bool = False) -> None:
    """Print the newest rejects of a stream, each once. Raises `LakeError` when there is no lake to read.

    whole : show them as they are stored, with what the contract marks as personal and what looks like a secret.
    """
    showing = None if whole else Showing(check_stream(source, stream), settings.mask_key)
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
        table.add_row(block(f"rejected {reject.rejected_at:%Y-%m-%d %H:%M:%S} UTC", _lines(reject, stream, showing)))
    out.print(table)
    total = stores.quarantine.count(source.name, stream.name)
    line(out, f"{len(found):,} of {total:,} records in quarantine, the newest first. All of them, whole, as a Delta table:")
    line(out, where)


def _lines(reject: Rejected, stream: Stream, showing: Showing | None) -> dict[str, str]:
    """What is shown of one; as it is stored without a `showing`."""
    if showing is None:
        reasons, key, record = reject.reasons, reject.key, reject.payload.decode(errors="backslashreplace")
    else:
        reasons = tuple(showing.reason(reason) for reason in reject.reasons)
        key, record = showing.name(reject.key, stream.key), showing.record(reject.payload, stream.format)
    return {
        "reasons": "; ".join(reasons),
        "key": key or "not readable",
        "slice": f"partition {reject.partition}{_whose(reject)}" if reject.partition else str(reject.slice),
        "record": _preview(record),
    }


def _whose(reject: Rejected) -> str:
    return f" of {reject.slice.tenant}" if reject.slice.tenant is not None else ""


def _preview(text: str) -> str:
    """The record's beginning; what could steer a terminal is spelled out."""
    plain = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text[:_PREVIEW])
    return plain if len(text) <= _PREVIEW else f"{plain}…"
