"""One client's way in: takes a turn before each request, and tells the others what came of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from threading import Event, Lock, local
from time import monotonic
from typing import TypeVar

from integration_assets.errors import (
    BreakerOpenError,
    IntegrationError,
    LimitsUnavailableError,
    QuotaSpentError,
    RescheduleError,
    UpstreamUnavailableError,
)
from integration_assets.extract.limits import rules
from integration_assets.extract.limits.headers import Budget, budget
from integration_assets.extract.limits.state import State
from integration_assets.extract.limits.store import Store
from integration_assets.extract.limits.view import LimitsView, view
from integration_assets.extract.retry import NameLookupError
from integration_assets.extract.usage import Usage
from integration_assets.spec.source import Source

T = TypeVar("T")
_FLUSH = 1.0
_WORTH_SAYING = {True: 1.0, False: 10.0}
"""Seconds of a wait that the API asked for, and of one in our own queue, from which on people are told."""
_LEASES = count()
"""Numbers that no two threads of this process share, of whatever client."""
_SLOWEST_POLL = 0.5
_HOLD_MORE = 10.0
_REMEDY = "A later run goes on from the last commit."


class _Mine(local):
    """What one thread knows.

    number : its lease's; probe: whether its turn is a probe.
    served : the end of a pause that it waits out by itself.
    usage  : counts its waiting.
    """

    number = -1
    probe = False
    served = 0.0
    usage: Usage | None = None


class Limiter:
    """The turns of one client. Thread safe; `close` hands in what was not told yet.

    account : the shared state's key.
    host    : whom the account is with, for people.
    on_wait : told the reason and the seconds before each wait that is worth it.
    """

    def __init__(
        self, store: Store, account: str, source: Source, host: str, usage: Usage, on_wait: Callable[[str, float], None] | None
    ) -> None:
        self.account = account
        self._store = store
        self._source, self._limits, self._host = source.name, source.limits, host
        self._usage = usage
        self._on_wait = on_wait
        self._counted = rules.counted(source.limits)
        self._hold = self._limits.page_timeout + self._limits.connect_timeout + self._limits.read_timeout + _HOLD_MORE
        self._mine = _Mine()
        self._lock = Lock()
        self._answers = 0
        self._told: tuple[Budget, float] | None = None
        self._flushed = monotonic()
        self._closed = Event()

    @contextmanager
    def turn(self, usage: Usage | None = None) -> Iterator[float]:
        """Hold a turn for one request; yields the seconds that were waited for it.

        usage : counts what is waited; the client's own when None.
        Raises `BreakerOpenError`, `QuotaSpentError`, `LimitsUnavailableError`, and `UpstreamUnavailableError` when the wait
        would be longer than the source's `pool_timeout`; each knows in how many seconds another run is worth it.
        """
        self._mine.probe = False
        self._mine.usage = usage
        started = monotonic()
        if not self._counted and rules.calm(*self._store.look(self.account), self._limits):
            yield 0.0
            return
        lease = self._lease()
        held = self._limits.concurrent is not None
        try:
            self._take(lease, started)
            yield monotonic() - started
        except LimitsUnavailableError:
            held = False
            raise
        except (NameLookupError, RescheduleError):
            self._leave_probe()  # the API was not reached, or not asked
            raise
        finally:
            if held:
                # A slot that cannot be given back expires by itself, and the next turn says what is wrong with the store.
                with suppress(LimitsUnavailableError):
                    self._update(lambda state, _now: rules.give_back(state, lease))

    def heard(self, headers: Mapping[str, str]) -> None:
        """Note what an answer's headers say of the API's budget; it is handed in with the next change."""
        told = budget(headers) if self._limits.obey_headers else None
        if told is not None:
            with self._lock:
                self._told = told, monotonic()

    def answered(self) -> None:
        """Tell that the API answered, whatever it said."""
        if self._mine.probe:
            self._update(lambda state, now: rules.answered(state, now, self._limits, 1, probe=True))
            return
        with self._lock:
            self._answers += 1
            few = self._told is not None and self._told[0].left <= rules.FEW
            due = few or monotonic() - self._flushed >= _FLUSH
        if due:
            self._update(lambda _state, _now: None)

    def failed(self, reason: str) -> None:
        """Tell that a request failed; after too many the breaker opens for all."""
        self._update(lambda state, now: rules.failed(state, now, self._limits, self._lease(), reason))

    def throttled(self, seconds: float | None, reason: str) -> None:
        """Tell that the API asks for a pause, of so many seconds if it said so."""

        def change(state: State, now: float) -> float:
            return rules.throttled(state, now, self._limits, seconds, reason)

        until = self._update(change)
        self._leave_probe()
        # The caller waits that pause out before it tries again; all others meet it in `turn`.
        self._mine.served = until if seconds is not None else 0.0

    def may_retry(self) -> bool:
        """Take one retry from the budget that all runs share; False when it is spent."""
        return self._update(lambda state, now: rules.may_retry(state, now, self._limits))

    def rest(self, seconds: float) -> None:
        """Wait so long. Raises `LimitsUnavailableError` at once when the client closes meanwhile."""
        if self._closed.wait(seconds):
            raise LimitsUnavailableError("the client was closed while a request waited", remedy=_REMEDY)

    def view(self) -> LimitsView:
        """What all runs together have of this account now."""
        return view(self.account, *self._store.look(self.account), self._limits)

    def close(self) -> None:
        """Hand in what was counted and not told yet, and send whoever waits for a turn away; a lost count costs nothing."""
        self._closed.set()
        if self._answers:
            with suppress(IntegrationError):
                self._update(lambda _state, _now: None)

    def _lease(self) -> str:
        """The thread's own: it holds one turn at a time."""
        if self._mine.number < 0:
            self._mine.number = next(_LEASES)
        return f"{self._store.owner}:{self._mine.number}"

    def _leave_probe(self) -> None:
        """Let another probe; when the store cannot be told, the probe ends by its time."""
        if self._mine.probe:
            self._mine.probe = False
            with suppress(LimitsUnavailableError):
                self._update(lambda state, _now: rules.leave_probe(state, self._lease()))

    def _take(self, lease: str, started: float) -> None:
        """Wait until it is our turn."""
        for tries in count():
            patience = self._limits.pool_timeout - (monotonic() - started)
            served = self._mine.served
            asker = rules.Asker(self._store.owner, lease, self._hold, patience, self._store.alive, served)
            got = self._update(partial(self._ask_for_turn, asker))
            if isinstance(got, rules.Refuse):
                raise self._refused(got)
            if isinstance(got, rules.Wait):
                if got.seconds > patience:
                    raise self._too_long(got)
                least = min(rules.POLL * 1.5 ** min(tries, 10), _SLOWEST_POLL)
                self._sleep(max(got.seconds, least), got.reason, by_api=got.by_api, jitter=True)
                continue
            self._mine.probe = got.probe
            wait: float | None = got.wait
            while wait:
                self._sleep(wait, "the queue for the source's rate", by_api=False)
                wait = self._update(partial(self._confirm, asker))
            if wait is not None:
                return

    def _ask_for_turn(self, asker: rules.Asker, state: State, now: float) -> rules.Go | rules.Wait | rules.Refuse:
        return rules.turn(state, now, self._limits, asker)

    def _confirm(self, asker: rules.Asker, state: State, now: float) -> float | None:
        return rules.confirm(state, now, self._limits, asker)

    def _update(self, change: Callable[[State, float], T]) -> T:
        """Change the shared state, and hand in what was not told yet."""

        def both(state: State, now: float) -> T:
            state.source, state.host = self._source, self._host
            self._hand_in(state, now)
            return change(state, now)

        return self._store.update(self.account, both)

    def _hand_in(self, state: State, now: float) -> None:
        with self._lock:
            answers, told = self._answers, self._told
            self._answers, self._told, self._flushed = 0, None, monotonic()
        if answers:
            rules.answered(state, now, self._limits, answers)
        if told is not None:
            budget_, at = told
            rules.told(state, now, budget_.left, max(0.0, budget_.reset - (monotonic() - at)), budget_.limit)

    def _sleep(self, seconds: float, reason: str, *, by_api: bool, jitter: bool = False) -> None:
        if jitter:  # so that those who wait for one moment do not all come at it
            seconds += random.uniform(0, min(self._limits.wait_initial, seconds))  # noqa: S311 - no secret
        if seconds >= _WORTH_SAYING[by_api] and self._on_wait:
            self._on_wait(reason, seconds)
        (self._mine.usage or self._usage).add(throttled=seconds if by_api else 0.0, queued=0.0 if by_api else seconds)
        self.rest(seconds)

    def _refused(self, refusal: rules.Refuse) -> RescheduleError:
        back = f"it is tried again in {refusal.seconds:,.0f} s, at {_at(refusal.seconds)}"
        error: RescheduleError
        if refusal.kind == "quota":
            error = QuotaSpentError(f"{refusal.reason}; {back}", field="limits.daily_quota", remedy=_REMEDY)
        else:
            error = BreakerOpenError(f"{self._host} is given a rest: {refusal.reason}; {back}", remedy=_REMEDY)
        error.retry_after = refusal.seconds
        return error

    def _too_long(self, wait: rules.Wait) -> RescheduleError:
        error = UpstreamUnavailableError(
            f"no turn within {self._limits.pool_timeout:g} s: {wait.reason}; it may be tried again in {wait.seconds:,.0f} s,"
            f" at {_at(wait.seconds)}",
            remedy=_REMEDY,
        )
        error.retry_after = wait.seconds
        return error


def _at(seconds: float) -> str:
    return f"{datetime.now(UTC) + timedelta(seconds=min(seconds, 10**9)):%Y-%m-%d %H:%M:%S} UTC"
