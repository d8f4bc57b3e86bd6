"""`integration sources check`: is the spec right, against the API as it answers today?"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from rich.console import Console

from integration_assets.errors import IntegrationError
from integration_assets.ingest import Job, ingest
from integration_assets.land.state import LakeState
from integration_assets.settings import Settings
from integration_assets.spec.contract import check_stream
from integration_assets.spec.source import Source, Stream
from integration_assets.sync import Stores, open_feeds, plan_slice

_NOTHING = LakeState(version=None, sequence=0, finished=(), etag=None, content_hash=None, receipt=None)


def check_source(source: Source, streams: Sequence[Stream], settings: Settings, out: Console) -> bool:
    """Check each stream with one page of its API and print a line for each; whether all were right."""
    for stream in streams:
        check_stream(source, stream)
    out.print(f"[green]✓[/] {source.name}: the spec and {len(streams)} contracts fit together")
    stores = Stores.from_settings(settings)
    good = True
    with open_feeds(source, stores, settings, streams) as feeds:
        for feed in feeds:
            name = f"{source.name}.{feed.stream.name}"
            try:
                job = Job(plan_slice(feed), _NOTHING, uuid4().hex, dry_run=True)
                receipt = ingest(feed, job)
            except IntegrationError as error:
                good = False
                out.print(f"[red]✗[/] {name}: {error.at(source.name, feed.stream.name)}", highlight=False)
                continue
            good = good and not receipt.rejected
            mark = "[red]✗[/]" if receipt.rejected else "[yellow]![/]" if receipt.warnings else "[green]✓[/]"
            held = f"{receipt.accepted:,} of {receipt.fetched:,} records hold the contract"
            out.print(f"{mark} {name}: key accepted, first page decodes, {held}", highlight=False)
            for line in (*receipt.reasons, *receipt.warnings):
                out.print(f"    {line}", highlight=False)
    return good
