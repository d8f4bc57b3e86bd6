"""A key sweep: hold the full list of an API's keys against the warehouse's table, and delete softly what is in no list any more.

What it finds lands in the lake in one commit, as rows that delete or bring back, and the next merge takes it to the warehouse:
that stays a function of the lake. docs/decisions/0014 says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pyarrow as pa

from integration_assets.each_tenant import Failures, check_axis, tenants_of
from integration_assets.errors import IntegrationError, LakeError, RescheduleError, SliceTakenError, SweepRefusedError
from integration_assets.feed import Feed
from integration_assets.key_list import READINGS, KeyList, read_list
from integration_assets.land.reading import LakeFile
from integration_assets.land.state import LakeState
from integration_assets.land.store import VersionsGoneError
from integration_assets.land.sweeping import Differences, Lists, Stamp, list_schema, revivals, swept_schema, tombstones
from integration_assets.land.warehouse import Target
from integration_assets.land.writer import Writer
from integration_assets.masks import check_key
from integration_assets.parents import around, left_out
from integration_assets.receipts import new_receipt
from integration_assets.spec.cursor import Slice
from integration_assets.spec.receipt import SWEPT, Receipt
from integration_assets.spec.sweep import Sweep, SweepReceipt, keys_of
from integration_assets.spec.tenants import tenant_value
from integration_assets.stages import required_columns, schema_of
from integration_assets.stores import Stores
from integration_assets.sync import merge

_TRIES = 10
EXAMPLES = 50
"""Rows that a sweep shows of those it deletes, or would delete."""


@dataclass(frozen=True)
class Swept:
    """A sweep's receipt, and the first of the rows that the list does not have: key, version and cursor as they are stored."""

    receipt: SweepReceipt
    examples: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class _Task:
    """One sweep of one tenant: what it began with."""

    feed: Feed
    stores: Stores
    run_id: str
    actor: str
    tenant: str | None
    threshold: float | None
    dry_run: bool
    base: LakeState
    until: datetime | None
    swept_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=monotonic)

    @property
    def sweep(self) -> Sweep:
        assert self.feed.stream.sweep is not None  # noqa: S101 - looked at before any is made
        return self.feed.stream.sweep


def sweep(
    feed: Feed,
    stores: Stores,
    run_id: str,
    actor: str,
    *,
    tenants: Sequence[str] | None = None,
    threshold: float | None = None,
    dry_run: bool = False,
) -> Iterator[Swept]:
    """Sweep a stream, each tenant alone, and merge what was found; yields what became of each.

    actor     : who has it done; kept in the lake's commit.
    tenants   : of these; of all that there are when None. One that fails or is refused does not stop the others.
    threshold : in place of the spec's, for this once.
    dry_run   : read the list and compare, and write nothing but what is staged for the comparison.
    Raises `SpecError` for a stream without a sweep, `SweepRefusedError` at the end for lists that were refused, and what reading
    and landing raise; a sweep that landed stays.
    """
    source, stream = feed.source, feed.stream
    failures, landed = Failures(), False
    try:
        keys_of(stream)
        _check_lake(feed)
        if not dry_run:
            merge(feed, stores, run_id)
        chosen = tenants_of(feed, tenants)
        try:
            for tenant in chosen or (None,):
                with failures.of(tenant):
                    base, until = feed.table.state(), _until(feed)
                    task = _Task(feed, stores, run_id, actor, tenant, threshold, dry_run, base, until)
                    swept = _one(task)
                    landed = landed or swept.receipt.version is not None
                    yield swept
                    if swept.receipt.refused is not None:
                        raise _refused(swept.receipt)
        finally:
            if landed:
                merge(feed, stores, run_id)
        failures.end(chosen)
    except IntegrationError as error:
        raise error.at(source.name, stream.name) from error.__cause__


def _check_lake(feed: Feed) -> None:
    """See that there is something to sweep, and that keys are stored as they were. Raises `LakeError`."""
    state = feed.table.state()
    if not state.sequence:
        raise LakeError("nothing was pulled yet, so there is nothing to sweep", remedy="Sync the stream first.")
    check_axis(feed, state.finished)
    check_key(feed.mask, state)


