"""`integration sources check`: is the spec right, against the API as it answers today?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from rich.console import Console

from integration_assets.cli.report import line
from integration_assets.each_tenant import tenants_of
from integration_assets.errors import IntegrationError, TransientError, UnknownHostError, UpstreamUnavailableError
from integration_assets.feed import Feed, Job, open_feeds
from integration_assets.ingest import ingest
from integration_assets.land.state import EMPTY
from integration_assets.planning import plan_slice
from integration_assets.settings import Settings
from integration_assets.spec.auth import secret_names
from integration_assets.spec.contract_loading import check_stream
from integration_assets.spec.cursor import Slice
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream
from integration_assets.stores import Stores


def check_source(source: Source, streams: Sequence[Stream], settings: Settings, out: Console) -> bool:
    """Check each stream with one page of its API and print a line for each; whether all were right."""
    for stream in streams:
        check_stream(source, stream)
    line(out, f"✓ {source.name}: the spec fits its {len(streams)} contract{'' if len(streams) == 1 else 's'}", "green")
    stores = Stores.from_settings(settings)
    good = True
    with open_feeds(source, stores, settings, streams, lambda sentence: line(out, sentence, "yellow")) as feeds:
        for position, feed in enumerate(feeds):
            try:
                receipt = ingest(feed, Job(_range_to_ask(feed), EMPTY, uuid4().hex, dry_run=True))
            except IntegrationError as error:
                good = False
                if _no_answer(error):
                    rest = len(feeds) - position - 1
                    _say_unreachable(source, error, rest, out)
                    break
                line(out, f"✗ {error.at(source.name, feed.stream.name)}", "red")
                continue
            good = good and not receipt.rejected
            _say(feed, receipt, out)
    return good


def _range_to_ask(feed: Feed) -> Slice:
    """What the next sync would ask for, of one tenant; when nothing is new, all its history, of which one page is read."""
    planned = plan_slice(feed, tenant=next(iter(tenants_of(feed)), None))
    return replace(planned, start=feed.stream.origin) if planned.empty else planned


def _no_answer(error: IntegrationError) -> bool:
    """Whether the host itself is out of reach: then every other stream would only say so again."""
    failed = error.__cause__
    return isinstance(error, UnknownHostError) or (
        isinstance(error, UpstreamUnavailableError) and isinstance(failed, TransientError) and failed.unanswered
    )


def _say_unreachable(source: Source, error: IntegrationError, rest: int, out: Console) -> None:
    error.source, error.stream = source.name, None
    line(out, f"✗ {error}", "red")
    if rest:
        line(out, f"  The other {rest} stream{'s were' if rest > 1 else ' was'} not asked.")


def _say(feed: Feed, receipt: Receipt, out: Console) -> None:
    key = "key accepted, " if secret_names(feed.source.auth) else ""
    if receipt.fetched:
        held = f"first page decodes, {receipt.accepted:,} of {receipt.fetched:,} records hold the contract"
    else:
        held = f"no record in the range asked, {_range(receipt)}: whether the contract holds is not known"
    doubtful = receipt.warnings or not receipt.fetched
    mark, style = ("✗", "red") if receipt.rejected else ("!", "yellow") if doubtful else ("✓", "green")
    line(out, f"{mark} {feed.source.name}.{feed.stream.name}: {key}{held}", style)
    for text in (*receipt.reasons, *receipt.warnings):
        line(out, f"    {text}")


def _range(receipt: Receipt) -> str:
    start, end = receipt.slice
    return f"[{'…' if start is None else start}, {'…' if end is None else end})"
