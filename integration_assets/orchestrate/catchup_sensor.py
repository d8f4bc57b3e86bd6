"""`<source>_catch_up`: pulls what was missed, refreshes what is open and closes what was, without anyone's help.

It believes the lake: a partition is missing when the lake has not finished it, whatever Dagster's event log says. What the lake
has and the log has not (a run was killed between commit and event, or the command line pulled it) is recorded, not pulled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from integration_assets.errors import IntegrationError, SpecError
from integration_assets.orchestrate.attempts import CATCH_UP_TAG, RANGE, Failures, Runs, UnderWay, failures, name_of
from integration_assets.orchestrate.automation import CATCH_UP, begins, last_tick, priority, runs_by_itself
from integration_assets.orchestrate.catchup import closing, contiguous, due, missed, over, owed_by_tenant
from integration_assets.orchestrate.checks import check_specs
from integration_assets.orchestrate.children import horizon, ready
from integration_assets.orchestrate.history import found_event, last_pulls, replayed
from integration_assets.orchestrate.partitions import most_a_run, partition_key, set_name
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.orchestrate.tenants import listed
from integration_assets.spec.cursor import Slice
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.receipt import NO_SLICE, Receipt
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.tenants import Listing, enumerated

EVERY = 300
"""Seconds between two ticks."""
BUDGET = 25.0
"""Seconds after which a tick looks at no further stream; Dagster ends the tick at 60."""
GRACE = timedelta(hours=1)
"""How long a night may take to come to a stream until it counts as missed."""
_RECORDED = 100


@dataclass
class Cursor:
    """What one tick leaves for the next.

    turn    : which stream comes first, so that the last ones get their look too.
    settled : by stream, up to where every partition is pulled, recorded and closed; ISO 8601.
    """

    turn: int = 0
    settled: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None) -> Cursor:
        """The inverse of `write`; a new one when there is none, or when what someone wrote there is not one."""
        try:
            found = json.loads(text or "")
            settled = {str(name): str(moment) for name, moment in found["settled"].items()}
            for moment in settled.values():
                datetime.fromisoformat(moment)
            return cls(int(found["turn"]), settled)
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def write(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def after(self, name: str) -> datetime | None:
        """Up to where the stream is settled; None when that is not known."""
        return datetime.fromisoformat(self.settled[name]) if name in self.settled else None


@dataclass(frozen=True)
class Found:
    """What one look at a stream came to: a sentence, a run to ask for, events to record, and up to where it is settled."""

    said: str
    request: dg.RunRequest | None = None
    events: Sequence[dg.AssetMaterialization] = ()
    settled: datetime | None = None


def catch_up_sensor(source: Source) -> dg.SensorDefinition | None:
    """The sensor of a source; None for one that has neither a partition nor a night to miss."""
    if source.schedule is None and not any(stream.partitions for stream in source.streams):
        return None
    assets = [key for stream in source.streams for key in (lake_key(source, stream), warehouse_key(source, stream))]

    @dg.sensor(
        name=f"{source.name}_catch_up",
        asset_selection=dg.AssetSelection.assets(*assets),
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING if runs_by_itself() else dg.DefaultSensorStatus.STOPPED,
        description=f"Pulls what was missed of {source.name}, oldest first, and refreshes and closes its partitions.",
        tags={"source": source.name},
    )
    def sensor(context: dg.SensorEvaluationContext, stores: StoresResource) -> dg.SensorResult:
        return Tick(context.instance, source, stores).result(context.cursor, context.log.info)

    return sensor


@dataclass(frozen=True)
class Tick:
    """One tick of one source.

    wall     : this machine's clock, in seconds since 1970.
    listings : the tenants that the API listed in this tick, by listing.
    """

    instance: dg.DagsterInstance
    source: Source
    stores: StoresResource
    wall: Callable[[], float] = time.time
    listings: dict[str, Sequence[str]] = field(default_factory=dict)

    def result(self, text: str | None, say: Callable[[str], None] = lambda _: None) -> dg.SensorResult:
        """Look at the streams in turn, and ask for one run of each that is owed something."""
        began, cursor = time.monotonic(), Cursor.read(text)
        try:
            now = self._api_now()
        except IntegrationError as error:
            return dg.SensorResult(skip_reason=f"The API does not say what time it is: {error}", cursor=text)
        runs = Runs.of(self.instance, self.source)
        requests: list[dg.RunRequest] = []
        events: list[dg.AssetMaterialization] = []
        said = []
        start = cursor.turn % len(self.source.streams)
        for stream in (*self.source.streams[start:], *self.source.streams[:start]):
            if time.monotonic() - began > BUDGET:
                said.append(f"{stream.name}: left for the next tick")
                continue
            cursor.turn = (cursor.turn + 1) % len(self.source.streams)
            waits = self._behind(stream, now, runs, cursor)
            found = waits or self._look(stream, now, runs.under_way(stream), cursor.after(stream.name))
            said.append(f"{stream.name}: {found.said}")
            requests += [found.request] if found.request else []
            events += found.events
            if found.settled:
                cursor.settled[stream.name] = found.settled.isoformat()
        reason = "; ".join(said)
        say(reason)
        if requests:
            return dg.SensorResult(run_requests=requests, asset_events=events, cursor=cursor.write())
        return dg.SensorResult(skip_reason=reason, asset_events=events, cursor=cursor.write())

    def _api_now(self) -> datetime:
        """The API's clock, by one request that is given up soon; this machine's where nothing depends on it."""
        if self.source.clock_path is None or not any(stream.partitions for stream in self.source.streams):
            return datetime.fromtimestamp(self.wall(), UTC)
        from integration_assets.extract.client import SourceClient
        from integration_assets.extract.limits import open_store
        from integration_assets.extract.probe import brief

        settings = self.stores.settings()
        located = brief(settings.locate(self.source))
        secrets = settings.secrets_for(located)
        with open_store(settings.limits_uri) as limits, SourceClient(located, secrets, store=limits) as client:
            return client.now()

    def _behind(self, stream: Stream, now: datetime, runs: Runs, cursor: Cursor) -> Found | None:
        """That children wait: their parents are being pulled, or are owed something and asked for now."""
        if stream.parent is None:
            return None
        above = self.source.stream(stream.parent.stream)
        busy = runs.under_way(above)
        if busy.everything or busy.caught_up or self._behind(above, now, runs, cursor):
            return Found(f"waits for {above.name}, which is being pulled")
        asked = self._look(above, now, busy, cursor.after(above.name)).request
        return Found(f"waits for {above.name}, which is owed something") if asked else None

    def _look(self, stream: Stream, now: datetime, busy: UnderWay, after: datetime | None) -> Found:
        if busy.caught_up or busy.everything:
            return Found("a run of it is under way")
        try:
            if stream.partitions and stream.tenants:
                return self._by_tenant(stream, now, busy)
            return self._partitions(stream, now, busy, after) if stream.partitions else self._night(stream)
        except IntegrationError as error:
            return Found(str(error))

    def _partitions(self, stream: Stream, now: datetime, busy: UnderWay, after: datetime | None) -> Found:
        """Partitions that are owed, oldest first, as many as one run takes; and those that only the event log lacks."""
        assert stream.partitions is not None  # noqa: S101 - asked only of partitioned streams
        assert stream.cursor is not None  # noqa: S101 - partitions need one
        key = lake_key(self.source, stream)
        table = self.stores.stores().table(self.source, stream)
        finished = table.state().finished
        above = self._above(stream)
        now = now if above is None else horizon(stream, above, now)
        pulled = last_pulls(self.instance, key, stream.partitions, closing(stream, now, after))
        owed = due(stream, finished, now, pulled)
        keys = [one.key for one in owed]

        final = now - stream.cursor.safety_lag
        lacking = set(missed(stream.partitions, finished, final))
        there = [each for each in over(stream.partitions, finished, final, after) if each not in lacking]
        recorded = self.instance.get_materialized_partitions(key) if there else set()
        lost = [each for each in there if each not in recorded and each not in busy.keys]
        receipts = table.receipts(_RECORDED) if lost else []
        events = [found_event(key, stream.partitions, each, receipts) for each in lost[:_RECORDED]]

        failed = failures(self.instance, self.source, stream, self.wall()) if keys else {}
        waiting = [each for each in keys if each in failed and failed[each].again > self.wall()]
        asked = contiguous(
            stream.partitions,
            [
                each
                for each in keys
                if each not in busy.keys and each not in waiting and (above is None or ready(stream, above, each, now))
            ],
            most_a_run(stream.partitions),
        )
        said = [f"{len(keys)} partitions are due" if keys else "nothing is due"]
        said += [f"asked for {asked[0]}" + (f" to {asked[-1]}" if len(asked) > 1 else "")] if asked else []
        said += [f"{waiting[0]} failed and waits until {_clock(failed[waiting[0]])}"] if waiting else []
        said += [f"recorded {len(events)} that only the lake knew of"] if events else []
        pending = [*keys, *lost[_RECORDED:], *busy.keys]
        return Found(", ".join(said), self._request(stream, asked) if asked else None, events, _settled(stream, now, pending))

    def _above(self, stream: Stream) -> Sequence[Slice] | None:
        """What the stream's parent has finished; None for a stream that is nobody's child."""
        if stream.parent is None:
            return None
        return self.stores.stores().table(self.source, self.source.stream(stream.parent.stream)).state().finished

    def _by_tenant(self, stream: Stream, now: datetime, busy: UnderWay) -> Found:
        """Whether some tenant is owed a partition: then one run pulls what is due of all. What the log lacks is recorded."""
        if busy.keys:
            return Found("a run of it is under way")
        assert stream.partitions is not None  # noqa: S101 - asked only of partitioned streams
        there = self.stores.stores().table(self.source, stream)
        key = lake_key(self.source, stream)
        recorded = self.instance.get_materialized_partitions(key)
        receipts: list[Receipt] | None = None
        owed: list[str] = []
        events: list[dg.AssetMaterialization] = []
        for tenant, keys, lost in owed_by_tenant(stream, there.state().finished, now, self._known(stream)):
            owed += [tenant] if keys else []
            lacking = [each for each in lost if str(partition_key(each, tenant)) not in recorded]
            if lacking and receipts is None:
                receipts = there.receipts(_RECORDED)
            mine = [one for one in receipts or () if one.tenant == tenant]
            events += [found_event(key, stream.partitions, each, mine, partition_key(each, tenant)) for each in lacking]
        events = events[:_RECORDED]
        failed = failures(self.instance, self.source, stream, self.wall()).get(None) if owed else None
        waits = failed if failed and failed.again > self.wall() else None
        owed = owed if waits else self._there(stream, owed)
        said = [f"{len(owed):,} tenants are owed something: {enumerated(owed)}" if owed else "nothing is due"]
        said += [f"recorded {len(events)} partitions that only the lake knew of"] if events else []
        said += [f"a run for it failed and waits until {_clock(waits)}"] if waits else []
        return Found(", ".join(said), self._request(stream, []) if owed and not waits else None, events)

    def _known(self, stream: Stream) -> Sequence[str]:
        """The stream's tenants: of a listing those that are partitions, or those that the API lists while none is."""
        assert stream.tenants is not None  # noqa: S101 - asked only of streams with tenants
        listing = stream.tenants.listing
        if listing is None:
            return stream.tenants.keys
        return self.instance.get_dynamic_partitions(set_name(self.source, listing)) or self._listed(listing)

    def _there(self, stream: Stream, tenants: Sequence[str]) -> list[str]:
        """Those that the API still lists; it is asked only if there are any. A tenant that is gone is owed nothing."""
        listing = stream.tenants.listing if stream.tenants else None
        if listing is None or not tenants:
            return list(tenants)
        there = {*self._listed(listing)}
        return [tenant for tenant in tenants if tenant in there]

    def _listed(self, listing: Listing) -> Sequence[str]:
        """What the API lists now; asked once a tick, however many streams share the listing."""
        if listing.name not in self.listings:
            self.listings[listing.name] = listed(self.source, listing, self.stores)
        return self.listings[listing.name]

    def _night(self, stream: Stream) -> Found:
        """A stream without partitions goes on from its watermark: it is owed a run when it was not pulled since its night."""
        cron = begins(self.source)
        night = last_tick(cron, self.source.timezone, datetime.fromtimestamp(self.wall(), UTC) - GRACE) if cron else None
        pulled = self._pulled(stream)
        if night is None or pulled is None:
            return Found("nothing is due")
        why = f"the night of {night:%Y-%m-%d} was missed" if pulled < night else self._overtaken(stream, pulled)
        if why is None:
            return Found("nothing is due")
        failed = failures(self.instance, self.source, stream, self.wall()).get(None)
        if failed and failed.again > self.wall():
            return Found(f"{why}, a run for it failed and waits until {_clock(failed)}")
        return Found(f"{why}, asked for a run", self._request(stream, []))

    def _overtaken(self, stream: Stream, pulled: datetime) -> str | None:
        """That the stream's parents were pulled after it was; None when they were not."""
        above = self.source.stream(stream.parent.stream) if stream.parent else None
        latest = self._pulled(above) if above else None
        return f"{above.name} was pulled since" if above and latest and latest > pulled else None

    def _pulled(self, stream: Stream) -> datetime | None:
        """When the stream was last pulled, by Dagster or without it; None if it never was, which is for someone to begin."""
        event = self.instance.get_latest_materialization_event(lake_key(self.source, stream))
        event = None if event and replayed(event.asset_materialization) else event
        table = self.stores.stores().table(self.source, stream)
        receipt = table.state().receipt
        if receipt and receipt.outcome in NO_SLICE:
            receipt = next((one for one in table.receipts(_RECORDED) if one.outcome not in NO_SLICE), None)
        moments = [datetime.fromtimestamp(event.timestamp, UTC)] if event else []
        moments += [datetime.fromisoformat(receipt.finished_at)] if receipt else []
        return max(moments, default=None)

    def _request(self, stream: Stream, keys: Sequence[str]) -> dg.RunRequest:
        """Lake and warehouse of the stream, for some partitions that follow each other, or for what is new."""
        tags = {"source": self.source.name, CATCH_UP_TAG: name_of(self.source, stream), **priority(CATCH_UP)}
        if len(keys) > 1:
            tags |= dict(zip(RANGE, (keys[0], keys[-1]), strict=True))
        return dg.RunRequest(
            asset_selection=[lake_key(self.source, stream), warehouse_key(self.source, stream)],
            # The step's own checks; those that time alone can fail have runs of their own.
            asset_check_keys=[spec.key for spec in check_specs(self.source, stream)],
            partition_key=keys[0] if len(keys) == 1 else None,
            tags=tags,
        )


def _settled(stream: Stream, now: datetime, pending: Sequence[str]) -> datetime:
    """Up to where there is nothing left to look for: the first partition that is owed, not recorded, or not closed yet."""
    assert stream.partitions is not None  # noqa: S101 - asked only of partitioned streams
    assert stream.cursor is not None  # noqa: S101 - partitions need one
    lookback = stream.cursor.lookback
    assert isinstance(lookback, timedelta)  # noqa: S101 - partitions are in time
    open_ = max(now - stream.cursor.safety_lag - lookback, stream.partitions.origin)
    if stream.partitions.limit is not None:
        open_ = min(open_, stream.partitions.limit - timedelta(microseconds=1))
    starts = [_start(stream.partitions, key) for key in (*pending, stream.partitions.key_of(open_))]
    return min(start for start in starts if isinstance(start, datetime))


def _start(partitions: Partitions, key: str) -> object:
    """Where a partition begins; None for a key from before the stream's partitions were changed."""
    try:
        return partitions.slice_of(key).start
    except SpecError:
        return None


def _clock(failed: Failures) -> str:
    return f"{datetime.fromtimestamp(failed.again, UTC):%H:%M} UTC"
