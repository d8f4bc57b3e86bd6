"""What a sync is: plan the slices, ingest each on the lake's present state, merge what landed into the warehouse."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import chain

from integration_assets.each_tenant import Failures, check_axis, in_turn, tenants_of
from integration_assets.errors import (
    IntegrationError,
    LakeError,
    PageTokenExpiredError,
    SecretMissingError,
    SliceTakenError,
    SpecError,
)
from integration_assets.extract.limits import open_store
from integration_assets.extract.opening import Client, client_for
from integration_assets.ingest import Feed, Job, Watch, ingest
from integration_assets.land.state import LakeState
from integration_assets.land.warehouse import MergeResult, Target
from integration_assets.parents import parents_of
from integration_assets.settings import MASK_KEY, Settings
from integration_assets.spec.contract import Contract, check_stream
from integration_assets.spec.cursor import Slice, plan, steps
from integration_assets.spec.receipt import NO_SLICE, Receipt
from integration_assets.spec.source import Source, Stream
from integration_assets.stores import Say, Stores
from integration_assets.transform.masking import Masking, mask_for, needs_key

__all__ = ["Say", "Stores", "merge", "open_feeds", "outcome", "plan_slice", "sync", "target", "tenants_of"]

_TRIES = 3
_LOOK_BACK = 100
_SECURE = 16
"""Characters that a masking key has at least."""


@contextmanager
def open_feeds(
    source: Source, stores: Stores, settings: Settings, streams: Sequence[Stream] | None = None, say: Say | None = None
) -> Iterator[list[Feed]]:
    """Feeds of a source's streams that share one client an address. Checks spec, contracts and lake before any request is spent.

    streams : as they are to be asked; all, cut over as the settings say, when None.
    say     : told why and how long before each wait for the API.
    """
    chosen = settings.in_force(source).streams if streams is None else streams
    located = {stream.name: settings.locate_stream(source, stream) for stream in chosen}
    contracts = {stream.name: check_stream(source, stream) for stream in chosen}
    masks = {name: masking(source, name, contract, settings) for name, contract in contracts.items()}
    stores.check()

    def waiting(reason: str, seconds: float) -> None:
        if say:
            say(f"{source.name}: {reason}; trying again in {seconds:,.1f} s")

    secrets = settings.secrets_for(source)
    with open_store(settings.limits_uri) as limits, ExitStack() as stack:
        addresses = {one.base_url: one for one in located.values()}
        clients: dict[str, Client] = {}
        for url, one in addresses.items():
            clients[url] = client_for(one, secrets, waiting, limits)
            stack.enter_context(clients[url])
        yield [
            Feed(
                located[stream.name],
                stream,
                contracts[stream.name],
                clients[located[stream.name].base_url],
                stores.table(source, stream),
                stores.quarantine,
                masks[stream.name],
                parents=parents_of(source, stream, stores),
            )
            for stream in chosen
        ]


def masking(source: Source, stream: str, contract: Contract, settings: Settings) -> Masking:
    """What masks a stream's rows before they are stored. Raises `SecretMissingError` when the key for it is not set."""
    column, key = needs_key(contract), settings.mask_key
    if column is not None and key is None:
        raise SecretMissingError(
            f"the secret {MASK_KEY}, with which the column is hashed, is not set",
            source=source.name,
            stream=stream,
            field=f"contract.{column}",
            remedy=f"Set {MASK_KEY} to a long random text, the same wherever tables are to be joined, and never change it.",
        )
    if column is not None and len(key or b"") < _SECURE:
        raise SpecError(
            f"the secret {MASK_KEY} is so short that what is hashed with it could be guessed",
            source=source.name,
            stream=stream,
            field=f"contract.{column}",
            remedy=f"Set it to {_SECURE} random characters or more.",
        )
    return mask_for(contract, key)