def _until(feed: Feed) -> datetime | None:
    """Up to which version, by the API's clock, the list surely knows every record; None where versions are no times."""
    version, sweep = feed.stream.version_column, feed.stream.sweep
    if sweep is None or not sweep.lag or version is None:
        return None
    type_ = feed.contract.column(version).type
    timed = pa.types.is_timestamp(type_) and getattr(type_, "tz", None) is not None
    return feed.client.now() - sweep.lag if timed else None


def _one(task: _Task) -> Swept:
    """Read the list, again if it moved meanwhile, compare, and land what was found."""
    feed = task.feed
    for left in reversed(range(READINGS)):
        with feed.table.writer(list_schema(feed.table.schema(), feed.stream.key)) as staged:
            found = read_list(feed, task.tenant, staged)
            if found.moved and left:
                continue
            return _settled(task, found)
    raise AssertionError  # the last reading returns or raises


def _settled(task: _Task, found: KeyList) -> Swept:
    for _ in range(_TRIES):
        try:
            return _settle(task, found)
        except SliceTakenError:
            continue  # something landed meanwhile: its keys are left alone, so compare again
        except VersionsGoneError as error:
            raise RescheduleError("the lake was rewritten while it was swept", remedy="Sweep again later.") from error
    raise RescheduleError("other runs kept landing rows while the list was compared", remedy="Sweep again later.")


def _settle(task: _Task, found: KeyList) -> Swept:
    """Compare the list with the table as both are now; land what differs, if that is as it may be."""
    feed, stream = task.feed, task.feed.stream
    base = feed.table.state()
    aim = Target.of(feed.source, stream, feed.contract)
    with feed.table.writer(list_schema(feed.table.schema(), stream.key)) as staged:
        touched = _touched(task, base, staged)
        lists = Lists(found.files, touched, required_columns(stream), _whose(feed, task.tenant), task.until)
        with task.stores.warehouse.compare(aim, feed.table, lists) as differences:
            receipt = _account(task, found, differences)
            if receipt.outcome == "refused" or task.dry_run:
                return Swept(receipt, _examples(differences.gone()))
            return _land(task, base, receipt, differences)


def _touched(task: _Task, base: LakeState, staged: Writer) -> list[LakeFile]:
    """The keys of what landed since the sweep began, or that the warehouse does not have yet, staged."""
    table, stream = task.feed.table, task.feed.stream
    merged = task.stores.warehouse.version(task.feed.source.name, stream.name)
    assert task.base.version is not None  # noqa: S101 - a stream that was pulled has a table
    known = min(task.base.version, -1 if merged is None else merged)
    new = table.files(known if known >= 0 else None, base.version)
    schema = list_schema(table.schema(), stream.key)
    for batch in table.scan(new, schema.names) if new else ():
        staged.write(batch)
    return [LakeFile(0, file.path, file.rows) for file in staged.finish()]


def _whose(feed: Feed, tenant: str | None) -> tuple[str, str | int] | None:
    column = feed.stream.tenants.column if feed.stream.tenants else None
    if column is None or tenant is None:
        return None
    return column, tenant_value(tenant, feed.contract.column(column).type)


def _account(task: _Task, found: KeyList, seen: Differences) -> SweepReceipt:
    """What was seen, and whether anything may be deleted for it."""
    threshold = task.sweep.threshold if task.threshold is None else task.threshold
    receipt = SweepReceipt(
        source=task.feed.source.name,
        stream=task.feed.stream.name,
        run_id=task.run_id,
        actor=task.actor,
        outcome="dry-run" if task.dry_run else SWEPT,
        swept_at=task.swept_at.isoformat(),
        tenant=task.tenant,
        listed=seen.listed,
        flagged=seen.flagged,
        total=found.total,
        live=seen.live,
        unlisted=seen.unlisted,
        returned=seen.returned,
        unknown=seen.unknown,
        allowed=task.sweep.allowed(seen.live, threshold),
        threshold=threshold,
        pages=found.pages,
        requests=found.requests,
        seconds=round(monotonic() - task.started, 3),
    )
    refused = found.wrong or _incomplete(receipt)
    return receipt if refused is None else replace(receipt, outcome="refused", refused=refused)


