"""A shadow run: one slice read through a stream's present version and its candidate, and what differs between the two.

Nothing of it lands: both sides are kept in a scratch folder while they are compared, and neither the lake nor the warehouse nor
the quarantine is written. Each side's requests keep the limits that all runs share.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from integration_assets.each_tenant import tenants_of
from integration_assets.errors import IntegrationError, SpecError
from integration_assets.extract.opening import reading_of
from integration_assets.feed import Feed, open_feeds
from integration_assets.land.compare import Comparison, Place, compare
from integration_assets.land.lake import Lake, LakeTable
from integration_assets.pairing import Pairing
from integration_assets.planning import plan_slice
from integration_assets.settings import Settings
from integration_assets.spec.cursor import Slice
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.receipt import NO_SLICE
from integration_assets.spec.records import Drift, note_reasons
from integration_assets.spec.source import Source, Stream
from integration_assets.stages import batches, gate_of, judge, schema_of, seen_before
from integration_assets.stores import Say, Stores
from integration_assets.transform.showing import Showing
from integration_assets.transform.technical import stamp
from integration_assets.validate.drift import sentences
from integration_assets.validate.sieve import inside

EXAMPLES = 5
_REASONS = 5
_LOOK_BACK = 100
_WIDTH = 60
_TICK = timedelta(microseconds=1)


@dataclass
class Account:
    """What one side sent. `drift` are sentences, `reasons` the first different ones of rejects, without their values."""

    name: str
    pages: int = 0
    requests: int = 0
    fetched: int = 0
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)
    drift: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """A row that differs, as people may see it: `column: present → candidate` for each column that does."""

    place: Place
    key: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What a shadow run found.

    slices   : what was read, one a tenant.
    present, candidate : each side's account.
    found    : what the rows say.
    examples : a few rows that differ.
    against  : why the candidate cannot take the present version's place, in sentences; none where it can.
    notes    : what else someone should know.
    """

    source: str
    stream: str
    slices: tuple[Slice, ...]
    present: Account
    candidate: Account
    found: Comparison
    examples: tuple[Shown, ...]
    against: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the candidate gives the same within what is tolerated."""
        return not self.against


def shadow(
    source: Source,
    stream: Stream,
    stores: Stores,
    settings: Settings,
    *,
    partition: str | None = None,
    span: Slice | None = None,
    tenants: Sequence[str] | None = None,
    say: Say | None = None,
    examples: int = EXAMPLES,
) -> Outcome:
    """Read one slice through `stream` and through its candidate, and compare the rows by key.

    stream    : as it is asked now; one that was cut over is compared with what was before.
    partition, span : what to read; without either the last partition that is over, or the last slice that was finished, or
                what a sync would pull. A stream without a cursor is read whole.
    Raises `SpecError` before anything is asked when the two cannot be compared, and what reading a slice raises.
    """
    described = stream.candidate
    if described is None:
        raise SpecError(
            "the stream has no candidate to compare with",
            source=source.name,
            stream=stream.name,
            field="candidate",
            remedy="Describe what is new as candidate=Candidate(…).",
        )
    other = described.other(stream)
    names = ("candidate", "before the cut-over") if described.in_force else ("present", "candidate")
    try:
        with (
            open_feeds(source, stores, settings, [stream], say) as (present,),
            open_feeds(source, stores, settings, [other], say) as (candidate,),
            tempfile.TemporaryDirectory(prefix="shadow-") as folder,
        ):
            pairing = Pairing.of(described, present.stream, present.contract, candidate.contract)
            slices = [_slice(present, partition, span, tenant) for tenant in tenants_of(present, tenants) or (None,)]
            lake = Lake(str(Path(folder) / "rows"))
            old = _spool(present, slices, lake.table("shadow", "old"), names[0])
            new = _spool(candidate, slices, lake.table("shadow", "new"), names[1])
            spill = Path(folder) / "spill"
            found = compare(lake.table("shadow", "old"), lake.table("shadow", "new"), pairing.rules(stream, examples), spill)
    except IntegrationError as error:
        raise error.at(source.name, stream.name) from error.__cause__
    showings = [Showing(feed.contract, settings.mask_key) for feed in (present, candidate)]
    against = (*_rows_against(found, old, new), *pairing.against())
    notes = (*pairing.notes(), *(f"{one.name}: {sentence}" for one in (old, new) for sentence in one.drift))
    return Outcome(source.name, stream.name, tuple(slices), old, new, found, tuple(_shown(found, showings)), against, notes)


def _rows_against(found: Comparison, old: Account, new: Account) -> Iterator[str]:
    if found.only_old:
        yield f"{found.only_old:,} rows are only in {old.name}"
    if found.only_new:
        yield f"{found.only_new:,} rows are only in {new.name}"
    if found.changed:
        most = sorted(found.columns.items(), key=lambda one: -one[1])
        yield f"{found.changed:,} rows differ, in {', '.join(f'{name} ({count:,})' for name, count in most)}"
    if new.rejected > old.rejected:
        yield f"{new.name} has {new.rejected:,} rejects, and {old.name} {old.rejected:,}: {'; '.join(new.reasons)}"
    if not found.old and not found.new:
        yield "neither side has a row: nothing was compared"


def _slice(feed: Feed, partition: str | None, span: Slice | None, tenant: str | None) -> Slice:
    """What to read of one tenant, or of a stream without: what was asked for, or what is past and does not change any more."""
    stream = feed.stream
    if stream.cursor is None or partition is not None or span is not None:
        return plan_slice(feed, partition, span, tenant)
    now = feed.client.now()
    if stream.partitions is not None and (closed := _last_closed(stream.partitions, now - stream.cursor.safety_lag)):
        return replace(closed, tenant=tenant)
    for receipt in feed.table.receipts(_LOOK_BACK):
        if receipt.outcome in NO_SLICE or receipt.tenant != tenant:
            continue
        start, end = receipt.slice
        done = Slice.from_json((start, receipt.watermark_after if end is None else end), tenant)
        if done.end is not None and not done.empty:
            return done
    return plan_slice(feed, None, None, tenant, now)


def _last_closed(partitions: Partitions, final: datetime) -> Slice | None:
    """The last partition whose end is past; None before the first one's."""
    reached = min(final, partitions.limit) if partitions.limit else final
    while reached > partitions.origin:
        whole = partitions.slice_of(partitions.key_of(reached - _TICK))
        if isinstance(whole.end, datetime) and whole.end <= reached:
            return whole
        assert isinstance(whole.start, datetime)  # noqa: S101 - a partition is closed on both sides
        reached = whole.start
    return None


