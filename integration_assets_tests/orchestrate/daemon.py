"""Dagster as it runs in production, less the waiting: a code server, runs in processes of their own, and the daemon's loops.

The loops of backfills, of the queue and of sensors are the daemon's own functions, called in turn here instead of by its clock.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster_graphql.test.utils import execute_dagster_graphql

ROOT = Path(__file__).parents[2]
LOCATION = "live"
_LIMIT = 240.0
_PID = re.compile(r"pid: (\d+)")
_LAUNCH = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_CANCEL = """mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) {
  __typename ... on PythonError { message } } }"""
_RETRY = """mutation($params: ReexecutionParams) { reexecutePartitionBackfill(reexecutionParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_RUN = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


@dataclass
class Daemon:
    """An instance with our dagster.yaml and a code server; `turn` is one round of the daemon's loops."""

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext

    def turn(self, *, sensors: bool = False) -> None:
        """Retries, backfills, the queue, and sensors where they are wanted. Raises what went wrong in a loop."""
        log = logging.getLogger("daemon")
        loops: list[Iterator[Any]] = [
            iter(EventLogConsumerDaemon(interval_seconds=1).run_iteration(self.workspace)),
            iter(execute_backfill_iteration(self.workspace, log)),
            iter(QueuedRunCoordinatorDaemon(interval_seconds=1).run_iteration(self.workspace)),
        ]
        if sensors:
            loops.insert(0, iter(execute_sensor_iteration(self.workspace, log, None, None)))
        errors = [str(found) for loop in loops for found in loop if type(found).__name__ == "SerializableErrorInfo"]
        assert not errors, errors

    def until(self, done: Callable[[], bool], *, sensors: bool = False, limit: float = _LIMIT) -> None:
        """Turn until `done`, `limit` seconds at most."""
        end = time.monotonic() + limit
        while not done():
            assert time.monotonic() < end, [(run.job_name, run.status, run.tags) for run in self.instance.get_runs()]
            self.turn(sensors=sensors)
            time.sleep(0.2)

    def backfill(self, keys: Sequence[dg.AssetKey], partitions: Sequence[str], tags: Mapping[str, str] | None = None) -> str:
        """What the UI's Materialize does with a selection of partitions; the backfill's id."""
        asked = {
            "assetSelection": [{"path": list(key.path)} for key in keys],
            "partitionNames": list(partitions),
            "tags": [{"key": name, "value": value} for name, value in (tags or {}).items()],
        }
        return str(self._ask(_LAUNCH, {"params": asked})["backfillId"])

    def cancel(self, backfill: str) -> None:
        """What the UI's Cancel backfill does."""
        self._ask(_CANCEL, {"id": backfill})

    def resume(self, backfill: str) -> str:
        """What the UI's Re-execute from failure does; the new backfill's id."""
        return str(self._ask(_RETRY, {"params": {"parentRunId": backfill, "strategy": "FROM_FAILURE"}})["backfillId"])

    def launch(self, job: str, tags: Mapping[str, str]) -> str:
        """Put a run of a job into the queue; its id."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "pipelineName": job}
        metadata = {"tags": [{"key": name, "value": value} for name, value in tags.items()]}
        found = self._ask(_RUN, {"params": {"selector": selector, "mode": "default", "executionMetadata": metadata}})
        return str(found["run"]["runId"])

    def kill(self, run_id: str) -> None:
        """End the run's process as the system does when memory is short."""
        (pid,) = {int(found) for entry in self.instance.all_logs(run_id) for found in _PID.findall(entry.user_message)}
        os.kill(pid, signal.SIGKILL)

    def status(self, backfill: str) -> str:
        """`REQUESTED`, `CANCELED`, `COMPLETED_SUCCESS`, …."""
        found = self.instance.get_backfill(backfill)
        assert isinstance(found, PartitionBackfill)
        return found.status.value

    def runs(self, tag: str, value: str, *, started: bool = False) -> list[dg.DagsterRun]:
        """The runs with a tag, the newest first; only those that are under way where `started`."""
        statuses = [dg.DagsterRunStatus.STARTED] if started else []
        return list(self.instance.get_runs(dg.RunsFilter(tags={tag: value}, statuses=statuses)))

    def events(self, key: dg.AssetKey) -> list[dg.AssetMaterialization]:
        """The asset's materializations in the order they were recorded."""
        found = self.instance.fetch_materializations(key, limit=1000, ascending=True).records
        return [record.asset_materialization for record in found if record.asset_materialization]

    def _ask(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        answer = execute_dagster_graphql(self.workspace.create_request_context(), query, dict(variables))
        assert answer.data, answer.errors
        (found,) = answer.data.values()
        assert "Error" not in found["__typename"], found
        return dict(found)


@contextmanager
def daemon(home: Path, module: str, environ: Mapping[str, str]) -> Iterator[Daemon]:
    """A daemon whose DAGSTER_HOME is `home`, over the definitions of `module`; `environ` is what the code server sees."""
    shutil.copy(ROOT / "dagster.yaml", home / "dagster.yaml")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DAGSTER_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **environ}.items():
            patch.setenv(name, value)
        target = ModuleTarget(module, attribute=None, working_directory=str(ROOT), location_name=LOCATION)
        with dg.DagsterInstance.get() as instance, create_test_daemon_workspace_context(target, instance) as workspace:
            (entry,) = workspace.create_request_context().get_code_location_entries().values()
            assert entry.load_error is None, entry.load_error
            yield Daemon(instance, workspace)
