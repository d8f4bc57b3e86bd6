"""Ticks of the real sensor and real runs of what it asks for, on an instance that remembers both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from integration_assets_tests.orchestrate.running import Bench


@dataclass
class Daemon:
    """What Dagster's daemon does with one sensor, in this process and when told: a tick, then the runs it asked for."""

    bench: Bench
    sensor: str
    cursor: str | None = None
    said: list[str] = field(default_factory=list)

    def tick(self) -> list[dg.RunRequest]:
        """Evaluate the sensor once; the runs that it asks for."""
        repository = self.bench.definitions.get_repository_def()
        context = dg.build_sensor_context(
            self.bench.instance, cursor=self.cursor, repository_def=repository, sensor_name=self.sensor
        )
        with context:
            data = repository.get_sensor_def(self.sensor).evaluate_tick(context)
        self.cursor = data.cursor
        self.said.append(str(data.skip_message))
        return list(data.run_requests or [])

    def run(self, requests: Sequence[dg.RunRequest]) -> list[bool]:
        """Run them; whether each succeeded."""
        done = []
        for request in requests:
            keys = set(request.asset_selection or ())
            job = self.bench.definitions.resolve_implicit_global_asset_job_def().get_subset(asset_selection=keys)
            tags = {**request.tags, "dagster/run_key": str(request.run_key)}
            done.append(job.execute_in_process(instance=self.bench.instance, tags=tags, raise_on_error=False).success)
        return done
