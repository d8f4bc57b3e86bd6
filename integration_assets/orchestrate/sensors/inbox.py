"""`<source>_inbox`: asks for runs of what the source's events hint at, and says which events those runs have settled."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg

from integration_assets.inbox.drain import STUCK, Seen, Settled, Wanted, request, settle
from integration_assets.inbox.store import Inbox, open_inbox
from integration_assets.orchestrate.automation import CATCH_UP, priority, runs_by_itself
from integration_assets.orchestrate.history import receipt_of
from integration_assets.orchestrate.modes import FROM, MODE, TO, Mode
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.settings import Settings
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source

INTERVAL = 10
"""Seconds between two looks into the inbox, at least."""
_TIDY = timedelta(hours=1)
_RETRY = 600.0
"""Seconds in which Dagster begins the retry of a run that it means to retry."""
_RUN_KEY, _WILL_RETRY, _PARTITION = "dagster/run_key", "dagster/will_retry", "dagster/partition"
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_EVENTS = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,  # of part of a partition
    dg.DagsterEventType.STEP_SUCCESS,
}
_SHOWN = 3


def inbox_sensor(source: Source) -> dg.SensorDefinition | None:
    """The sensor of a source that has events; None without them."""
    if source.events is None:
        return None
    streams = [source.stream(name) for name in source.events.wanted]
    keys = [key for stream in streams for key in (lake_key(source, stream), warehouse_key(source, stream))]

    @dg.sensor(
        name=f"{source.name}_inbox",
        asset_selection=dg.AssetSelection.assets(*keys),
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING if runs_by_itself() else dg.DefaultSensorStatus.STOPPED,
        description=f"Pulls what the events of {source.name} hint at, and acknowledges them once it has landed.",
        tags={"source": source.name},
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        settings = Settings.from_environ()
        with open_inbox(settings.inbox_uri) as inbox:
            now = datetime.now(UTC)
            cursor = _tidied(inbox, context.cursor, now, timedelta(days=settings.inbox_days))
            settled = settle(inbox, source, partial(look, context.instance, source), now)
            wanted = request(inbox, source, now)
            said = _said(inbox, source, settled, wanted)
        context.log.info(said)
        if wanted:
            return dg.SensorResult(run_requests=[run_request(source, one) for one in wanted], cursor=cursor)
        return dg.SensorResult(skip_reason=said, cursor=cursor)

    return sensor


def run_request(source: Source, wanted: Wanted) -> dg.RunRequest:
    """The run; its key is the batch, by which it is found again."""
    streams = [source.stream(name) for name in wanted.streams]
    tags, part = {"source": source.name, **priority(CATCH_UP)}, wanted.part
    # As tags, and not as a partition key: that must be of a partition which is over.
    if part.first is not None and part.last is not None:
        same = part.first == part.last
        tags |= {_PARTITION: part.first} if same else dict(zip(_RANGE, (part.first, part.last), strict=True))
    if part.start is not None and part.end is not None:
        tags |= {MODE: Mode.refetch.value, FROM: part.start.isoformat(), TO: part.end.isoformat()}
    keys = [key for stream in streams for key in (lake_key(source, stream), warehouse_key(source, stream))]
    return dg.RunRequest(run_key=wanted.batch, asset_selection=keys, tags=tags)


def look(instance: dg.DagsterInstance, source: Source, batch: str) -> Seen | None:
    """What Dagster knows of the run of a batch and its retries; None if there is none."""
    records = instance.get_run_records(dg.RunsFilter(tags={_RUN_KEY: batch}), limit=100)
    if not records:
        return None
    newest = records[0]
    retried = newest.dagster_run.status is dg.DagsterRunStatus.FAILURE and newest.dagster_run.tags.get(_WILL_RETRY) == "true"
    soon = retried and time.time() - (newest.end_time or 0.0) < _RETRY
    if soon or not all(record.dagster_run.is_finished for record in records):
        return Seen(ended=False, receipts={})
    found: dict[str, list[Receipt]] = {}
    for record in records:
        for name, receipts in _landed(instance, source, record.dagster_run.run_id).items():
            found.setdefault(name, []).extend(receipts)
    return Seen(ended=True, receipts=found)


def _landed(instance: dg.DagsterInstance, source: Source, run_id: str) -> dict[str, list[Receipt]]:
    """The receipts of a run by stream, of those streams alone whose step pulled all it should and merged it."""
    assert source.events is not None  # noqa: S101 - asked only for sources with events
    streams = [source.stream(name) for name in source.events.wanted]
    of_key = {lake_key(source, stream): stream.name for stream in streams}
    of_step = {f"{source.name}__{stream.name}": stream.name for stream in streams}
    receipts: dict[str, list[Receipt]] = {}
    succeeded: set[str] = set()
    cursor, more = None, True
    while more:
        page = instance.get_records_for_run(run_id, cursor, _EVENTS, limit=1000)
        for record in page.records:
            made, event = record.asset_event, record.event_log_entry.dagster_event
            receipt = receipt_of(made) if made else None
            if made and receipt and made.asset_key in of_key:
                receipts.setdefault(of_key[made.asset_key], []).append(receipt)
            elif event and event.is_step_success and event.step_key in of_step:
                succeeded.add(of_step[event.step_key])
        cursor, more = page.cursor, page.has_more
    return {name: found for name, found in receipts.items() if name in succeeded}


def _tidied(inbox: Inbox, cursor: str | None, now: datetime, kept: timedelta) -> str:
    """Forget, once an hour, what was done long ago; the sensor's cursor says when that was done last."""
    try:
        last = datetime.fromisoformat(cursor or "")
        if now - last < _TIDY:
            return last.isoformat()
    except (ValueError, TypeError):
        pass  # the first tick, or someone wrote something else there
    inbox.forget(now - kept)
    return now.isoformat()


def _said(inbox: Inbox, source: Source, settled: Settled, wanted: Sequence[Wanted]) -> str:
    """The tick in one sentence; what no run could settle comes with its reason."""
    pending = inbox.waiting(source.name)
    words = [f"{sum(one.events for one in wanted):,} events in {len(wanted)} new runs"] if wanted else []
    words += [f"{settled.acknowledged:,} done"] if settled.acknowledged else []
    words += [f"{settled.released:,} to be pulled again"] if settled.released else []
    words += [f"{settled.waiting:,} in runs under way"] if settled.waiting else []
    words += [f"{pending:,} waiting"] if pending else []
    stuck = inbox.troubled(STUCK, source.name, _SHOWN)
    words += [f"stuck: {one.stream} {one.id} after {one.attempts} runs ({one.trouble})" for one in stuck]
    return "; ".join(words) or "no events"
