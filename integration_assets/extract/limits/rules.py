"""Who may ask now: the rules over an account's shared state. Pure: a state, the store's clock and the spec, nothing else.

A turn is taken in one step under the store's lock. The generic cell rate algorithm is used twice: each asker is given the moment
of its turn, first come first served, so that nobody polls for a token; and at that moment it passes a gate, so that no window of
`w` seconds has more than `rate * w + burst`, whoever woke up late.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from integration_assets.extract.limits import fuse
from integration_assets.extract.limits.state import BUCKET, Count, Lease, State
from integration_assets.spec.limits import Limits

POLL = 0.05
FEW = 50
"""Requests left of the API's own budget from which on each is counted before it is sent."""
_BUDGET_WINDOW = 60.0
_SAME_RESET = 2.0
_NOTHING = -1
_BLINK = 1e-5

_SLOWER, _SLOWEST, _RECOVERY = 0.75, 0.1, 600.0
_CALM = 60.0
_LONGEST = 31 * 86_400.0


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a turn.

    owner    : the process's store; alive(owner) says whether another one still runs.
    lease    : `owner:number`, the name of its slot and of its probe; one thread's for as long as its client is open.
    hold     : seconds after its turn at which the slot is free again even if nobody gives it back.
    patience : seconds it will wait for its turn.
    served   : a pause, by its end, that the asker has waited out by itself.
    """

    owner: str
    lease: str
    hold: float
    patience: float
    alive: Callable[[str], bool] = lambda _owner: True
    served: float = 0.0


@dataclass(frozen=True, slots=True)
class Go:
    """Ask at `due`, which is `wait` seconds from now, after `confirm`. `probe`: the answer decides whether the breaker closes."""

    due: float
    wait: float
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Come again in so many seconds. `by_api`: the API asked for it; else it is our own limit."""

    seconds: float
    reason: str
    by_api: bool


@dataclass(frozen=True, slots=True)
class Refuse:
    """End the run: another one is worth it in so many seconds."""

    kind: str
    seconds: float
    reason: str


def counted(limits: Limits) -> bool:
    """Whether each turn changes the shared state, because something about it is limited."""
    return limits.rate is not None or limits.concurrent is not None or limits.daily_quota is not None


def calm(state: State, now: float, limits: Limits) -> bool:
    """Whether nothing stands in the way of a request that need not be counted at once."""
    few = state.left is not None and state.left <= FEW and now < state.left_until
    return not (state.fuse.opens and limits.breaker) and now >= state.paused_until and not few


def turn(state: State, now: float, limits: Limits, asker: Asker) -> Go | Wait | Refuse:
    """Take a turn, or say what stands in the way. What is taken is noted in the state."""
    if limits.breaker and fuse.beside(state.fuse, now, asker.owner, asker.lease):
        return Wait(POLL, f"{state.fuse.reason}; another request of this run is finding out whether it works again", by_api=False)
    if shut := _shut(state, now, limits, asker):
        return Refuse("breaker", *shut)
    obstacle = _pause(state, now, asker) or _budget(state, now) or _quota(state, now, limits) or _slot(state, now, limits, asker)
    if obstacle:
        return obstacle
    go = _token(state, now, limits, asker)
    if isinstance(go, Wait):
        return go
    if limits.concurrent is not None:
        state.leases[asker.lease] = Lease(asker.owner, go.due + asker.hold)
    _spend(state, limits, 1)
    if not state.fuse.opens or limits.breaker is None:
        return go
    fuse.probe(state.fuse, asker.lease, go.due + asker.hold)
    return Go(go.due, go.wait, probe=True)


def confirm(state: State, now: float, limits: Limits, asker: Asker) -> float | None:
    """Whether a turn that was waited for holds now: 0.0, or the seconds to wait on; None when it had to be given back."""
    # Of the API's budget its request was taken with the turn: only what the API said since can stand in the way.
    overdrawn = state.left is not None and state.left < 0 and now < state.left_until
    if _shut(state, now, limits, asker) or _pause(state, now, asker) or overdrawn:
        _today(state, now, limits)
        _spend(state, limits, -1)
        return None
    wait = _gate(state, now, limits)
    if asker.lease in state.leases:
        state.leases[asker.lease].expires = now + wait + asker.hold
    return wait


