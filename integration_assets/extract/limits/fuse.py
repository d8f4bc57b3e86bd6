"""The circuit breaker over an account's shared state: when all runs stop asking, and who finds out that it works again."""

from __future__ import annotations

from collections.abc import Callable

from integration_assets.extract.limits.state import BUCKET, Fuse, State
from integration_assets.spec.limits import Breaker

_PROBING = 5.0


def closed_for(fuse: Fuse, now: float, lease: str, alive: Callable[[str], bool]) -> tuple[float, str] | None:
    """Why the holder of `lease` may not ask, and in how many seconds to try again; None when it may."""
    if not fuse.opens:
        return None
    if now < fuse.until:
        return fuse.until - now, fuse.reason
    another = fuse.prober not in {"", lease} and now < fuse.probe_until
    if another and alive(_owner(fuse.prober)):
        return min(_PROBING, fuse.probe_until - now), f"{fuse.reason}; another run is finding out whether it works again"
    return None


def beside(fuse: Fuse, now: float, owner: str, lease: str) -> bool:
    """Whether another lease of the same owner probes now: its answer is worth waiting for."""
    return fuse.opens > 0 and fuse.until <= now < fuse.probe_until and fuse.prober != lease and _owner(fuse.prober) == owner


def probe(fuse: Fuse, lease: str, until: float) -> None:
    """Let the holder of `lease`, and nobody else, ask until the probe is over."""
    fuse.prober, fuse.probe_until = lease, until


def leave(fuse: Fuse, lease: str) -> None:
    """End a probe that found out nothing: the next one who asks probes."""
    if fuse.prober == lease:
        fuse.prober, fuse.probe_until = "", 0.0


def failed(state: State, now: float, breaker: Breaker, lease: str, reason: str) -> None:
    """Open after too many failures, or again after a probe that failed."""
    fuse = state.fuse
    if fuse.opens:
        if fuse.prober == lease and now >= fuse.until:
            _open(state, now, breaker, reason)
        return
    first = (now - breaker.window) // BUCKET
    recent = [count for count in state.counts if count.bucket > first]
    failures = sum(count.failed for count in recent)
    requests = failures + sum(count.answered for count in recent)
    if requests >= breaker.volume and failures >= breaker.ratio * requests:
        _open(state, now, breaker, f"{failures:,} of the last {requests:,} requests failed, at last so: {reason}")


def close(state: State) -> None:
    """Ask as before; what failed until now no longer counts."""
    state.fuse = Fuse()
    state.counts.clear()


def _owner(lease: str) -> str:
    return lease.partition(":")[0]


def _open(state: State, now: float, breaker: Breaker, reason: str) -> None:
    opens = state.fuse.opens + 1
    wait = min(breaker.wait_max, breaker.wait * 2.0 ** min(opens - 1, 30))
    state.fuse = Fuse(opens, now + wait, reason if opens == 1 else f"still failing: {reason}")
    state.counts.clear()