def _incomplete(receipt: SweepReceipt) -> str | None:
    """Why the list looks incomplete beside the table; None when it does not."""
    there = receipt.listed - receipt.flagged
    if receipt.total is not None and receipt.total != receipt.listed:
        return f"the API counts {receipt.total:,} records and listed {receipt.listed:,} different keys"
    if receipt.live and not there:
        return f"it is empty, and the table has {receipt.live:,} live rows"
    if there < receipt.live - receipt.allowed:
        return f"it has {there:,} keys and the table {receipt.live:,} live rows, of which {receipt.allowed:,} may be deleted"
    if receipt.unlisted > receipt.allowed:
        return f"it would delete {receipt.unlisted:,} of {receipt.live:,} live rows, and {receipt.allowed:,} may be deleted"
    return None


def _land(task: _Task, base: LakeState, receipt: SweepReceipt, seen: Differences) -> Swept:
    """Commit rows that delete what is gone and bring back what returned; no commit when there is neither."""
    feed, stamp = task.feed, Stamp(task.swept_at, task.run_id)
    schema = swept_schema(schema_of(feed))
    examples = _examples(seen.gone())
    if not (seen.unlisted or seen.returned):
        return Swept(replace(receipt, outcome="unchanged"))
    aim, unlisted, revived = Target.of(feed.source, feed.stream, feed.contract), 0, 0
    ranges: list[Slice | None] = []
    with feed.table.writer(schema) as writer:
        for rows in tombstones(seen.gone(), schema, stamp):
            writer.write(rows)
            unlisted += rows.num_rows
        for rows in revivals(feed.table, aim, seen.back(), schema, stamp):
            writer.write(rows)
            revived += rows.num_rows
            ranges.append(around(feed.stream, rows, task.tenant))
        if unlisted > receipt.allowed:
            raise SliceTakenError("the table changed while it was compared")
        if not (unlisted or revived):
            return Swept(replace(receipt, outcome="unchanged"))
        late = (warning for range_ in ranges for warning in left_out(feed.source, feed.stream, range_))
        seconds = round(monotonic() - task.started, 3)
        receipt = replace(receipt, unlisted=unlisted, revived=revived, seconds=seconds, warnings=tuple(late)[:EXAMPLES])
        feed.table.prepare(schema)
        committed = feed.table.commit(writer, _receipt(task, base, receipt), None, base, feed.stream.origin)
    return Swept(replace(receipt, version=committed.version), examples)


def _receipt(task: _Task, base: LakeState, receipt: SweepReceipt) -> Receipt:
    """The lake's account of what landed."""
    landed = receipt.unlisted + receipt.revived
    return replace(
        new_receipt(task.feed, base, receipt.tenant, receipt.run_id, SWEPT, receipt.swept_at),
        pages=receipt.pages,
        requests=receipt.requests,
        fetched=landed,
        accepted=landed,
        tombstones=receipt.unlisted,
        seconds=receipt.seconds,
        warnings=receipt.warnings,
        sweep=receipt.to_dict(),
    )


def _examples(rows: Iterator[pa.RecordBatch]) -> tuple[dict[str, Any], ...]:
    """A few of the rows in the order of their keys, without their time of extraction."""
    found: list[dict[str, Any]] = []
    for batch in rows:
        found += [{name: value for name, value in row.items() if not name.startswith("_")} for row in batch.to_pylist()]
        if len(found) >= EXAMPLES:
            break
    return tuple(sorted(found[:EXAMPLES], key=lambda row: tuple(row.values())))


def _refused(receipt: SweepReceipt) -> SweepRefusedError:
    return SweepRefusedError(
        f"the list of keys was refused, and nothing was deleted: {receipt.refused}",
        source=receipt.source,
        stream=receipt.stream,
        field="sweep",
        remedy="See what the API lists, and what a dry run would delete; if that is right, sweep once with a larger --threshold.",
    )
