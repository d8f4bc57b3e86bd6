"""Whether as many records came as usual, told by the stream's own past.

Records a slice are compared by the hour of the slice, so that a catch-up over three days is no surprise; snapshots and
integer cursors, which have no length in time, by the pull. Usual is the median of comparable slices: those of the same
weekday, or of the same hour where slices are shorter than a day, else all. The tolerance is the widest of five robust
standard deviations (1.4826 times the median distance from the median), of four times the square root of what is expected,
which is what chance alone does to small counts, and of half of what is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from statistics import median
from zoneinfo import ZoneInfo

import dagster as dg

from integration_assets.orchestrate.checks.names import VOLUME
from integration_assets.orchestrate.metadata import bullets
from integration_assets.spec.cursor import Slice
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream

PAST = 120
"""Receipts that are looked at: four months of days. Each is an entry of the lake's log, which a bucket gives in some 30 ms."""
ENOUGH = 8
"""Comparable slices below which nothing is flagged."""
_DEVIATIONS = 5 * 1.4826
_CHANCE = 4
_HALF = 0.5
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_COUNTED = frozenset({"committed", "empty"})
_SHOWN = 10


@dataclass(frozen=True)
class Measured:
    """One slice: its records, and its length in hours, or 1 for a pull that has none."""

    receipt: Receipt
    records: int
    hours: float
    middle: datetime | None

    @property
    def rate(self) -> float:
        """Records an hour, or a pull."""
        return self.records / self.hours


@dataclass(frozen=True)
class Verdict:
    """What a slice had, what was to be expected of it and within which bounds, told by how many slices of what kind."""

    slice: Measured
    expected: float
    low: float
    high: float
    past: int
    kind: str

    @property
    def usual(self) -> bool:
        """Whether the slice is within its bounds."""
        return self.low <= self.slice.records <= self.high

    def __str__(self) -> str:
        """The numbers in a sentence."""
        receipt = self.slice.receipt
        return (
            f"{self.slice.records:,} records in {Slice.from_json(receipt.slice, receipt.tenant)}; some {self.expected:,.0f} are"
            f" usual (median of {self.past} {self.kind}), {self.low:,.0f} to {self.high:,.0f} are not remarkable"
        )


def volume(
    key: dg.AssetKey, source: Source, stream: Stream, receipts: Sequence[Receipt], past: Sequence[Receipt]
) -> dg.AssetCheckResult:
    """Whether the slices of `receipts` have about as many records as those of `past`; passes when there is too little past."""
    zone = ZoneInfo(stream.partitions.timezone if stream.partitions else source.timezone)
    mine = [measure(receipt, zone) for receipt in receipts if receipt.outcome in _COUNTED]
    earlier = [measure(receipt, zone) for receipt in past if receipt.outcome in _COUNTED]
    verdicts = [verdict for one in mine if (verdict := judge(one, earlier)) is not None]
    odd = [verdict for verdict in verdicts if not verdict.usual]
    shown = odd[-1] if odd else verdicts[-1] if verdicts else None
    records = sum(one.records for one in mine)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=VOLUME,
        passed=not odd,
        severity=dg.AssetCheckSeverity.WARN,
        description=_described(shown, records, len(earlier)),
        metadata={
            "records": records,
            "slices": len(mine),
            "past slices": len(earlier),
            **({"usual": shown.expected, "low": shown.low, "high": shown.high} if shown else {}),
            **({"remarkable slices": dg.MetadataValue.md(bullets([str(one) for one in odd[:_SHOWN]]))} if odd else {}),
        },
    )


def _described(shown: Verdict | None, records: int, past: int) -> str:
    if shown is not None:
        return f"{shown}."
    return f"{records:,} records. Not judged: {past} earlier slices are known, and {ENOUGH} comparable ones are wanted."


def measure(receipt: Receipt, zone: ZoneInfo) -> Measured:
    """The receipt's records that belong to its slice, and how long that is."""
    span = Slice.from_json(receipt.slice)
    records = receipt.fetched - receipt.filtered
    if isinstance(span.start, datetime) and isinstance(span.end, datetime) and span.start < span.end:
        length = span.end - span.start
        return Measured(receipt, records, length / timedelta(hours=1), (span.start + length / 2).astimezone(zone))
    return Measured(receipt, records, 1, None)


def judge(one: Measured, past: Sequence[Measured]) -> Verdict | None:
    """What the past says of a slice; None when too few slices of it are comparable."""
    comparable = [
        other for other in past if other.receipt.tenant == one.receipt.tenant and (other.middle is None) == (one.middle is None)
    ]
    for kind, alike in _kinds(one):
        rates = [other.rate for other in comparable if alike(other)]
        if len(rates) >= ENOUGH:
            usual = median(rates)
            spread = median(abs(rate - usual) for rate in rates) * one.hours
            expected = usual * one.hours
            allowed = max(_DEVIATIONS * spread, _CHANCE * sqrt(expected), _HALF * expected)
            return Verdict(one, expected, max(0.0, expected - allowed), expected + allowed, len(rates), kind)
    return None


def _kinds(one: Measured) -> list[tuple[str, Callable[[Measured], bool]]]:
    """What a slice may be compared with, the most alike first."""
    middle, whole_day = one.middle, 20
    if middle is None:
        return [("earlier pulls", lambda _: True)]
    kinds: list[tuple[str, Callable[[Measured], bool]]] = []
    if one.hours < whole_day:
        day, hour = middle.weekday(), middle.hour
        kinds.append((f"slices about {hour:02}h on {_DAYS[day]}s", lambda other: _when(other) == (day, hour)))
        kinds.append((f"slices about {hour:02}h", lambda other: _when(other)[1] == hour))
    elif one.hours < 3 * 24:
        day = middle.weekday()
        kinds.append((f"{_DAYS[day]}s", lambda other: _when(other)[0] == day))
    return [*kinds, ("earlier slices", lambda _: True)]


def _when(one: Measured) -> tuple[int, int]:
    return (one.middle.weekday(), one.middle.hour) if one.middle else (-1, -1)
