"""`<source>_files`: looks into the folder or bucket of a source's files, and asks for a run when new ones have arrived."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice

import dagster as dg

from integration_assets.orchestrate.automation import runs_by_itself
from integration_assets.orchestrate.checks.names import check_specs
from integration_assets.orchestrate.sensors.memory import Memory, Sighting
from integration_assets.orchestrate.sensors.watch import Ticker, Watch
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.spec.source import Source, Stream

LISTED = 100_000
"""Files that one look lists at most; the next goes on behind them."""
PATIENCE = 10.0
"""Seconds after which a look lists no further."""
_MOMENT = "%Y-%m-%dT%H:%M:%S.%f"


def files_sensor(source: Source) -> dg.SensorDefinition | None:
    """The sensor of a source whose streams are files; None for another."""
    streams = {stream.name: stream for stream in source.streams if stream.files}
    if not streams:
        return None
    watches = [_watch(source, stream) for stream in streams.values()]

    @dg.sensor(
        name=f"{source.name}_files",
        asset_selection=dg.AssetSelection.assets(*(key for watch in watches for key in watch.selection)),
        minimum_interval_seconds=int(min(watch.every for watch in watches)),
        default_status=dg.DefaultSensorStatus.RUNNING if runs_by_itself() else dg.DefaultSensorStatus.STOPPED,
        description=f"Looks for files that arrived for {source.name}, and pulls them.",
        tags={"source": source.name},
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from integration_assets.files import open_files
        from integration_assets.settings import Settings

        located = Settings.from_environ().locate(source)
        margin = open_files(located.base_url).margin
        timed = [_later(watch, margin) for watch in watches]
        return Ticker(
            context, timed, lambda watch, memory: look(located, streams[watch.name], memory), {"source": source.name}
        ).tick()

    return sensor


def _watch(source: Source, stream: Stream) -> Watch:
    assert stream.files is not None  # noqa: S101 - asked only for streams of files
    checks = tuple(spec.key for spec in check_specs(source, stream))
    lag = stream.cursor.safety_lag if stream.cursor else timedelta(0)
    selection = (lake_key(source, stream), warehouse_key(source, stream))
    return Watch(stream.name, selection, checks, stream.files.every, stream.partitions, lag)


def _later(watch: Watch, margin: timedelta) -> Watch:
    """The watch of files that are certain to be seen by the run: they rest for the storage's margin, and for the stream's lag."""
    return replace(watch, lag=watch.lag + margin)


def look(source: Source, stream: Stream, memory: Memory) -> Sighting:
    """The newest file by arrival and name: what arrives later, or is rewritten, is newer. One that is deleted is no news.

    Of a stream without a cursor, whose files together are the table, all of them: there a deletion is one. Raises what a
    `FileStore` raises.
    """
    from integration_assets.files import open_files

    assert stream.files is not None  # noqa: S101 - asked only for streams of files
    store = open_files(source.base_url, stream.path, PATIENCE)
    if stream.cursor is None:
        shown = sorted(f"{ref.name} {ref.version}" for ref in islice(store.list(stream.files.pattern), LISTED))
        return Sighting(sha256("\n".join(shown).encode()).hexdigest() if shown or memory.seen else None)
    began, newest, after = time.monotonic(), memory.seen, ""
    for count, ref in enumerate(store.list(stream.files.pattern, memory.after or None), 1):
        newest = max(newest or "", f"{ref.arrived.astimezone(UTC).strftime(_MOMENT)} {ref.name}")
        if count == LISTED or time.monotonic() - began > PATIENCE:
            after = ref.name
            break
    arrived = datetime.strptime(newest.partition(" ")[0], _MOMENT).replace(tzinfo=UTC).timestamp() if newest else None
    return Sighting(newest, arrived, after)
