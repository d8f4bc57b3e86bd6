"""Everything Dagster gets to see, from the typed specs alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from integration_assets.orchestrate.assets import stream_assets
from integration_assets.orchestrate.automation import nightly, sync_jobs
from integration_assets.orchestrate.catchup_sensor import catch_up_sensor
from integration_assets.orchestrate.checks.names import standing_keys
from integration_assets.orchestrate.following import following_sensor
from integration_assets.orchestrate.processes import executor
from integration_assets.orchestrate.replay import replay_job
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.orchestrate.sensors import alerts_sensor, source_sensors
from integration_assets.orchestrate.shadow import shadow_job
from integration_assets.orchestrate.specs import api_spec
from integration_assets.orchestrate.standing import standing_checks, standing_schedule
from integration_assets.orchestrate.sweep import sweep_job, sweep_schedule
from integration_assets.orchestrate.vacuum import vacuum_schedule
from integration_assets.settings import Settings
from integration_assets.spec.source import Source


def build(sources: Sequence[Source], resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """Assets, checks, jobs, schedules and resources of `sources`. Touches no network, no bucket and no secret.

    resources : replaces those of the embedded default, by name: `stores`.
    A stream is its candidate where the spec or the environment says so.
    Raises `SpecError` naming source, stream and field for a description that cannot be loaded.
    """
    sources = [*map(Settings.from_environ().in_force, sources)]
    jobs = [job for source in sources for job in sync_jobs(source)]
    schedules = [schedule for schedule in map(nightly, jobs) if schedule is not None]
    streams = [(source, stream) for source in sources for stream in source.streams]
    sweeps = [schedule for pair in streams if (schedule := sweep_schedule(*pair)) is not None]
    standing = standing_schedule(sources)
    return dg.Definitions(
        assets=[
            asset
            for source in sources
            for stream in source.streams
            for asset in (stream_assets(source, stream), api_spec(source, stream))
        ],
        asset_checks=[checks for checks in map(standing_checks, sources) if checks is not None],
        jobs=[
            dg.define_asset_job(
                job.name,
                # What time alone can fail is evaluated every hour, and would be skipped here when one stream fails.
                selection=dg.AssetSelection.assets(*job.keys()) - dg.AssetSelection.checks(*standing_keys(job.source)),
                description=f"Pull {', '.join(stream.name for stream in job.streams)} of {job.source.name}, then merge.",
                tags={"source": job.source.name},
            )
            for job in jobs
        ]
        + [replay_job(job) for job in jobs]
        + [job for job in map(shadow_job, sources) if job is not None]
        + [job for pair in streams if (job := sweep_job(*pair)) is not None],
        schedules=[*schedules, *sweeps, *([standing] if standing else []), *map(vacuum_schedule, sources)],
        sensors=[
            *(sensor for source in sources for sensor in source_sensors(source)),
            *(sensor for sensor in map(catch_up_sensor, sources) if sensor is not None),
            following_sensor(sources),
            alerts_sensor(sources),
        ],
        executor=executor(),
        resources={"stores": StoresResource(), **(resources or {})},
    )
