"""When to ask again, and when to stop asking."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import TypeVar

import stamina

from integration_assets.errors import TransientError, UnknownHostError, UpstreamUnavailableError
from integration_assets.spec.source import Limits

T = TypeVar("T")
_NAME_LOOKUPS = 2


class NameLookupError(TransientError):
    """The host's name did not resolve; asked twice, since a resolver may hiccup."""


class Retries:
    """The waits of one call; `hook` is what stamina asks after each failure.

    on_wait : told the error and the seconds before each wait.
    """

    def __init__(self, limits: Limits, on_wait: Callable[[TransientError, float], None]) -> None:
        self._limits = limits
        self._on_wait = on_wait
        self._started = monotonic()
        self.tries = 0

    def hook(self, error: Exception) -> bool | float:
        """Seconds to wait before the next try, or False to give up."""
        if not isinstance(error, TransientError):
            return False
        allowed = min(_NAME_LOOKUPS, self._limits.attempts) if isinstance(error, NameLookupError) else self._limits.attempts
        wait = self._wait(error)
        if self.tries >= allowed or wait > self.left:
            return False
        self._on_wait(error, wait)
        return wait

    def _wait(self, error: TransientError) -> float:
        """What the API asked for and a little more, so that many readers do not come back at one instant; else backoff."""
        first = self._limits.wait_initial
        if error.retry_after is not None:
            return error.retry_after + random.uniform(0, first)  # noqa: S311 - jitter, no secret
        ceiling = min(self._limits.wait_max, first * 2.0 ** min(self.tries - 1, 60))
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311

    @property
    def left(self) -> float:
        """Seconds of the retry budget that are left."""
        return self._limits.retry_timeout - (monotonic() - self._started)


def call_with_retries(limits: Limits, call: Callable[[], T], on_wait: Callable[[TransientError, float], None]) -> T:
    """What `call` returns, tried again on `TransientError` as the limits allow.

    Raises `UpstreamUnavailableError` with the last reason when the tries or the time are used up, or at once when the
    API asks for a longer wait than is left; `UnknownHostError` when the name does not resolve.
    """
    retries = Retries(limits, on_wait)
    try:
        for attempt in stamina.retry_context(retries.hook, attempts=limits.attempts, timeout=limits.retry_timeout):
            with attempt:
                retries.tries += 1
                return call()
    except TransientError as error:
        raise _given_up(error, retries) from error
    raise AssertionError  # pragma: no cover - stamina tries at least once


def _given_up(error: TransientError, retries: Retries) -> Exception:
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
    return UpstreamUnavailableError(
        f"the API was asked {tries} and failed, at last so: {error.what}", remedy="A later run goes on from the last commit."
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The `Retry-After` header in seconds from now, never below 0; None when it is absent or unreadable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