def _check_key(feed: Feed, base: LakeState) -> None:
    """See that values are hashed as they were before. Raises `LakeError`: under two keys every value would have two names."""
    last = base.receipt.mask_key if base.receipt else ""
    if last and feed.mask.key_name and last != feed.mask.key_name:
        raise LakeError(
            f"the lake's columns were hashed with another {MASK_KEY}",
            remedy=f"Set {MASK_KEY} to the one before, or move the table away and sync from the start.",
        )


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
    Raises the errors of `integration_assets.errors` with source and stream filled in; slices committed before stay.
    """
    wanted: list[tuple[str | None, Slice | None]]
    wanted = [(key, span) for key in partitions] if partitions is not None else [(None, span)]
    failures = Failures()
    try:
        listed = tenants is not None and feed.stream.tenants is not None and feed.stream.tenants.listing is not None
        chosen = in_turn(feed, tenants or ()) if listed else in_turn(feed, tenants_of(feed, tenants))
        # All by one clock: tenants that are done are then done to the same moment, and the lake notes them together.
        now = feed.client.now() if now is None and chosen and feed.stream.cursor else now
        for tenant in chosen or (None,):
            with failures.of(tenant):
                one = failures.feed(feed)
                for key, range_ in wanted:
                    yield from _pull(one, run_id, key, range_, tenant, now, afresh=afresh, dry_run=dry_run, watch=watch)
        failures.end(len(chosen))
    except IntegrationError as error:
        raise error.at(feed.source.name, feed.stream.name) from error.__cause__


def _pull(
    feed: Feed,
    run_id: str,
    key: str | None,
    span: Slice | None,
    tenant: str | None,
    now: datetime | None,
    *,
    afresh: bool,
    dry_run: bool,
    watch: Watch,
) -> Iterator[Receipt]:
    """Plan one range and ingest it step by step, each on the lake's state of that moment.

    A step that another run finished meanwhile is left to it. One that it only overlaps, or whose page token was aged out, is
    read again from its start, a few times.
    """
    planned = key is None and span is None
    # The first step goes on top of what it was planned on: opening the table costs as much as a small slice.
    planned_on = feed.table.state()
    states = chain([planned_on], iter(feed.table.state, None))
    ahead = deque(steps(feed.stream.cursor, plan_slice(feed, key, span, tenant, now, planned_on.finished)))
    tries = 0
    while ahead and not ahead[0].empty:
        base = next(states)
        check_axis(feed, base.finished)
        _check_key(feed, base)
        known = replace(base, etag=None) if afresh else base
        job = Job(ahead[0], known, run_id, key, skip_known=span is None and not afresh, dry_run=dry_run)
        try:
            receipt = ingest(feed, job, watch)
        except PageTokenExpiredError:
            tries += 1
            if tries == _TRIES:
                raise
            continue
        except SliceTakenError:
            winner, tries = _winner(feed, job), tries + 1
            if winner is None and tries == _TRIES:
                raise
            if winner is not None:
                yield _taken(feed, job, winner)
                if planned and winner.partition is None:
                    return  # another sync is ahead of this one and goes on with the rest: the API is not asked twice
                ahead.popleft()
                tries = 0
            continue
        yield receipt
        if dry_run:
            return
        ahead.popleft()
        tries = 0


def _winner(feed: Feed, job: Job) -> Receipt | None:
    """The receipt of another run that finished the job's whole slice after the job was planned, if there is one."""
    planned_on = job.base.version if job.base.version is not None else -1
    since = [one for one in feed.table.receipts(limit=_LOOK_BACK) if one.version is not None and one.version > planned_on]
    pulled = [one for one in since if one.outcome not in NO_SLICE]
    return next((one for one in pulled if Slice.from_json(one.slice, one.tenant).covers(job.slice)), None)


def plan_slice(
    feed: Feed,
    key: str | None = None,
    span: Slice | None = None,
    tenant: str | None = None,
    now: datetime | None = None,
    finished: Sequence[Slice] | None = None,
) -> Slice:
    """The range that a sync of this stream, or of one tenant of it, would pull now; of children as far as their parents are.

    now      : by the API's clock, which is asked where the source says so when None.
    finished : what the lake has, which is looked up when None.
    """
    found = _plan(feed, key, span, tenant, now, finished)
    if feed.parents is None:
        return found
    planned = key is None and span is None
    return feed.parents.within(found) if planned else feed.parents.check(found, feed.source, feed.stream)


def _plan(
    feed: Feed,
    key: str | None,
    span: Slice | None,
    tenant: str | None,
    now: datetime | None,
    finished: Sequence[Slice] | None,
) -> Slice:
    """The range as far as the API's own data is final."""
    stream = feed.stream
    if key is not None and stream.partitions is None:
        raise SpecError(
            f"there is no partition {key!r}: the stream is not partitioned",
            source=feed.source.name,
            stream=stream.name,
            remedy="Leave the partition out.",
        )
    if stream.cursor is None:
        if span is not None:
            raise SpecError(
                "the stream has no cursor and is always pulled whole",
                source=feed.source.name,
                stream=stream.name,
                remedy="Leave --from and --to out.",
            )
        return Slice(tenant=tenant)
    if span is not None:
        span = replace(span, tenant=tenant)
    now = now or feed.client.now()
    if (key is None or stream.cursor.kind == "integer") and span is None:
        finished = feed.table.state().finished if finished is None else finished
        return plan(stream.cursor, finished, stream.origin, now, tenant)
    if span is not None and stream.cursor.kind == "integer":
        return span
    asked = span or (stream.partitions.slice_of(key) if key is not None and stream.partitions else Slice())
    return _until(replace(asked, tenant=tenant), now - stream.cursor.safety_lag, feed)


