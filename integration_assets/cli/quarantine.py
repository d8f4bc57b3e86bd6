"""`integration quarantine`: look at the records that could not become rows, and mend, replay or discard them."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer
from rich.console import Console

from integration_assets.cli.report import account_table, line
from integration_assets.errors import SpecError
from integration_assets.settings import Settings
from integration_assets.sources import load_source
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.feed import Feed
    from integration_assets.land.quarantine import Entry, Where
    from integration_assets.stores import Stores

quarantine_app = typer.Typer(
    no_args_is_help=True, help="Records that could not become rows: look at them, and replay, edit, refetch or discard them."
)
_out = Console()
_STILL_OPEN = 1
Name = Annotated[str, typer.Argument(help="SOURCE.STREAM")]
Several = Annotated[str, typer.Argument(help="SOURCE.STREAM, or a SOURCE for each of its streams")]
One = Annotated[str, typer.Argument(help="The record's identity as list shows it; its beginning is enough.")]
Many = Annotated[list[str] | None, typer.Argument(help="Identities as list shows them; their beginnings are enough.")]
Key = Annotated[str | None, typer.Option(help="Only the record with this key.")]
Reason = Annotated[str | None, typer.Option(help="Only records one of whose reasons has this in it.")]
Since = Annotated[str | None, typer.Option(help="Only those that came last at or after this moment.")]
Until = Annotated[str | None, typer.Option(help="Only those that came last before this moment.")]
All = Annotated[bool, typer.Option("--all", help="All that are open.")]
Because = Annotated[str, typer.Option(help="Why; it stays in the log.")]
By = Annotated[str | None, typer.Option(help="Who does it; the user of this machine when left out.")]


@quarantine_app.command("list")
def list_(
    name: Several,
    key: Key = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[str | None, typer.Option(help="open (the default), replayed, edited or discarded.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show, the newest first.")] = 20,
    *,
    every: Annotated[bool, typer.Option("--all", help="In every state.")] = False,
) -> None:
    """Show the records in a stream's quarantine, or a source's, each once: state, why, key, slice, how often and when it came."""
    from integration_assets.cli.quarantine_view import print_entries
    from integration_assets.land.entries import where

    source, streams = _named_all(name)
    states = () if every else (state or "open",)
    for stream in streams:
        wanted = where(source.name, stream.name, key=key, reason=reason, since=since, until=until, states=states)
        print_entries(source, stream, Settings.from_environ(), _out, wanted, limit)


@quarantine_app.command()
def show(
    name: Name,
    identity: One,
    *,
    unmasked: Annotated[bool, typer.Option("--unmasked", help="Show personal data and what looks like a secret too.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the record as it came and nothing else, to edit it.")] = False,
    api: Annotated[
        bool, typer.Option("--api", help="Read its slice from the API, writing nothing, and compare with today's record.")
    ] = False,
) -> None:
    """Show a record, why it was turned away, all that happened to it, and how it differs from the warehouse's row."""
    from integration_assets.cli.quarantine_view import print_entry, print_raw

    source, stream = _named(name)
    if raw:
        print_raw(source, stream, Settings.from_environ(), identity)
    else:
        print_entry(source, stream, Settings.from_environ(), _out, identity, whole=unmasked, api=api)


@quarantine_app.command()
def replay(
    name: Name,
    identities: Many = None,
    key: Key = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    by: By = None,
    *,
    every: All = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would land, and write nothing.")] = False,
) -> None:
    """Run stored records again, after the contract or the code was mended; what holds now lands and is merged.

    Exit status 1 when some are still turned away.
    """
    from integration_assets.replay import replay as replay_entries

    source, stream = _named(name)
    wanted = _chosen(source, stream, identities, key, reason, since, until, every=every)
    with _opened(source, stream) as (feed, stores):
        entries = _entries(feed, wanted)
        receipts = list(replay_entries(feed, uuid4().hex, entries, who(by), dry_run=dry_run)) if entries else []
        _account(feed, stores, receipts, "Dry run: nothing was written" if dry_run else "Replay", merged=not dry_run)


@quarantine_app.command()
def edit(
    name: Name,
    identity: One,
    because: Because,
    file: Annotated[Path, typer.Option(help="A file with the whole record as it should be; - reads it from the terminal.")],
    by: By = None,
) -> None:
    """Land a mended record in place of one in quarantine. The one that came is kept; who mended it, and why, is in the log.

    Exit status 1 when the mended record is turned away as well.
    """
    from integration_assets.replay import edit as edit_entry

    source, stream = _named(name)
    payload = _read(source, stream, file)
    with _opened(source, stream) as (feed, stores):
        (entry,) = _entries(feed, _chosen(source, stream, [identity], any_state=True))
        landed = edit_entry(feed, uuid4().hex, entry, payload, because, who(by))
        _account(feed, stores, [landed.receipt], "Edit", merged=True)


