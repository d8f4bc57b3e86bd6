"""An account's shared state as people and metadata are shown it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from integration_assets.extract.limits import rules
from integration_assets.extract.limits.state import State
from integration_assets.extract.limits.store import Store
from integration_assets.spec.limits import Limits
from integration_assets.spec.source import Source


@dataclass(frozen=True)
class LimitsView:
    """What all runs together have of one account now. Moments are ISO 8601 in UTC; None is "not so" or "not known".

    rate         : requests a second that are allowed now; below the spec's after a 429.
    in_flight    : slots held, of `concurrent`.
    paused_until : nobody asks before, since the API said so.
    breaker      : `closed`, `open` or `half-open`; `breaker_until` is when it is tried again, `breaker_reason` why it opened.
    quota_left   : requests that runs may still spend today; api_left, api_reset: what the API's own headers told.
    requests, failures, retries : of the last minute.
    """

    account: str
    source: str
    host: str
    rate: float | None
    in_flight: int
    concurrent: int | None
    paused_until: str | None
    pause_reason: str | None
    breaker: str
    breaker_until: str | None
    breaker_reason: str | None
    quota_left: int | None
    api_left: int | None
    api_reset: str | None
    requests: int
    failures: int
    retries: int


def view(account: str, state: State, now: float, limits: Limits) -> LimitsView:
    """The state at `now`, under the limits of the account's source."""
    fuse = state.fuse
    told = state.left is not None and now < state.left_until
    paused = now < state.paused_until
    requests, failures, retries = rules.last_minute(state, now)
    spendable = limits.daily_spendable
    return LimitsView(
        account=account,
        source=state.source,
        host=state.host,
        rate=limits.rate and round(limits.rate * rules.pace(state, now), 3),
        in_flight=sum(lease.expires > now for lease in state.leases.values()),
        concurrent=limits.concurrent,
        paused_until=moment(state.paused_until) if paused else None,
        pause_reason=state.pause_reason if paused else None,
        breaker="closed" if not fuse.opens else "open" if now < fuse.until else "half-open",
        breaker_until=moment(fuse.until) if fuse.opens else None,
        breaker_reason=fuse.reason if fuse.opens else None,
        quota_left=None if spendable is None else max(0, spendable - rules.spent_today(state, now, limits)),
        api_left=max(0, state.left) if told and state.left is not None else None,
        api_reset=moment(state.left_until) if told else None,
        requests=requests,
        failures=failures,
        retries=retries,
    )


def views(store: Store, sources: Iterable[Source]) -> Iterator[LimitsView]:
    """Every account that any run of these sources has asked by, from the store alone: no secret is needed."""
    limits = {source.name: source.limits for source in sources}
    for account, state, now in store.all():
        if state.source in limits:
            yield view(account, state, now, limits[state.source])


def moment(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
