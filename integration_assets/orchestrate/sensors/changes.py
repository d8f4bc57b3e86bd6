"""`<source>_changes`: looks at an API with one cheap request a probe, and asks for a run only when something changed."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from functools import cache

import dagster as dg

from integration_assets.errors import IntegrationError
from integration_assets.orchestrate.automation import runs_by_itself
from integration_assets.orchestrate.checks.names import check_specs
from integration_assets.orchestrate.sensors.memory import Memory, Sighting
from integration_assets.orchestrate.sensors.watch import Ticker, Watch
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.probe import Probe
from integration_assets.spec.source import Source, Stream


def changes_sensor(source: Source) -> dg.SensorDefinition | None:
    """The sensor of a source that names a probe, or of which a stream does; None without one."""
    probed = watches(source)
    if not probed:
        return None
    assets = [key for watch, _ in probed for key in watch.selection]
    running = dg.DefaultSensorStatus.RUNNING if runs_by_itself() else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name=f"{source.name}_changes",
        asset_selection=dg.AssetSelection.assets(*assets),
        minimum_interval_seconds=int(min(watch.every for watch, _ in probed)),
        default_status=running,
        description=f"Looks whether {source.name} has something new, and pulls what changed.",
        tags={"source": source.name},
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return look_and_ask(context, source, probed)

    return sensor


def watches(source: Source) -> list[tuple[Watch, Stream]]:
    """What is looked at: each probe with the streams that one run of it pulls, of which one stands for its path."""
    groups: dict[str, list[Stream]] = {}
    for stream in source.streams:
        if stream.probe:
            groups[stream.name] = [stream]
        elif source.probe:
            partitions = _partitions(stream)
            kind = f"partitions {partitions.model_dump_json()}" if partitions else "no partitions"
            # A run has one kind of partition, also where it names none.
            kind += f" of the tenants {'|'.join(stream.tenants.axis)}" if stream.tenants else ""
            groups.setdefault(f"streams of {kind}", []).append(stream)
    return [(_watch(source, name, streams), streams[0]) for name, streams in groups.items()]


def _watch(source: Source, name: str, streams: list[Stream]) -> Watch:
    probe = _probe(source, streams[0])
    lags = [stream.cursor.safety_lag for stream in streams if stream.cursor]
    keys = tuple(key for stream in streams for key in (lake_key(source, stream), warehouse_key(source, stream)))
    checks = tuple(spec.key for stream in streams for spec in check_specs(source, stream))
    return Watch(name, keys, checks, probe.every, _partitions(streams[0]), max(lags, default=timedelta(0)))


def _partitions(stream: Stream) -> Partitions | None:
    """The partitions that a run for a change names. A change does not tell whose it is: what is due of all tenants is pulled."""
    return None if stream.tenants else stream.partitions


def _probe(source: Source, stream: Stream) -> Probe:
    probe = stream.probe or source.probe
    assert probe is not None  # noqa: S101 - asked only for streams that are probed
    return probe


def look_and_ask(context: dg.SensorEvaluationContext, source: Source, probed: list[tuple[Watch, Stream]]) -> dg.SensorResult:
    """One tick. The client is opened with the first look and shared; equal looks are one request."""
    from integration_assets.extract.client import SourceClient
    from integration_assets.extract.limits import open_store
    from integration_assets.extract.probe import brief, look
    from integration_assets.settings import Settings

    streams = {watch.name: stream for watch, stream in probed}
    with ExitStack() as stack:

        @cache
        def client() -> SourceClient:
            settings = Settings.from_environ()
            located = brief(settings.locate(source))
            limits = stack.enter_context(open_store(settings.limits_uri))
            return stack.enter_context(SourceClient(located, settings.secrets_for(located), store=limits))

        done: dict[str, str | IntegrationError] = {}

        def shown(watch: Watch, memory: Memory) -> Sighting:
            stream = streams[watch.name]
            probe = _probe(source, stream)
            same = f"{probe.model_dump_json()} {probe.path or stream.path} {memory.seen}"
            if same not in done:
                try:
                    done[same] = look(client(), probe, stream.path, memory.seen)
                except IntegrationError as error:
                    done[same] = error
            found = done[same]
            if isinstance(found, IntegrationError):
                raise found
            return Sighting(found)

        return Ticker(context, [watch for watch, _ in probed], shown, {"source": source.name}).tick()
