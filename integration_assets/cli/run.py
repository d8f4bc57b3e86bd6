"""`integration sync`: pull, land and merge the chosen streams, with progress while it works and an account at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from integration_assets import progress
from integration_assets.cli.plan import Plan, plan_all
from integration_assets.cli.ranges import Asked
from integration_assets.cli.report import account_table, line, untouched
from integration_assets.errors import IntegrationError
from integration_assets.feed import open_feeds
from integration_assets.land.warehouse import MergeResult
from integration_assets.settings import Settings
from integration_assets.spec.parent import parents_first
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source
from integration_assets.spec.summary import outcome
from integration_assets.stores import Say, Stores
from integration_assets.sync import merge
from integration_assets.sync import sync as sync_stream
from integration_assets.tally import Tally

_REASONS = 5


@dataclass
class Work:
    """One stream's plan and what has become of it. `failure` says why it ended early."""

    plan: Plan
    receipts: list[Receipt] = field(default_factory=list)
    merged: MergeResult | None = None
    begun: bool = False
    failure: str | None = None

    @property
    def landed(self) -> int:
        """How many slices are in the lake by this work."""
        return sum(receipt.version is not None for receipt in self.receipts)

    @property
    def account(self) -> Receipt | None:
        """All receipts as one, or that of a stream of which there was nothing to pull; None when nothing was finished."""
        if not self.receipts and self.begun and self.failure is None:
            return untouched(self.plan.feed.source, self.plan.feed.stream, "")
        return outcome(self.receipts)


def run_sync(source: Source, wanted: Asked, settings: Settings, out: Console, *, run_id: str, dry_run: bool) -> None:
    """Sync the streams one after the other.

    Whatever is raised, ctrl-C included, the account of what landed is printed; what landed before an error is merged too.
    """

    def say(sentence: str) -> None:
        line(out, sentence, "yellow")

    for name, why in wanted.left_out.items():
        say(f"{source.name}.{name} left out: {why}")
    stores = Stores.from_settings(settings, say)
    with open_feeds(source, stores, settings, parents_first(wanted.streams), say) as feeds:
        works = [Work(plan) for plan in plan_all(feeds, wanted)]
        for work in works:
            for note in work.plan.notes:
                say(f"{work.plan.name}: {note}")
        try:
            with _progress(out) as bars:
                for work in works:
                    _sync_one(work, stores, run_id, bars, say, dry_run=dry_run)
        finally:
            _account(out, works, stores, dry_run=dry_run)


def _sync_one(work: Work, stores: Stores, run_id: str, bars: Progress, say: Say, *, dry_run: bool) -> None:
    """Pull one stream and merge it; what the lake has is merged before an error goes on: a run before may have been killed."""
    work.begun = True
    work.failure = "stopped"
    try:
        _pull(work, run_id, bars, dry_run=dry_run)
    except IntegrationError:
        work.failure = "ended by the error below"
        if not dry_run:
            _merge_after_error(work, stores, run_id, say)
        raise
    work.failure = None
    if not dry_run:
        work.merged = merge(work.plan.feed, stores, run_id)


def _merge_after_error(work: Work, stores: Stores, run_id: str, say: Say) -> None:
    """The error that ended the pull is the one to raise; a merge that fails as well is only told of."""
    try:
        if work.plan.feed.table.exists():
            work.merged = merge(work.plan.feed, stores, run_id)
    except IntegrationError as error:
        say(f"What landed before the error could not be merged: {error}")


def _pull(work: Work, run_id: str, bars: Progress, *, dry_run: bool) -> None:
    """Ingest one stream under a progress bar of its slices."""
    plan = work.plan
    if not plan.slices:
        return
    bar = bars.add_task(plan.feed.stream.name, total=plan.slices, rows=0, rate="")
    tally = Tally()

    def watch(now: progress.Progress) -> None:
        tally.tell(now)
        bars.update(bar, rows=tally.fetched, rate=f"{tally.rate:,.0f}/s")

    whose = plan.tenants or None
    for receipt in sync_stream(
        plan.feed, run_id, partitions=plan.keys, span=plan.span, tenants=whose, dry_run=dry_run, watch=watch
    ):
        work.receipts.append(receipt)
        bars.update(bar, advance=1)
    bars.update(bar, total=len(work.receipts), completed=len(work.receipts))


def _progress(out: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TextColumn("slices, {task.fields[rows]:,} records {task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=out,
        transient=True,
    )


def _account(out: Console, works: Sequence[Work], stores: Stores, *, dry_run: bool) -> None:
    """The table of all streams, then a line for each thing that someone should know."""
    rows = [(work.plan.name, account, work.receipts) for work in works if (account := work.account)]
    if rows:
        out.print(account_table(rows, "Dry run: nothing was written" if dry_run else "Sync"))
    for work in works:
        if work.merged:
            line(out, _merged(work.plan.name, work.merged))
    for work in works:
        _rejects(out, work, stores, dry_run=dry_run)
    for name, account, _ in rows:
        for warning in account.warnings:
            line(out, f"{name}: {warning}", "yellow")
    _unfinished(out, works)


def _merged(name: str, result: MergeResult) -> str:
    changes = f"{result.inserted:,} new, {result.updated:,} changed, {result.deleted:,} gone"
    return f"{name} in the warehouse: {result.rows_total:,} rows ({changes}), lake version {result.lake_version_after}"


def _rejects(out: Console, work: Work, stores: Stores, *, dry_run: bool) -> None:
    """How many records were rejected, why, and where they are."""
    account = work.account
    if account is None or not account.rejected:
        return
    where = "" if dry_run else f"; they are in quarantine, see: integration rejects {work.plan.name}"
    line(out, f"{work.plan.name}: {account.rejected:,} of {account.fetched:,} records rejected{where}", "yellow")
    if not dry_run:
        line(out, f"  {stores.quarantine.table(account.source, account.stream).uri}")
    for reason in account.reasons[:_REASONS]:
        line(out, f"  {reason}")
    if len(account.reasons) > _REASONS:
        line(out, "  and other reasons")


def _unfinished(out: Console, works: Sequence[Work]) -> None:
    """What an error or ctrl-C left undone."""
    for work in works:
        if work.failure:
            line(out, f"{work.plan.name}: {work.failure} after {len(work.receipts):,} of {work.plan.slices:,} slices", "yellow")
        if work.landed and work.merged is None:
            line(
                out,
                f"{work.plan.name}: {work.landed:,} {'slice is' if work.landed == 1 else 'slices are'} in the lake and not merged"
                " yet; the next sync merges them",
                "yellow",
            )
    waiting = [work.plan.name for work in works if not work.begun]
    if waiting:
        line(out, f"Not pulled: {', '.join(waiting)}", "yellow")