def give_back(state: State, lease: str) -> None:
    """Free a slot."""
    state.leases.pop(lease, None)


def answered(state: State, now: float, limits: Limits, count: int, *, probe: bool = False) -> None:
    """Note that the API answered so many requests, whatever it said. A probe's answer closes the breaker."""
    _count(state, now, limits).answered += count
    if probe and state.fuse.opens:
        fuse.close(state)


def leave_probe(state: State, lease: str) -> None:
    """Let another probe: this one found out nothing."""
    fuse.leave(state.fuse, lease)


def failed(state: State, now: float, limits: Limits, lease: str, reason: str) -> None:
    """Note that a request failed; this may open the breaker."""
    _count(state, now, limits).failed += 1
    if limits.breaker is not None:
        fuse.failed(state, now, limits.breaker, lease, reason)


def throttled(state: State, now: float, limits: Limits, seconds: float | None, reason: str) -> float:
    """Pause every run for what the API asked for, or for a backoff that grows; returns the pause's end.

    With a rate, go on slower than before; it recovers over some minutes.
    """
    if seconds is None:
        if now >= state.paused_until:
            state.pauses = state.pauses + 1 if now - state.paused_until < _CALM else 1
        ceiling = min(limits.wait_max, limits.wait_initial * 2.0 ** min(state.pauses - 1, 60))
        seconds = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter, no secret
    elif now >= state.paused_until:
        state.pauses = 0
    until = now + min(seconds, _LONGEST)
    if until > state.paused_until:
        state.paused_until, state.pause_reason = until, reason
    if limits.rate is not None and now - state.slowed_at > 1:
        state.slowed, state.slowed_at = max(_SLOWEST, pace(state, now) * _SLOWER), now
    return state.paused_until


def told(state: State, now: float, left: int, reset: float, limit: int | None) -> None:
    """Note the budget that the API told: `left` requests until `reset` seconds from now.

    Within one window it only shrinks: what others have in flight is counted here and not there yet. With nothing left there, what
    was taken here and not sent yet does not hold either: it is below 0 then.
    """
    left = left or _NOTHING
    until = now + min(reset, _LONGEST)
    same = state.left is not None and now < state.left_until and abs(until - state.left_until) <= _SAME_RESET
    if same and state.left is not None:
        state.left = min(state.left, left)
    else:
        state.left, state.left_until = left, until
    state.left_of = limit


def may_retry(state: State, now: float, limits: Limits) -> bool:
    """Take one retry from the budget that all runs share; False when it is spent."""
    recent = _recent(state, now, _BUDGET_WINDOW)
    requests = sum(count.answered + count.failed for count in recent)
    if sum(count.retries for count in recent) >= max(limits.retry_floor, limits.retry_share * requests):
        return False
    _count(state, now, limits).retries += 1
    return True


def pace(state: State, now: float) -> float:
    """The share of the rate that is used now, after 429s."""
    return min(1.0, state.slowed + (now - state.slowed_at) / _RECOVERY)


def spent_today(state: State, now: float, limits: Limits) -> int:
    """What the quota's day has cost so far."""
    return state.spent if state.day == _day(now, limits).isoformat() else 0


def last_minute(state: State, now: float) -> tuple[int, int, int]:
    """Requests, failures and retries of all runs in the last minute."""
    recent = _recent(state, now, _BUDGET_WINDOW)
    failures = sum(count.failed for count in recent)
    return sum(count.answered for count in recent) + failures, failures, sum(count.retries for count in recent)


def _shut(state: State, now: float, limits: Limits, asker: Asker) -> tuple[float, str] | None:
    return fuse.closed_for(state.fuse, now, asker.lease, asker.alive) if limits.breaker else None


def _pause(state: State, now: float, asker: Asker) -> Wait | None:
    if now < state.paused_until and state.paused_until > asker.served:
        return Wait(state.paused_until - now, state.pause_reason, by_api=not state.pauses)
    return None


