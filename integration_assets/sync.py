"""What a sync is: plan the slices, ingest each on the lake's present state, merge what landed into the warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, count, islice
from threading import Event

from integration_assets.each_tenant import Failures, check_axis, in_turn, tenants_of
from integration_assets.errors import IntegrationError, PageTokenExpiredError, SliceTakenError
from integration_assets.extract.lane import Lane
from integration_assets.feed import Feed, Job
from integration_assets.ingest import ingest
from integration_assets.land.state import LakeState
from integration_assets.land.warehouse import MergeResult, Target
from integration_assets.masks import check_key
from integration_assets.parallel import in_order
from integration_assets.planning import plan_slice
from integration_assets.progress import Progress, Watch
from integration_assets.receipts import taken_receipt
from integration_assets.spec.cursor import Slice, missing, settled, steps
from integration_assets.spec.receipt import NO_SLICE, Receipt
from integration_assets.spec.source import Stream
from integration_assets.stores import Stores
from integration_assets.unfinished import remainder, unfinished

_TRIES = 3
_LOOK_BACK = 100


def sync(
    feed: Feed,
    run_id: str,
    *,
    partitions: Sequence[str] | None = None,
    span: Slice | None = None,
    tenants: Sequence[str] | None = None,
    now: datetime | None = None,
    afresh: bool = False,
    dry_run: bool = False,
    at_once: int | None = None,
    watch: Watch = lambda _: None,
) -> Iterator[Receipt]:
    """Pull a stream and yield each slice's receipt as it commits.

    partitions : pull these partitions' slices, each cut at the API's now.
    span       : pull (again) this range; with partitions, this part of each.
    afresh     : land what the lake has as it is once more, and ask for a snapshot whatever its ETag says; a span always is.
    neither    : pull what is new: `[watermark - lookback, now - safety_lag)`.
    tenants    : of these, who are not looked up in the API's listing; of all that there are when None. One that fails does not
                 stop the others; when all had their turn, one error names those that failed.
    now        : by the API's clock, where several calls are to end at one moment; it is asked when None.
    at_once    : partitions, tenants or steps of a range that are pulled at once, each in a thread of its own; as many as the
                 source's limits allow when None. Receipts come in the order of the slices all the same: one that is committed
                 early waits for its turn to be told of.
    watch      : called from the thread that pulls the slice.
    Raises the errors of `integration_assets.errors` with source and stream filled in; slices committed before stay. After the
    first error no other slice begins; those under way are finished and told of before it is raised.
    """
    keys = [None] if partitions is None else list(dict.fromkeys(partitions))
    failures = Failures()
    try:
        listed = tenants is not None and feed.stream.tenants is not None and feed.stream.tenants.listing is not None
        chosen = in_turn(feed, tenants or ()) if listed else in_turn(feed, tenants_of(feed, tenants))
        # All by one clock: tenants that are done are then done to the same moment, and the lake notes them together.
        now = feed.client.now() if now is None and chosen and feed.stream.cursor else now
        ranges = [(tenant, key) for tenant in chosen or (None,) for key in keys]
        most = 1 if dry_run else at_once or slices_at_once(feed)
        beside = min(most, len(ranges))
        order = _Order(run_id, span, now, afresh, dry_run, watch, at_once=most if beside <= 1 else 1)
        mine = side_by_side(feed, beside)
        works = (_of_tenant(mine, order, key, tenant, failures) for tenant, key in ranges if tenant not in failures.errors)
        yield from in_order(works, beside, mine.lane.stopped, mine.lane.begun)
        failures.end(chosen)
    except IntegrationError as error:
        raise error.at(feed.source.name, feed.stream.name) from error.__cause__


def slices_at_once(feed: Feed) -> int:
    """How many slices of the stream one run pulls at once.

    Rows without a key are pulled one slice after the other: what a run that ended early had landed out of order could not be
    told from what is read again.
    """
    return 1 if feed.stream.disposition == "append" and not feed.stream.key else feed.source.limits.slices_at_once


def side_by_side(feed: Feed, beside: int) -> Feed:
    """The feed for slices of which so many are pulled at once; as it is for one alone."""
    return feed if beside <= 1 else replace(feed, lane=Lane(feed.lane.share * beside))


@dataclass(frozen=True)
class _Order:
    """What a call of `sync` asks for, and how many steps of one range it pulls at once."""

    run_id: str
    span: Slice | None
    now: datetime | None
    afresh: bool
    dry_run: bool
    watch: Watch
    at_once: int

    @property
    def anew(self) -> bool:
        """Whether what the lake has lands once more."""
        return self.span is not None or self.afresh


def _of_tenant(feed: Feed, order: _Order, key: str | None, tenant: str | None, failures: Failures) -> Iterator[Receipt]:
    with failures.of(tenant):
        yield from _pull(failures.feed(feed), order, key, tenant)


def _pull(feed: Feed, order: _Order, key: str | None, tenant: str | None) -> Iterator[Receipt]:
    """Plan one range and ingest it step by step; what earlier runs could not finish of it comes first."""
    # The first steps go on top of what they were planned on: opening the table costs as much as a small slice.
    base, overtaken = feed.table.state(), Event()
    whole = plan_slice(feed, key, order.span, tenant, order.now, base.finished)
    planned = key is None and order.span is None
    left = [] if order.dry_run else unfinished(feed, whole, base, planned=planned, anew=order.anew)
    if left:
        yield from _in_steps(feed, order, key, left, base, overtaken)
        if overtaken.is_set():
            return
        base = feed.table.state()
        again = plan_slice(feed, key, order.span, tenant, order.now, base.finished)
        whole = again if planned else remainder(feed, whole, left, anew=order.anew)
    cursor = feed.stream.cursor
    coming = steps(cursor, whole)
    if planned and cursor and not order.afresh:
        # Steps that landed beyond one that failed are not asked for again.
        coming = (step for step in coming if not settled(cursor, base.finished, step))
    if _keyless(feed.stream) and not order.anew:
        coming = (part for step in coming for part in missing(base.finished, step))
        if not (planned or left or any(missing(base.finished, whole))):
            order, coming = replace(order, afresh=True), steps(cursor, whole)  # all of it is asked for again
    yield from _in_steps(feed, order, key, coming, base, overtaken)


def _keyless(stream: Stream) -> bool:
    """Whether a range that is read again would land its rows again."""
    return stream.disposition == "append" and not stream.key and stream.cursor is not None and stream.files is None


def _left(feed: Feed, order: _Order, step: Slice, base: LakeState) -> Slice:
    """What is to be read of a step on the lake's state `base`: nothing tells keyless rows from those that landed meanwhile.

    What lies beyond a part that another run finished is the next sync's.
    """
    if not _keyless(feed.stream) or order.anew:
        return step
    return next(missing(base.finished, step), replace(step, start=step.end))


def _in_steps(
    feed: Feed, order: _Order, key: str | None, slices: Iterable[Slice], base: LakeState, overtaken: Event
) -> Iterator[Receipt]:
    """Ingest slices, each on the lake's state of that moment, as many at once as are to be."""
    coming = islice(slices, 1 if order.dry_run else None)
    first = list(islice(coming, order.at_once))
    mine = side_by_side(feed, len(first))
    works = (
        _step(mine, order, key, step, base if place < len(first) else None, overtaken)
        for place, step in enumerate(chain(first, coming))
        if not step.empty and not overtaken.is_set()
    )
    yield from in_order(works, len(first), mine.lane.stopped, mine.lane.begun)