def _until(asked: Slice, latest: datetime, feed: Feed) -> Slice:
    """`asked`, cut at `latest`: what has not happened yet cannot be finished."""
    end = latest if asked.end is None else min(asked.end, latest)
    cut = replace(asked, end=end)
    if cut.empty:
        raise SpecError(
            f"{asked} has not begun: the API's data is final up to {latest.isoformat()}",
            source=feed.source.name,
            stream=feed.stream.name,
            remedy="Ask for an earlier range.",
        )
    return cut


def _taken(feed: Feed, job: Job, winner: Receipt) -> Receipt:
    start, end = job.slice.to_json()
    return Receipt(
        source=feed.source.name,
        stream=feed.stream.name,
        run_id=job.run_id,
        outcome="taken",
        slice=(start, end),
        partition=job.partition,
        tenant=job.slice.tenant,
        contract=feed.stream.contract_name,
        contract_hash=feed.contract.hash,
        warnings=(f"run {winner.run_id} committed {job.slice} while this one was pulling it; nothing was doubled",),
    )


def target(source: Source, stream: Stream, contract: Contract) -> Target:
    """The warehouse table that a stream becomes."""
    return Target(
        source=source.name,
        stream=stream.name,
        contract_schema=contract.arrow_schema,
        descriptions={column.name: column.description for column in contract.columns},
        key=stream.key,
        version=stream.version_column,
        disposition=stream.disposition,
        tombstones=stream.tombstone is not None or stream.sweep is not None,
        json=tuple(column.name for column in contract.columns if column.format == "json"),
        contract_hash=contract.hash,
        partition_by=stream.partition_by,
        maximum_bytes_billed=stream.maximum_bytes_billed,
    )


def merge(feed: Feed, stores: Stores, run_id: str) -> MergeResult:
    """Bring the warehouse's table up to the lake's present version."""
    try:
        return stores.warehouse.merge(target(feed.source, feed.stream, feed.contract), feed.table, run_id)
    except IntegrationError as error:
        raise error.at(feed.source.name, feed.stream.name) from error.__cause__


def outcome(receipts: Sequence[Receipt]) -> Receipt | None:
    """Several slices' receipts as one account: counts summed, first and last boundary; None for none.

    An account of several tenants has no watermark, and its warnings say whose they are.
    """
    if not receipts:
        return None
    first, last = receipts[0], receipts[-1]
    mixed = len({receipt.tenant for receipt in receipts}) > 1
    summed = {
        name: sum(getattr(receipt, name) for receipt in receipts)
        for name in (
            "pages", "requests", "retries", "bytes", "fetched", "accepted", "rejected", "duplicate", "filtered", "tombstones", "moved",
            "seconds", "throttled", "queued",
        )
    }  # fmt: skip
    drift: dict[str, Counter[str]] = {}
    for receipt in receipts:
        for kind, paths in receipt.drift.items():
            drift.setdefault(kind, Counter()).update(paths)
    said = [f"{one.tenant}: {warning}" if mixed else warning for one in receipts for warning in one.warnings]
    reasons = tuple(dict.fromkeys(reason for receipt in receipts for reason in receipt.reasons))[:10]
    return replace(
        last,
        outcome="committed" if any(receipt.outcome == "committed" for receipt in receipts) else last.outcome,
        slice=(first.slice[0], last.slice[1]),
        tenant=None if mixed else last.tenant,
        watermark_before=None if mixed else first.watermark_before,
        watermark_after=None if mixed else last.watermark_after,
        reasons=reasons,
        # Plain dicts: a Counter does not survive dataclasses.asdict.
        drift={kind: dict(paths) for kind, paths in drift.items()},
        latency=dict(sum((Counter(receipt.latency) for receipt in receipts), Counter())),
        warnings=tuple(dict.fromkeys(said)),
        files=(),
        **summed,
    )