@quarantine_app.command()
def discard(
    name: Name,
    because: Because,
    identities: Many = None,
    key: Key = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    by: By = None,
    *,
    every: All = False,
) -> None:
    """Set records aside for good: they are kept with the reason, and no longer counted as open."""
    from integration_assets.replay import discard as discard_entries
    from integration_assets.stores import Stores

    source, stream = _named(name)
    quarantine = Stores.from_settings(Settings.from_environ()).quarantine
    wanted = _chosen(source, stream, identities, key, reason, since, until, every=every)
    entries = quarantine.entries(source.name, stream.name, wanted)
    done = discard_entries(quarantine, source, stream, entries, because, who(by), uuid4().hex)
    line(_out, f"{name}: {done:,} discarded, {quarantine.counts(source.name, stream.name)['open']:,} still open.")


@quarantine_app.command()
def refetch(
    name: Name,
    identities: Many = None,
    key: Key = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    by: By = None,
    *,
    every: All = False,
) -> None:
    """Pull the slices of records again. What the API gives otherwise now is settled; the rest stays open, with status 1."""
    from integration_assets.replay import refetch as refetch_entries

    source, stream = _named(name)
    wanted = _chosen(source, stream, identities, key, reason, since, until, every=every)
    with _opened(source, stream) as (feed, stores):
        entries = _entries(feed, wanted)
        receipts = list(refetch_entries(feed, uuid4().hex, entries, who(by))) if entries else []
        mine = {entry.identity for entry in entries}
        left = [one for one in feed.quarantine.entries(source.name, stream.name) if one.identity in mine and one.state == "open"]
        _account(feed, stores, receipts, "Refetch", merged=True, left=len(left))


def _named(name: str) -> tuple[Source, Stream]:
    """`SOURCE.STREAM`. Raises `SpecError` that lists the streams where none is named."""
    source, streams = _named_all(name)
    if "." not in name:
        names = ", ".join(f"{source.name}.{stream.name}" for stream in streams)
        raise SpecError("each stream has a quarantine of its own", source=source.name, remedy=f"Name one: {names}.")
    return source, streams[0]


def _named_all(name: str) -> tuple[Source, tuple[Stream, ...]]:
    """`SOURCE.STREAM`, or `SOURCE` for all of its streams."""
    source_name, _, stream_name = name.partition(".")
    source = Settings.from_environ().in_force(load_source(source_name))
    return source, (source.stream(stream_name),) if stream_name else source.streams


def _chosen(
    source: Source,
    stream: Stream,
    identities: list[str] | None,
    key: str | None = None,
    reason: str | None = None,
    since: str | None = None,
    until: str | None = None,
    *,
    every: bool = False,
    any_state: bool = False,
) -> Where:
    """Those that are open, or discarded and named one by one. Raises `SpecError` where nothing says which."""
    from integration_assets.land.entries import where

    states = () if any_state else ("open", "discarded") if identities else ("open",)
    found = where(
        source.name,
        stream.name,
        identities=identities or (),
        key=key,
        reason=reason,
        since=since,
        until=until,
        states=states,
    )
    if found.everything != every:
        raise SpecError(
            "--all and a choice exclude each other" if every else "nothing says which records are meant",
            source=source.name,
            stream=stream.name,
            remedy="Give identities, --key, --reason, --since or --until; or --all for all that are open.",
        )
    return found


@contextmanager
def _opened(source: Source, stream: Stream) -> Iterator[tuple[Feed, Stores]]:
    from integration_assets.feed import open_feeds
    from integration_assets.stores import Stores

    def say(sentence: str) -> None:
        line(_out, sentence, "yellow")

    settings = Settings.from_environ()
    stores = Stores.from_settings(settings, say)
    with open_feeds(source, stores, settings, [stream], say) as (feed,):
        yield feed, stores


def _entries(feed: Feed, wanted: Where) -> list[Entry]:
    return feed.quarantine.entries(feed.source.name, feed.stream.name, wanted)


def _account(feed: Feed, stores: Stores, receipts: list[Receipt], title: str, *, merged: bool, left: int | None = None) -> None:
    """What became of the records, and what is still open; leaves with status 1 when some of those that were meant are."""
    from integration_assets.spec.summary import outcome
    from integration_assets.sync import merge

    name = f"{feed.source.name}.{feed.stream.name}"
    total = outcome(receipts)
    if total is None:
        line(_out, f"{name}: no record is open that was meant; see: integration quarantine list {name} --all")
        return
    _out.print(account_table([(name, total, receipts)], title))
    for reason in total.reasons:
        line(_out, f"  {reason}")
    for warning in total.warnings:
        line(_out, f"  {warning}", "yellow")
    if merged and any(receipt.version is not None for receipt in receipts):
        result = merge(feed, stores, total.run_id)
        line(_out, f"{name} in the warehouse: {result.rows_total:,} rows, lake version {result.lake_version_after}")
    line(_out, f"{name}: {feed.quarantine.counts(feed.source.name, feed.stream.name)['open']:,} open in quarantine.")
    if total.rejected if left is None else left:
        raise typer.Exit(_STILL_OPEN)


def _read(source: Source, stream: Stream, file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise SpecError(
            f"{file} cannot be read: {error.strerror}",
            source=source.name,
            stream=stream.name,
            field="--file",
            remedy="Give a file with the whole record.",
        ) from None


def who(by: str | None) -> str:
    """Who acts, for the log."""
    try:
        return by or getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
