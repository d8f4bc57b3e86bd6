"""The tick of a sensor that watches something upstream and asks for runs: shared by probes and by files.

The sensor's cursor holds a `Memory` for each watch. A look that fails leaves what was seen as it was.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import dagster as dg

from integration_assets.errors import IntegrationError, RescheduleError
from integration_assets.orchestrate.automation import CATCH_UP, priority
from integration_assets.orchestrate.partitions import latest_closed
from integration_assets.orchestrate.sensors.memory import Memory, Outcome, Sighting
from integration_assets.spec.partitions import Partitions

BUDGET = 25.0
"""Seconds after which a tick begins no further look; Dagster ends the tick at 60."""
_RETRY_PATIENCE = 600.0
_LONGEST_LEAVE = 86_400.0
_A_RUN = 31
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_TICK = timedelta(microseconds=1)
_WILL_RETRY = "dagster/will_retry"
_RUN_KEY = "dagster/run_key"


def now() -> float:
    """Seconds since 1970 by this machine's clock."""
    return time.time()


@dataclass(frozen=True)
class Watch:
    """Streams that one look tells about, and that are pulled by one run.

    name       : in the cursor.
    selection  : the assets to materialize, checks those of their checks that tell about the run.
    partitions : of those streams; None when they have none.
    lag        : how long after a change the API's data is final.
    every      : seconds between two looks, at least.
    """

    name: str
    selection: tuple[dg.AssetKey, ...]
    checks: tuple[dg.AssetCheckKey, ...]
    every: float
    partitions: Partitions | None = None
    lag: timedelta = timedelta(0)

    def ready(self, memory: Memory, moment: float) -> tuple[list[str], float] | None:
        """The partitions to pull (none for streams without), and up to when that pulls all changes; None: not yet."""
        final = moment - self.lag.total_seconds()
        if memory.first > final:
            return None
        if self.partitions is None:
            return [], final
        keys: list[str] = []
        reached = final
        last = _moment(min(memory.until, final)) + _TICK
        for key in self.partitions.keys(self._since(memory, final), last):
            end = self.partitions.slice_of(key).end
            assert isinstance(end, datetime)  # noqa: S101 - a partition is closed on both sides
            is_there = end.timestamp() <= final or self.partitions.refresh is not None
            if not is_there or len(keys) == _A_RUN:
                break
            keys.append(key)
            reached = min(final, end.timestamp())
        return (keys, reached) if keys else None

    def _since(self, memory: Memory, final: float) -> datetime:
        """When the changes that are not pulled yet began. What was before the first look is sought where it is final last."""
        assert self.partitions is not None  # noqa: S101 - asked only for partitioned streams
        if memory.pulled is not None:
            return _moment(memory.pulled)
        key = latest_closed(self.partitions, _moment(final))
        held = _moment(max(min(memory.until, final), self.partitions.origin.timestamp()))
        starts = [self._start(one) for one in (key, self.partitions.key_of(held)) if one is not None]
        return min(starts)

    def _start(self, key: str) -> datetime:
        assert self.partitions is not None  # noqa: S101 - as above
        start = self.partitions.slice_of(key).start
        assert isinstance(start, datetime)  # noqa: S101 - a partition is closed on both sides
        return start


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@dataclass
class State:
    """A sensor's cursor.

    made  : tells this cursor's run keys from those of one that was reset.
    leave : the API asked to be left alone until then.
    turn  : which watch comes first, so that the last ones get their look too.
    """

    made: str = field(default_factory=lambda: secrets.token_hex(4))
    leave: float = 0.0
    turn: int = 0
    watches: dict[str, Memory] = field(default_factory=dict)

    @classmethod
    def from_cursor(cls, text: str | None) -> State:
        """The cursor's state; a new one when there is none, or when what someone wrote there is not one."""
        try:
            found = json.loads(text or "")
            watches = {name: Memory(**memory) for name, memory in found["watches"].items()}
            return cls(str(found["made"]), float(found["leave"]), int(found["turn"]), watches)
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def to_cursor(self) -> str:
        """The inverse of `from_cursor`."""
        return json.dumps(asdict(self), separators=(",", ":"))


Look = Callable[[Watch, Memory], Sighting]
"""What upstream shows of a watch now, given what is remembered of it. Raises `IntegrationError`."""


