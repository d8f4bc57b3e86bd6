"""`alerts`: tells people of runs that failed, of checks that failed in runs that did not, and of streams that are right again.

It reads Dagster's own log of run ends by a position that it keeps, and not by a run-failure sensor, which drops an alert whose
sending fails. What could not be sent waits in the cursor, channel by channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from integration_assets.errors import WarehouseBusyError, WarehouseError
from integration_assets.orchestrate.automation import runs_by_itself
from integration_assets.orchestrate.sensors.outcome import (
    Evidence,
    Known,
    check_message,
    concerns,
    evidence,
    failure_message,
    recovery_message,
)
from integration_assets.orchestrate.sensors.sending import Pending, State, deliver, now
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.settings import Settings
from integration_assets.spec.source import Source

if TYPE_CHECKING:
    from integration_assets.alert import Message
    from integration_assets.alert.message import About

NAME = "alerts"
INTERVAL = 30
WAITING = 100
"""Messages that may wait; while so many do, no further run ends are read. They stay in Dagster's log."""
_FAILURES, _SUCCESSES = 20, 100
_RED = 1000
_REMINDED = 24 * 3600.0
"""Seconds after which people are told again of a stream that still fails as it did."""
_OF_WAREHOUSE = (WarehouseError.__name__, WarehouseBusyError.__name__)
_TAG_PATIENCE = 60.0
_RETRY_PATIENCE = 600.0
_WILL_RETRY, _RETRIED = "dagster/will_retry", "dagster/auto_retry_run_id"
_UNSET = "no channel is set up: set INTEGRATION_ALERT_SLACK_URL, INTEGRATION_ALERT_WEBHOOK_URL or INTEGRATION_ALERT_SMTP"


