"""What a source may cost, and what may come from it."""

from __future__ import annotations

import re
from math import ceil
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec


class Breaker(Spec):
    """When all runs together stop asking an API that keeps failing. Times in seconds.

    ratio  : the share of failed requests at which it opens, counted over the last `window`.
    volume : so many requests must have been answered or have failed in that time.
    wait   : how long it stays open; doubled each time the probe fails, up to `wait_max`.
    """

    ratio: float = Field(default=0.5, gt=0, le=1)
    volume: int = Field(default=20, ge=1)
    window: float = Field(default=60.0, ge=10, le=3600)
    wait: float = Field(default=30.0, gt=0)
    wait_max: float = Field(default=900.0, gt=0)


class Limits(Spec):
    """What a source may cost and what may come from it. Times in seconds, sizes in bytes.

    connect_timeout, read_timeout : of one connection, and of the wait for each piece of an answer.
    page_timeout  : of one answer, from the request to its body's end.
    pool_timeout  : of the wait for one's own turn: a connection, a slot, a token, the end of a pause; then the run is
                    rescheduled.
    attempts, retry_timeout : of one page, retries and their waits among them; waiting for one's turn is not counted.
    wait_initial, wait_max  : the backoff's ceiling grows from the one to the other; each wait is a random part of it.
    retry_share, retry_floor : all runs together may retry this share of a minute's requests, and so many at the least.
    retry_on_status, retry_on_body : statuses that pass beside the usual ones; patterns (regular expressions, any case) of the
                    first 4 KiB of an answer, 200 among them, that mean "too fast, come again".
    rate, burst   : requests a second of all runs together, and how many may come at once after a rest: a twentieth of the
                    rate when None. No window of w seconds sees more than rate * w + burst.
    concurrent    : requests in flight of all runs together.
    daily_quota, quota_reserve, quota_timezone : requests a day, the share of them that is left to others, and whose midnight.
    obey_headers  : hold to the budget that the API tells in `RateLimit` or `X-RateLimit-…` headers.
    breaker       : None never stops asking.
    group         : sources that give the same name share their limits, if host and credential are the same too.
    checkpoint_pages, checkpoint_seconds : what is read of a slice is noted so often that a run which goes on from there pulls
                    so many pages again at the most, or those of so many seconds where these are more; None notes nothing.
    max_connections : of one run.
    slices        : so many partitions, tenants or steps of a stream one run pulls at once, if it has so many connections and
                    slots; 1 pulls one after the other.
    """

    connect_timeout: float = Field(default=10.0, gt=0)
    read_timeout: float = Field(default=60.0, gt=0)
    page_timeout: float = Field(default=180.0, gt=0)
    pool_timeout: float = Field(default=300.0, gt=0)
    attempts: int = Field(default=6, ge=1)
    retry_timeout: float = Field(default=300.0, gt=0)
    wait_initial: float = Field(default=0.5, ge=0)
    wait_max: float = Field(default=60.0, ge=0)
    retry_share: float = Field(default=0.2, ge=0, le=1)
    retry_floor: int = Field(default=20, ge=0)
    retry_on_status: tuple[Annotated[int, Field(ge=400, le=599)], ...] = ()
    retry_on_body: tuple[str, ...] = ()
    rate: float | None = Field(default=None, gt=0, le=100_000)
    burst: int | None = Field(default=None, ge=1)
    concurrent: int | None = Field(default=None, ge=1, le=500)
    daily_quota: int | None = Field(default=None, ge=1)
    quota_reserve: float = Field(default=0.1, ge=0, lt=1)
    quota_timezone: str = "UTC"
    obey_headers: bool = True
    breaker: Breaker | None = Breaker()
    group: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]{0,62}$")
    max_connections: int = Field(default=8, ge=1)
    slices: int = Field(default=4, ge=1, le=32)
    max_page_bytes: int = Field(default=64 * 2**20, ge=1)
    max_pages: int = Field(default=1_000_000, ge=1)
    checkpoint_pages: int | None = Field(default=100, ge=1)
    checkpoint_seconds: float = Field(default=5.0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Limits:
        for pattern in self.retry_on_body:
            try:
                re.compile(pattern)
            except re.error as error:
                raise SpecError(
                    f"{pattern!r} is no regular expression: {error}", field="retry_on_body", remedy="Mend the pattern."
                ) from None
        try:
            ZoneInfo(self.quota_timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise SpecError(
                f"no time zone {self.quota_timezone!r}", field="quota_timezone", remedy="Use an IANA name such as Europe/Berlin."
            ) from None
        return self

    @property
    def allowed_burst(self) -> int:
        """How many requests may come at once after a rest."""
        return self.burst or max(1, ceil((self.rate or 0) / 20))

    @property
    def slices_at_once(self) -> int:
        """How many slices one run pulls at once: what none of them has a connection or a slot for would only wait."""
        return min(self.slices, self.max_connections, self.concurrent or self.slices)

    @property
    def daily_spendable(self) -> int | None:
        """How many requests of a day's quota runs may spend; None without a quota."""
        return None if self.daily_quota is None else int(self.daily_quota * (1 - self.quota_reserve))
