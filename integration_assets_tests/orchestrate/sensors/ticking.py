"""A sensor ticked as the daemon ticks it: its cursor kept, its runs made once a run key and executed in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import dagster as dg

from integration_assets_tests.orchestrate.running import Bench

RUN_KEY, SENSOR = "dagster/run_key", "dagster/sensor_name"


@dataclass
class Ticking:
    """One sensor of a bench's definitions.

    asked : the run requests of all ticks.
    """

    bench: Bench
    name: str
    cursor: str | None = None
    asked: list[dg.RunRequest] = field(default_factory=list)

    def tick(self) -> Any:  # noqa: ANN401 - Dagster's own, not public
        """Evaluate the sensor once, with the last tick's cursor; what it asked for, its reason to skip, its cursor."""
        repository = self.bench.definitions.get_repository_def()
        with dg.build_sensor_context(
            instance=self.bench.instance, cursor=self.cursor, repository_def=repository, sensor_name=self.name
        ) as context:
            done = repository.get_sensor_def(self.name).evaluate_tick(context)
        self.cursor = done.cursor
        self.asked += done.run_requests or []
        return done

    def end(self, status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS, **tags: str) -> list[dg.RunRequest]:
        """Tick, and record a run of each request as if it had ended so; what was asked for."""
        requests = list(self.tick().run_requests or [])
        for request in requests:
            made = {**request.tags, RUN_KEY: str(request.run_key), SENSOR: self.name, **tags}
            self.bench.instance.add_run(dg.DagsterRun(job_name="any", run_id=str(uuid4()), status=status, tags=made))
        return requests

    def go(self) -> Sequence[dg.ExecuteInProcessResult]:
        """Tick, and execute what is asked for."""
        return [self.obey(request) for request in self.tick().run_requests or [] if not self.runs(request)]

    def runs(self, request: dg.RunRequest) -> Sequence[dg.DagsterRun]:
        """The runs there are of a request."""
        return self.bench.instance.get_runs(dg.RunsFilter(tags={RUN_KEY: str(request.run_key)}))

    def obey(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Execute a request with the tags that the daemon gives its run."""
        job = self.bench.definitions.resolve_implicit_global_asset_job_def()
        checks = set(request.asset_check_keys or [])
        subset = job.get_subset(asset_selection=set(request.asset_selection or []), asset_check_selection=checks)
        tags = {**request.tags, RUN_KEY: str(request.run_key), SENSOR: self.name}
        return subset.execute_in_process(instance=self.bench.instance, tags=tags, raise_on_error=False)