def alerts_sensor(sources: Sequence[Source]) -> dg.SensorDefinition:
    """The sensor of a code location: it tells of all its runs. A source that is defined alone, as a component, has its own."""
    known = Known.of(sources)

    @dg.sensor(
        name=f"{known.alone}_{NAME}" if known.alone else NAME,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING if runs_by_itself() else dg.DefaultSensorStatus.STOPPED,
        description="Tells people by Slack, e-mail or webhook of runs that failed, checks that failed, and of recoveries.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from integration_assets.alert import channels

        environ = Settings.from_environ().environ
        there = channels(environ)
        state = State.from_cursor(context.cursor)
        if state is None or not there:
            # What happened before anyone was to be told is no news.
            state = State(
                _newest(context.instance, dg.DagsterEventType.RUN_FAILURE),
                _newest(context.instance, dg.DagsterEventType.RUN_SUCCESS),
            )
            return dg.SensorResult(skip_reason="from now on" if there else _UNSET, cursor=state.to_cursor())
        told = Reader(context, known, state, [channel.name for channel in there], environ.get("INTEGRATION_DAGSTER_URL")).read()
        sent, failed = deliver(context, state, there)
        words = [f"{told} new messages", f"{sent} sent", f"{len(state.pending)} waiting", *failed]
        return dg.SensorResult(skip_reason="; ".join(words), cursor=state.to_cursor())

    return sensor


def _newest(instance: dg.DagsterInstance, kind: Any) -> int:  # noqa: ANN401 - Dagster's own list of kinds
    records = instance.fetch_run_status_changes(kind, limit=1).records
    return records[0].storage_id if records else 0


@dataclass
class Reader:
    """Reads the ends of runs since the last tick and makes messages of those that people should know of."""

    context: dg.SensorEvaluationContext
    known: Known
    state: State
    channels: list[str]
    url: str | None

    def read(self) -> int:
        """Read on; how many messages that made."""
        before = len(self.state.pending)
        self._doubtful()
        for position, failed, run_id, ended in self._ends() if len(self.state.pending) < WAITING else ():
            if not failed:
                self._success(run_id, ended)
                self.state.successes = position
            elif self._failure(run_id, ended):
                self.state.failures = position
            else:
                break
        return len(self.state.pending) - before

    def _ends(self) -> list[tuple[int, bool, str, float]]:
        """Position, whether it failed, run and moment of the ends since, in their order, as far as both kinds were read."""
        found: list[tuple[int, bool, str, float]] = []
        horizon = float("inf")
        after = dg.RunStatusChangeRecordsFilter
        failures = after(event_type=dg.DagsterEventType.RUN_FAILURE, after_storage_id=self.state.failures)
        successes = after(event_type=dg.DagsterEventType.RUN_SUCCESS, after_storage_id=self.state.successes)
        for wanted, limit in ((failures, _FAILURES), (successes, _SUCCESSES)):
            records = self.context.instance.fetch_run_status_changes(wanted, limit=limit, ascending=True).records
            found += [(one.storage_id, wanted is failures, one.event_log_entry.run_id, one.timestamp) for one in records]
            if len(records) == limit:
                horizon = min(horizon, records[-1].storage_id)
        return sorted(one for one in found if one[0] <= horizon)

    def _failure(self, run_id: str, ended: float) -> bool:
        """Take in a run that failed; False when it is too early to say whether Dagster retries it."""
        run = self._ours(run_id)
        if run is None:
            return True
        will_retry = run.tags.get(_WILL_RETRY)
        if will_retry is None and self.context.instance.run_retries_enabled and now() - ended < _TAG_PATIENCE:
            return False
        if will_retry == "true":
            self.state.doubtful[run_id] = now()
        else:
            self._tell_failure(run)
        return True

    def _doubtful(self) -> None:
        """Runs that were to be retried: forgotten once their retry is there, told of if it never comes."""
        for run_id, since in list(self.state.doubtful.items()):
            run = self._ours(run_id)
            if run is None or run.tags.get(_RETRIED):
                del self.state.doubtful[run_id]
            elif run.tags.get(_WILL_RETRY) != "true" or now() - since > _RETRY_PATIENCE:
                del self.state.doubtful[run_id]
                self._tell_failure(run)

    def _tell_failure(self, run: dg.DagsterRun) -> None:
        moment = datetime.fromtimestamp(now(), UTC)
        found = evidence(self.context.instance, run.run_id)
        if not concerns(self.known, run, found):
            return
        message = failure_message(self.context.instance, run, found, self.known, self.url, moment)
        news = [about for about in message.streams if not self._told_of(about)]
        for about in message.streams:
            self._turn_red(about.name, moment)
        if message.streams and not news:
            return
        for about in message.streams:
            if about.name in self.state.red:
                self.state.told[about.name] = (about.error, now())
        self._tell(message)

    def _told_of(self, about: About) -> bool:
        """Whether people know already that the stream fails with this class of error: they are told again after a day."""
        error, since = self.state.told.get(about.name, (None, 0.0))
        return about.name in self.state.red and error == about.error and now() - since < _REMINDED

    def _success(self, run_id: str, ended: float) -> None:
        """Take in a run that succeeded: checks that newly failed in it, and what was wrong and is right again."""
        run = self._ours(run_id)
        if run is None:
            return
        found, moment = evidence(self.context.instance, run_id), datetime.fromtimestamp(ended, UTC)
        if not concerns(self.known, run, found):
            return
        failing = [(self._asset(key), check) for (key, check), passed in found.checks.items() if not passed]
        fresh = [one for one in failing if " ".join(one) not in self.state.red]
        for one in failing:
            self._turn_red(" ".join(one), moment)
        if fresh:
            self._tell(check_message(run, fresh, self.url))
        again = {name: since for name in self._right(found) if (since := self.state.red.pop(name, None))}
        for name in again:
            self.state.told.pop(name, None)
        if again:
            known_since = {name: datetime.fromisoformat(text) for name, text in again.items()}
            self._tell(recovery_message(run, known_since, self.url, moment))

    def _right(self, found: Evidence) -> list[str]:
        """What went well in a run: its streams, and its checks that passed."""
        checks = [f"{self._asset(key)} {check}" for (key, check), passed in found.checks.items() if passed]
        return [*(self.known.name(step) for step in found.went if self._proves(step, found)), *checks]

    def _proves(self, step: str, found: Evidence) -> bool:
        """Whether a step did what had failed: it merged, where the merge had; else it pulled, and not only from quarantine."""
        if step not in self.known.of_step:
            return True
        error, _ = self.state.told.get(self.known.name(step), (None, 0.0))
        key = (warehouse_key if error in _OF_WAREHOUSE else lake_key)(*self.known.of_step[step])
        return key in found.landed

    def _asset(self, key: dg.AssetKey) -> str:
        return self.known.of_asset.get(key, key.to_user_string())

    def _turn_red(self, name: str, moment: datetime) -> None:
        if len(self.state.red) < _RED:
            self.state.red.setdefault(name, moment.isoformat())

    def _tell(self, message: Message) -> None:
        self.state.pending.append(Pending(asdict(message), list(self.channels), now()))

    def _ours(self, run_id: str) -> dg.DagsterRun | None:
        """The run, if it is there and of this code location."""
        run = self.context.instance.get_run_by_id(run_id)
        origin = (
            run.remote_job_origin.repository_origin.code_location_origin.location_name if run and run.remote_job_origin else None
        )
        here = self.context.code_location_origin.location_name if self.context.code_location_origin else None
        return run if run is not None and origin == here else None