def _budget(state: State, now: float) -> Wait | None:
    if state.left is not None and state.left <= 0 and now < state.left_until:
        return Wait(state.left_until - now, "the budget that the API tells is spent", by_api=True)
    return None


def _quota(state: State, now: float, limits: Limits) -> Refuse | None:
    _today(state, now, limits)
    most = limits.daily_spendable
    if most is None or state.spent < most:
        return None
    kept = f", {limits.quota_reserve:.0%} of it is kept for others" if limits.quota_reserve else ""
    zone = ZoneInfo(limits.quota_timezone)
    midnight = datetime.combine(_day(now, limits) + timedelta(days=1), time(), zone).timestamp()
    return Refuse("quota", midnight - now, f"{state.spent:,} of the day's {limits.daily_quota:,} requests are spent{kept}")


def _slot(state: State, now: float, limits: Limits, asker: Asker) -> Wait | None:
    if limits.concurrent is None or asker.lease in state.leases:
        return None
    for name in [name for name, lease in state.leases.items() if lease.expires <= now]:
        del state.leases[name]
    if len(state.leases) >= limits.concurrent:
        gone = {owner for owner in {lease.owner for lease in state.leases.values()} if not asker.alive(owner)}
        for name in [name for name, lease in state.leases.items() if lease.owner in gone]:
            del state.leases[name]
    if len(state.leases) < limits.concurrent:
        return None
    return Wait(POLL, f"{limits.concurrent} requests are in flight", by_api=False)


def _token(state: State, now: float, limits: Limits, asker: Asker) -> Go | Wait:
    """A place in the queue, and the moment at which it is due."""
    if limits.rate is None:
        return Go(now, 0.0)
    interval, tolerance = _spacing(state, now, limits)
    next_turn = max(state.next_turn, state.gate, now)
    due = max(now, next_turn - tolerance)
    if due - now > asker.patience:
        return Wait(due - now, f"the queue for {limits.rate:g} requests a second is long", by_api=False)
    state.next_turn = next_turn + interval
    wait = due - now or _gate(state, now, limits)
    return Go(now + wait, wait)


def _gate(state: State, now: float, limits: Limits) -> float:
    """Pass if the rate allows it at this very moment, whenever it was due: 0.0, or the seconds until it may.

    Who is late, because its machine was busy, is let through one by one, and never together with those who are in time.
    """
    if limits.rate is None:
        return 0.0
    interval, tolerance = _spacing(state, now, limits)
    early = state.gate - tolerance - now
    if early > _BLINK:
        return early
    state.gate = max(state.gate, now) + interval
    return 0.0


def _spacing(state: State, now: float, limits: Limits) -> tuple[float, float]:
    """Seconds between turns, and by how many a burst may run ahead of them."""
    interval = 1 / ((limits.rate or 1.0) * pace(state, now))
    return interval, (limits.allowed_burst - 1) * interval


def _spend(state: State, limits: Limits, count: int) -> None:
    if limits.daily_quota is not None:
        state.spent = max(0, state.spent + count)
    if state.left is not None and state.left >= 0:
        state.left -= count


def _today(state: State, now: float, limits: Limits) -> None:
    if limits.daily_quota is None:
        return
    today = _day(now, limits).isoformat()
    if state.day != today:
        state.day, state.spent = today, 0


def _day(now: float, limits: Limits) -> date:
    return datetime.fromtimestamp(now, ZoneInfo(limits.quota_timezone)).date()


def _count(state: State, now: float, limits: Limits) -> Count:
    """The present bucket's count; buckets too old for any window are dropped."""
    bucket = int(now // BUCKET)
    if not state.counts or state.counts[-1].bucket != bucket:
        window = max(_BUDGET_WINDOW, limits.breaker.window if limits.breaker else 0)
        state.counts = [*(count for count in _recent(state, now, window) if count.bucket < bucket), Count(bucket)]
    return state.counts[-1]


def _recent(state: State, now: float, window: float) -> list[Count]:
    first = (now - window) // BUCKET
    return [count for count in state.counts if count.bucket > first]