def _step(
    feed: Feed, order: _Order, key: str | None, step: Slice, planned_on: LakeState | None, overtaken: Event
) -> Iterator[Receipt]:
    """Ingest one step, on `planned_on` or the lake's present state; one receipt.

    A step that another run finished meanwhile is left to it. One that it only overlaps, or whose page token was aged out, is
    read again from its start, a few times.

    overtaken : set when another sync is ahead of this one and goes on with the rest: the API is not asked twice.
    """

    def watch(progress: Progress) -> None:
        feed.lane.check()
        feed.lane.begun.set()
        order.watch(progress)

    for tries in count(1):
        base, planned_on = planned_on or feed.table.state(), None
        step = _left(feed, order, step, base)
        if step.empty:
            return
        check_axis(feed, base.finished)
        check_key(feed.mask, base)
        known = replace(base, etag=None) if order.afresh else base
        job = Job(step, known, order.run_id, key, skip_known=not order.anew, dry_run=order.dry_run)
        try:
            receipt = ingest(replace(feed, client=feed.client.apart()), job, watch)
        except PageTokenExpiredError:
            if tries == _TRIES:
                raise
        except SliceTakenError:
            winner = _winner(feed, job)
            if winner is None and tries == _TRIES:
                raise
            if winner is not None:
                _note_overtaken(order, key, winner, overtaken)
                yield taken_receipt(feed, job, winner)
                return
        else:
            yield receipt
            return


def _note_overtaken(order: _Order, key: str | None, winner: Receipt, overtaken: Event) -> None:
    if key is None and order.span is None and winner.partition is None:
        overtaken.set()


def _winner(feed: Feed, job: Job) -> Receipt | None:
    """The receipt of another run that finished the job's whole slice after the job was planned, if there is one."""
    planned_on = job.base.version if job.base.version is not None else -1
    since = [one for one in feed.table.receipts(limit=_LOOK_BACK) if one.version is not None and one.version > planned_on]
    pulled = [one for one in since if one.outcome not in NO_SLICE]
    return next((one for one in pulled if Slice.from_json(one.slice, one.tenant).covers(job.slice)), None)


def merge(feed: Feed, stores: Stores, run_id: str) -> MergeResult:
    """Bring the warehouse's table up to the lake's present version."""
    try:
        return stores.warehouse.merge(Target.of(feed.source, feed.stream, feed.contract), feed.table, run_id)
    except IntegrationError as error:
        raise error.at(feed.source.name, feed.stream.name) from error.__cause__
