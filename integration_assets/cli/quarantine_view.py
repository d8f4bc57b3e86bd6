"""What `integration quarantine list` and `show` print: without personal data and secrets, unless they are asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from integration_assets.cli.report import block, blocks_table, line
from integration_assets.cli.status import check_readable
from integration_assets.feed import open_feeds
from integration_assets.land.entries import Entry, Event, Where
from integration_assets.settings import Settings
from integration_assets.spec.contract_loading import check_stream
from integration_assets.spec.source import Source, Stream
from integration_assets.stores import Stores
from integration_assets.transform.showing import Showing

SHORT = 12
"""Digits of an identity that are shown."""
_REASONS = 3


def print_entries(source: Source, stream: Stream, settings: Settings, out: Console, where: Where, limit: int) -> None:
    """The entries that are meant, newest first. Raises `LakeError` when there is no lake to read."""
    showing, stores = Showing(check_stream(source, stream), settings.mask_key), Stores.from_settings(settings)
    check_readable(stores.lake.uri)
    found = stores.quarantine.entries(source.name, stream.name, where)
    counts = stores.quarantine.counts(source.name, stream.name)
    name = f"{source.name}.{stream.name}"
    if found:
        table = blocks_table(name)
        for entry in found[:limit]:
            table.add_row(block(entry.identity[:SHORT], _summary(entry, stream, showing)))
        out.print(table)
    line(out, f"{name}: {len(found[:limit]):,} of {len(found):,} that are meant, the newest first.")
    line(out, f"In quarantine: {', '.join(f'{count:,} {state}' for state, count in counts.items())}.")
    line(out, stores.quarantine.table(source.name, stream.name).uri)


def print_raw(source: Source, stream: Stream, settings: Settings, identity: str) -> None:
    """The record, byte by byte, and a line end."""
    quarantine = Stores.from_settings(settings).quarantine
    (entry,) = quarantine.entries(source.name, stream.name, Where((identity,)))
    payload = quarantine.payloads(source.name, stream.name, [entry.identity])[entry.identity]
    sys.stdout.flush()
    sys.stdout.buffer.write(payload + b"\n")  # as bytes: what is no UTF-8 is here often for that


def print_entry(
    source: Source, stream: Stream, settings: Settings, out: Console, identity: str, *, whole: bool, api: bool
) -> None:
    """One entry with its record, its history, and how it differs from the warehouse's row and from the API's of today."""
    from integration_assets.differences import from_api, from_warehouse

    stores = Stores.from_settings(settings)
    check_readable(stores.lake.uri)
    (entry,) = stores.quarantine.entries(source.name, stream.name, Where((identity,)))
    payload = stores.quarantine.payloads(source.name, stream.name, [entry.identity])[entry.identity]
    with open_feeds(source, stores, settings, [stream]) as (feed,):
        showing = Showing(feed.contract, settings.mask_key)
        told = payload.decode(errors="backslashreplace") if whole else showing.record(payload, stream.format)
        lines = {**_summary(entry, stream, None if whole else showing), "contract": entry.contract_hash, "run": entry.run_id}
        table = blocks_table(f"{source.name}.{stream.name}")
        table.add_row(block(entry.identity, {**lines, "record": _plain(told)}))
        out.print(table)
        out.print(_history(entry.history, None if whole else showing))
        found = {"warehouse": from_warehouse(feed, stores, showing, entry, payload)}
        if api:
            found["API today"] = from_api(feed, showing, entry, payload)
        for where, difference in found.items():
            line(out, f"{where}: {difference.says}")
            if difference.columns:
                out.print(_columns(difference.columns, where))


def _summary(entry: Entry, stream: Stream, showing: Showing | None) -> dict[str, str]:
    reasons = [showing.reason(reason) if showing else reason for reason in entry.reasons]
    key = showing.name(entry.key, stream.key) if showing else entry.key
    more = f"; and {len(reasons) - _REASONS} more" if showing and len(reasons) > _REASONS else ""
    came = f"{entry.first_seen:%Y-%m-%d %H:%M:%S}"
    last = f" to {entry.last_seen:%Y-%m-%d %H:%M:%S}" if entry.times > 1 else ""
    whose = f" of {entry.slice.tenant}" if entry.slice.tenant is not None else ""
    return {
        "": entry.state,
        "reasons": _plain("; ".join(reasons[: _REASONS if showing else None]) + more),
        "key": _plain(key or "not readable"),
        "slice": f"partition {entry.partition}{whose}" if entry.partition else str(entry.slice),
        "came": f"{entry.times:,} time{'' if entry.times == 1 else 's'}, {came}{last} UTC",
    }


def _history(events: Sequence[Event], showing: Showing | None) -> Table:
    table = Table(title="What happened to it", show_lines=True)
    for column in ("when (UTC)", "what", "who, or the run", "why"):
        table.add_column(column, overflow="fold")
    for event in events:
        reasons = [showing.reason(reason) if showing else reason for reason in event.reasons]
        hashes = [f"{event.old_hash[:SHORT]} became {event.new_hash[:SHORT]}"] if event.old_hash and event.new_hash else []
        version = [f"lake version {event.lake_version}"] if event.lake_version is not None else []
        why = "; ".join([*([event.note] if event.note else []), *hashes, *version, *reasons])
        table.add_row(f"{event.at:%Y-%m-%d %H:%M:%S}", event.kind, Text(event.actor or event.run_id), Text(_plain(why)))
    return table


def _columns(columns: Sequence[tuple[str, str | None, str | None]], where: str) -> Table:
    table = Table(show_lines=True)
    for title in ("column", "in quarantine", where):
        table.add_column(title, overflow="fold")
    for name, ours, theirs in columns:
        table.add_row(name, *(Text("null" if one is None else _plain(one)) for one in (ours, theirs)))
    return table


def _plain(text: str) -> str:
    """What could steer a terminal is spelled out, and nothing is taken for markup."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
