"""When to ask again, and when to stop asking."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic, sleep
from typing import TypeVar

import stamina

from integration_assets.errors import TransientError, UnknownHostError, UpstreamUnavailableError
from integration_assets.spec.limits import Limits

T = TypeVar("T")
_NAME_LOOKUPS = 2
_LONGEST = 1e9
"""Seconds, some thirty years: what an API asks for beyond is no number to reckon with."""


class NameLookupError(TransientError):
    """The host's name did not resolve; asked twice, since a resolver may hiccup."""


class ThrottledError(TransientError):
    """The API is well and asks for a pause: a 429, a `Retry-After`, a body that says so. All runs hold it together."""


class Retries:
    """The tries of one call and the time they may take; `hook` is what stamina asks after each failure.

    wait      : seconds to wait before the next try; stamina's own wait could not be cut short when the client closes.
    on_wait   : told the error and the seconds before each wait.
    may_retry : takes one retry from the budget that all runs share; False when it is spent.
    """

    def __init__(self, limits: Limits, on_wait: Callable[[TransientError, float], None], may_retry: Callable[[], bool]) -> None:
        self._limits = limits
        self._on_wait = on_wait
        self._may_retry = may_retry
        self._started = monotonic()
        self.tries = 0
        self.wait = 0.0
        self.over_budget = False

    def hook(self, error: Exception) -> bool | float:
        """0 seconds, after which `wait` is to be waited, or False to give up."""
        if not isinstance(error, TransientError):
            return False
        allowed = min(_NAME_LOOKUPS, self._limits.attempts) if isinstance(error, NameLookupError) else self._limits.attempts
        wait = self._wait(error)
        if self.tries >= allowed or wait > self.left:
            return False
        # A pause that the API asks for is no outage, and cannot multiply one.
        if not isinstance(error, ThrottledError) and not self._may_retry():
            self.over_budget = True
            return False
        self._on_wait(error, wait)
        self.wait = wait
        return 0.0

    def _wait(self, error: TransientError) -> float:
        """What the API asked for and a little more, so that many readers do not come back at one instant; else full jitter."""
        first = self._limits.wait_initial
        if error.retry_after is not None:
            return error.retry_after + random.uniform(0, first)  # noqa: S311 - jitter, no secret
        ceiling = min(self._limits.wait_max, first * 2.0 ** min(self.tries - 1, 60))
        return random.uniform(0, ceiling)  # noqa: S311

    @property
    def left(self) -> float:
        """Seconds that are left of the call's time."""
        return self._limits.retry_timeout - (monotonic() - self._started)

    def excuse(self, seconds: float) -> None:
        """Do not count so many seconds: they were spent waiting for a turn."""
        self._started += seconds


def call_with_retries(
    limits: Limits,
    call: Callable[[Retries], T],
    on_wait: Callable[[TransientError, float], None],
    may_retry: Callable[[], bool] = lambda: True,
    rest: Callable[[float], None] = sleep,
) -> T:
    """What `call` returns, tried again on `TransientError` as the limits allow; `rest` waits, and what it raises ends the call.

    Raises `UpstreamUnavailableError` with the last reason when the tries, the time or the budget of retries are used up, or at
    once when the API asks for a longer wait than is left; `UnknownHostError` when the name does not resolve.
    """
    retries = Retries(limits, on_wait, may_retry)
    try:
        for attempt in stamina.retry_context(retries.hook, attempts=limits.attempts, timeout=None):
            if retries.wait and not stamina.is_testing():
                rest(retries.wait)
            with attempt:
                retries.tries += 1
                return call(retries)
    except TransientError as error:
        raise _given_up(error, retries, limits) from error
    raise AssertionError  # pragma: no cover - stamina tries at least once


def _given_up(error: TransientError, retries: Retries, limits: Limits) -> Exception:
    if isinstance(error, NameLookupError):
        return UnknownHostError(
            error.what, field="base_url", remedy="Check the source's base_url for a typing error, and this machine's DNS."
        )
    if error.retry_after is not None and error.retry_after > retries.left:
        back = datetime.now(UTC) + timedelta(seconds=min(error.retry_after, 10**9))
        later = UpstreamUnavailableError(
            f"{error.what}; the API asks to come back in {error.retry_after:,.0f} s, at {back:%Y-%m-%d %H:%M:%S} UTC",
            remedy="A later run goes on from the last commit.",
        )
        later.retry_after = error.retry_after
        return later
    tries = "once" if retries.tries == 1 else f"{retries.tries} times"
    budget = (
        f" All runs together have spent the budget of retries, {limits.retry_share:.0%} of a minute's requests and at least"
        f" {limits.retry_floor}."
        if retries.over_budget
        else ""
    )
    return UpstreamUnavailableError(
        f"the API was asked {tries} and failed, at last so: {error.what}{'.' if budget else ''}{budget}",
        remedy="A later run goes on from the last commit.",
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The `Retry-After` header in seconds from now, never below 0; None when it is absent or unreadable.

    A moment is compared with the answer's own `Date`: the API's clock may not be ours.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), _LONGEST)
    moment = _moment(text)
    if moment is None:
        return None
    return max(0.0, (moment - (_moment(headers.get("date", "")) or datetime.now(UTC))).total_seconds())


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