def _spool(feed: Feed, slices: Sequence[Slice], table: LakeTable, name: str) -> Account:
    """Read the slices and keep the good rows, masked as the lake would have them, in a table of the scratch folder."""
    account, used, drift = Account(name), feed.client.usage.snapshot(), Drift()
    schema, gate, cursor, began = schema_of(feed), gate_of(feed), feed.stream.cursor, datetime.now(UTC)
    table.prepare(schema)
    with table.writer(schema) as writer:
        for slice_ in slices:
            seen = seen_before(feed, None)
            above = feed.parents.rows(slice_) if feed.parents else None
            reading = reading_of(feed.client, feed.source, feed.stream, feed.contract, slice_, parents=above)
            for batch in batches(reading):
                mine = inside(batch, cursor.field, slice_) if cursor else batch
                _, stored, rejects = judge(feed, gate, seen.fresh(mine))
                writer.write(stamp(stored, began, "shadow"))
                account.fetched += batch.fetched
                account.rejected += len(rejects)
                note_reasons(account.reasons, (reason for reject in rejects for reason in reject.reasons), _REASONS)
            account.pages += reading.pages
            drift.add(reading.drift)
        table.append(writer)
    account.requests = feed.client.usage.minus(used).requests
    account.drift = sentences(drift, account.fetched)
    return account


def _shown(found: Comparison, showings: Sequence[Showing]) -> Iterator[Shown]:
    """The examples as people may see them: what either contract hides is hidden."""

    def hidden(row: Mapping[str, Any]) -> dict[str, Any]:
        shown = dict(row)
        for showing in showings:
            shown = showing.row(shown)
        return shown

    for example in found.examples:
        old = hidden({name: pair[0] for name, pair in example.columns.items()})
        new = hidden({name: pair[1] for name, pair in example.columns.items()})
        key = ", ".join(f"{name}={_text(value)}" for name, value in hidden(example.key).items())
        yield Shown(example.place, key, tuple(f"{name}: {_text(old[name])} → {_text(new[name])}" for name in example.columns))


def _text(value: object) -> str:
    text = "null" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
