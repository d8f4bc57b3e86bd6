"""How old a stream is: since its last pull, and by the frontier up to which the table has all that the API showed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.orchestrate.checks.names import FRESHNESS, FRONTIER_LAG
from integration_assets.orchestrate.freshness import frontier_limits, pull_limits
from integration_assets.orchestrate.metadata import Metadata, bullets
from integration_assets.orchestrate.specs import warehouse_key
from integration_assets.spec.cursor import CursorValue, Slice, gaps, watermark
from integration_assets.spec.freshness import Freshness
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.land.state import LakeState

_SHOWN = 10
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Age:
    """What is known of a stream when its age is asked for.

    now       : this machine's clock.
    pulled_at : when it was pulled last with success, as the lake or Dagster's event log has it; None if it never was.
    state     : the lake's state at the version that the warehouse has reached; sequence 0 if nothing was ever merged.
    offset    : seconds by which the API's clock was ahead of this machine's at the last pull.
    ahead     : the lake's commits that the warehouse does not have yet.
    """

    now: datetime
    pulled_at: datetime | None
    state: LakeState
    offset: float = 0.0
    ahead: int = 0

    @property
    def api_now(self) -> datetime:
        """Now by the API's clock, as far from ours as it was at the last pull: the API is not asked."""
        return self.now + timedelta(seconds=self.offset)


def freshness(source: Source, stream: Stream, age: Age) -> dg.AssetCheckResult:
    """Whether the last pull is within its limits. It may have been of an old partition: that is the frontier's affair."""
    limits = pull_limits(source, stream)
    assert limits is not None  # noqa: S101 - the check is there only where there are limits
    if age.pulled_at is None or not age.state.sequence:
        return _never(source, stream, FRESHNESS, "pulled" if age.pulled_at is None else "merged")
    old = age.now - age.pulled_at
    return _result(
        source,
        stream,
        FRESHNESS,
        old,
        limits,
        f"The last pull was {spoken(old)} ago",
        {"last pull": dg.MetadataValue.timestamp(age.pulled_at)},
    )


def frontier_lag(source: Source, stream: Stream, age: Age) -> dg.AssetCheckResult:
    """Whether the contiguous frontier from the stream's origin is within its limits of the API's now."""
    limits = frontier_limits(source, stream)
    assert limits is not None  # noqa: S101 - as above
    if not age.state.sequence:
        return _never(source, stream, FRONTIER_LAG, "merged")
    whose, mark = _laggard(stream, age.state.finished)
    holes = [hole for tenant in _tenants(stream, age.state.finished) for hole in gaps(age.state.finished, stream.origin, tenant)]
    end = min(age.api_now, stream.partitions.limit) if stream.partitions and stream.partitions.limit else age.api_now
    reached = mark if mark is not None else stream.origin
    metadata: Metadata = {
        "frontier": dg.MetadataValue.text("…" if mark is None else mark.isoformat() if isinstance(mark, datetime) else str(mark)),
        "gaps": dg.MetadataValue.int(len(holes)),
        "lake commits ahead": dg.MetadataValue.int(age.ahead),
        **({} if whose is None else {"tenant furthest behind": dg.MetadataValue.text(whose)}),
    }
    if holes:
        metadata["first gaps"] = dg.MetadataValue.md(bullets([str(hole) for hole in holes[:_SHOWN]]))
    if not isinstance(reached, datetime):
        return _endless(source, stream, holes, metadata)
    lag = max(end - reached, timedelta(0))
    what = "everything" if whose is None else f"everything of every tenant (the last is {whose})"
    said = f"The table has {what} up to {reached.isoformat()}, which is {spoken(lag)} behind"
    if holes:
        many = f"{len(holes)} ranges before its newest data were" if len(holes) > 1 else "1 range before its newest data was"
        said += f"; {many} never pulled, the first {holes[0]}"
    return _result(source, stream, FRONTIER_LAG, lag, limits, said, metadata)


def _tenants(stream: Stream, finished: Sequence[Slice]) -> list[str | None]:
    """Whose frontiers there are: those of the fixed tenants, or of all that were ever pulled; None alone for no tenants."""
    if stream.tenants is None:
        return [None]
    return list(dict.fromkeys([*stream.tenants.keys, *(done.tenant for done in finished)]))


def _laggard(stream: Stream, finished: Sequence[Slice]) -> tuple[str | None, CursorValue | None]:
    """The tenant whose frontier is furthest behind, and that frontier; None for one that reaches nowhere yet."""
    marks = {tenant: watermark(finished, stream.origin, tenant) for tenant in _tenants(stream, finished)}
    behind = [tenant for tenant, mark in marks.items() if mark is None]
    tenant = behind[0] if behind else min(marks, key=lambda one: marks[one])  # type: ignore[arg-type, return-value]
    return tenant, marks[tenant]


def spoken(span: timedelta) -> str:
    """`3 d 4 h`, `2 h 5 min`, `40 s`: the two largest units."""
    seconds = int(span.total_seconds())
    units = [("d", seconds // 86_400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60)]
    first = next((number for number, (_, count) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for unit, count in units[first : first + 2] if count) or "0 s"


def _result(
    source: Source, stream: Stream, name: str, old: timedelta, limits: Freshness, said: str, metadata: Metadata
) -> dg.AssetCheckResult:
    """Passed, a warning or an error by the limits; hours are numbers, which Dagster plots."""
    failed = old > limits.fail_after
    limit = limits.fail_after if failed else limits.warn_after
    return dg.AssetCheckResult(
        asset_key=warehouse_key(source, stream),
        check_name=name,
        passed=old <= limits.warn_after,
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        description=f"{said}; {spoken(limit)} are allowed.",
        metadata={
            "hours": round(old / _HOUR, 2),
            "warns after hours": limits.warn_after / _HOUR,
            "fails after hours": limits.fail_after / _HOUR,
            **metadata,
        },
    )


def _never(source: Source, stream: Stream, name: str, done: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=warehouse_key(source, stream),
        check_name=name,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"The stream was never {done}.",
    )


def _endless(source: Source, stream: Stream, holes: Sequence[Slice], metadata: Metadata) -> dg.AssetCheckResult:
    """A stream without a first moment, of which nothing contiguous is there yet."""
    return dg.AssetCheckResult(
        asset_key=warehouse_key(source, stream),
        check_name=FRONTIER_LAG,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Only single ranges were pulled: {len(holes)} are missing before the newest. Sync the stream once.",
        metadata=metadata,
    )
