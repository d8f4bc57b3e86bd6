"""`integration vacuum`: what the lake does not need any more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from integration_assets.cli.report import line, size
from integration_assets.errors import SpecError
from integration_assets.settings import Settings
from integration_assets.spec.source import Source, Stream
from integration_assets.stores import Stores
from integration_assets.upkeep import Kept, vacuum

_AGE = re.compile(r"(\d{1,6})([dh])")
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1)}


def run_vacuum(
    chosen: Sequence[tuple[Source, Sequence[Stream]]], settings: Settings, out: Console, older_than: str, *, dry_run: bool
) -> None:
    """Go through the streams, print the table, then raise the first error there was."""
    age = _age(older_than)
    stores = Stores.from_settings(settings, lambda sentence: line(out, sentence, "yellow"))
    kept = [one for source, streams in chosen for one in vacuum(source, streams, stores, age, dry_run=dry_run)]
    out.print(_table(kept, dry_run=dry_run))
    failed = [one for one in kept if one.error]
    for one in failed:
        line(out, f"{one.name}: {one.error}", "yellow")
    if failed and failed[0].error:
        raise failed[0].error


def _age(text: str) -> timedelta:
    found = _AGE.fullmatch(text)
    if not found:
        raise SpecError(f"{text!r} is no age", field="--older-than", remedy="Write days or hours, such as 7d or 36h.")
    return int(found[1]) * _UNITS[found[2]]


def _table(kept: Sequence[Kept], *, dry_run: bool) -> Table:
    table = Table(title="Would be deleted" if dry_run else "Deleted")
    for heading in ("table", "files", "half-written", "bytes", "joined"):
        table.add_column(heading, justify="left" if heading == "table" else "right", overflow="fold")
    done = [one for one in kept if one.waste or one.joined]
    for one in done:
        table.add_row(one.name, f"{len(one.waste):,}", f"{one.half_written:,}", size(one.bytes), f"{one.joined:,}")
    files, half = sum(len(one.waste) for one in kept), sum(one.half_written for one in kept)
    joined = f"{sum(one.joined for one in kept):,}"
    table.add_row(f"{len(kept):,} tables", f"{files:,}", f"{half:,}", size(sum(one.bytes for one in kept)), joined)
    return table