@dataclass(frozen=True)
class Ticker:
    """One tick. `look` is asked about each watch at most once; `tags` are for the runs that are asked for."""

    context: dg.SensorEvaluationContext
    watches: Sequence[Watch]
    look: Look
    tags: Mapping[str, str]

    def tick(self) -> dg.SensorResult:
        """Look at the watches whose turn it is, and ask for a run of each that changed."""
        began, state = time.monotonic(), State.from_cursor(self.context.cursor)
        requests: list[dg.RunRequest] = []
        said: dict[str, list[str]] = {}
        start = state.turn % len(self.watches)
        for watch in (*self.watches[start:], *self.watches[:start]):
            if time.monotonic() - began > BUDGET:
                said.setdefault("left for the next tick", []).append(watch.name)
                continue
            why, request = self._turn(state, watch)
            state.turn = (state.turn + 1) % len(self.watches)
            said.setdefault(why, []).append(watch.name)
            requests += [request] if request else []
        state.watches = {watch.name: state.watches[watch.name] for watch in self.watches if watch.name in state.watches}
        reason = "; ".join(f"{', '.join(names)}: {why}" for why, names in said.items())
        self.context.log.info(reason)
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=state.to_cursor())
        return dg.SensorResult(skip_reason=reason, cursor=state.to_cursor())

    def _turn(self, state: State, watch: Watch) -> tuple[str, dg.RunRequest | None]:
        """What became of a watch, and the run to ask for."""
        moment, before = now(), state.watches.get(watch.name, Memory())
        memory = before.settle(self._outcome(before.run_key), moment)
        state.watches[watch.name] = memory
        if memory.run_key is not None:
            return "a run for the last change is under way", None
        if moment - memory.looked >= watch.every:
            looked = self._look(state, watch, memory, moment)
            if isinstance(looked, str):
                return looked, None
            memory = state.watches[watch.name] = looked
        if not memory.due:
            return "nothing yet" if memory.seen is None else "unchanged", None
        if moment < memory.again:
            return f"the run failed {memory.failed} times; it is asked for again at {_moment(memory.again):%H:%M:%S} UTC", None
        ready = watch.ready(memory, moment)
        if ready is None:
            return "changed; its data is not final yet", None
        keys, reach = ready
        request = self._request(state, watch, memory, keys)
        state.watches[watch.name] = memory.ask(str(request.run_key), reach)
        return "changed", request

    def _look(self, state: State, watch: Watch, memory: Memory, moment: float) -> Memory | str:
        """The memory after a look; or why there was none, and then nothing is remembered but that it was tried."""
        if moment < state.leave:
            return f"the API asked to be left alone until {_moment(state.leave):%H:%M:%S} UTC"
        try:
            return memory.look(self.look(watch, memory), moment)
        except IntegrationError as error:
            if isinstance(error, RescheduleError) and error.retry_after:
                state.leave = moment + min(error.retry_after, _LONGEST_LEAVE)
            state.watches[watch.name] = replace(memory, looked=moment)
            self.context.log.warning("%s: %s", watch.name, error)
            return str(error)

    def _request(self, state: State, watch: Watch, memory: Memory, keys: Sequence[str]) -> dg.RunRequest:
        """The run key is that of this change: a tick that is repeated asks for the same run, which is then there once."""
        shown = sha256((memory.seen or "").encode()).hexdigest()[:8]
        run_key = f"{self.context.sensor_name}:{watch.name}:{state.made}:{memory.number}:{shown}"
        one = keys[0] if len(keys) == 1 else None
        tags = {
            **self.tags,
            **priority(CATCH_UP),
            **(dict(zip(_RANGE, (keys[0], keys[-1]), strict=True)) if len(keys) > 1 else {}),
        }
        return dg.RunRequest(
            run_key=run_key,
            asset_selection=list(watch.selection),
            asset_check_keys=list(watch.checks),
            partition_key=one,
            tags=tags,
        )

    def _outcome(self, run_key: str | None) -> Outcome:
        """What became of the run of that key, its retries included, whoever asked for those."""
        if run_key is None:
            return "none"
        records = self.context.instance.get_run_records(dg.RunsFilter(tags={_RUN_KEY: run_key}), limit=100)
        runs = [record.dagster_run for record in records]
        if any(run.status is dg.DagsterRunStatus.SUCCESS for run in runs):
            return "succeeded"
        if any(not run.is_finished for run in runs):
            return "underway"
        # Dagster is about to retry the newest one; if that does not come soon, it never will.
        newest = records[0] if records else None
        retried = newest is not None and newest.dagster_run.tags.get(_WILL_RETRY) == "true"
        if newest is not None and retried and now() - (newest.end_time or 0.0) < _RETRY_PATIENCE:
            return "underway"
        return "failed"
