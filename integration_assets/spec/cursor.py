"""Cursor, slice and watermark algebra.

A slice is a half-open range `[start, end)` on a stream's cursor axis. The lake remembers which slices are finished, as
disjoint ranges; the watermark is the end of the range that reaches back to the stream's origin without a gap, so it
moves only along the contiguous frontier, whatever order the slices finish in.

Where an API keeps the data of several tenants apart, each has an axis of its own: slices of different tenants have nothing
to do with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Literal

from pydantic import model_validator

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec

CursorValue = datetime | int


class Cursor(Spec):
    """The field that orders a stream, and how the API is asked for a range of it.

    field        : the contract's column that holds it.
    start        : where the stream's history begins; None asks for all that there is.
    start_param  : query parameter for the slice's start; None when the API cannot filter (the slice is cut here).
    end_param    : query parameter for the slice's end; None when the API has none.
    format       : how a value is written in a query: `iso8601`, `epoch_s`, `epoch_ms` or a strftime pattern.
    start_exclusive : the API leaves out records at the start it is given; it is asked one unit earlier.
    lookback     : how far behind the watermark each sync reads again, for records that arrive late.
    safety_lag   : how far behind now a slice ends, for records that become visible late.
    step         : long slices are pulled in steps of this size, each its own commit; None pulls them whole.
    """

    field: str
    kind: Literal["timestamp", "integer"] = "timestamp"
    start: datetime | int | None = None
    start_param: str | None = None
    end_param: str | None = None
    format: str = "iso8601"
    start_exclusive: bool = False
    lookback: timedelta | int = timedelta(0)
    safety_lag: timedelta = timedelta(0)
    step: timedelta | int | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Cursor:
        if self.kind == "timestamp":
            if isinstance(self.start, int) or (isinstance(self.start, datetime) and self.start.tzinfo is None):
                msg = "start must be a datetime with a time zone, such as datetime(2024, 1, 1, tzinfo=UTC)"
                raise SpecError(f"Cursor: {msg}", field="cursor.start", remedy="Give it a tzinfo.")
            if isinstance(self.step, int) or (self.step is not None and self.step <= timedelta(0)):
                raise SpecError("Cursor: step must be a timedelta above zero", field="cursor.step", remedy="Use timedelta(…).")
            if not isinstance(self.lookback, timedelta):
                raise SpecError("Cursor: lookback must be a timedelta", field="cursor.lookback", remedy="Use timedelta(…).")
        else:
            if isinstance(self.start, datetime):
                raise SpecError("Cursor: start must be an integer", field="cursor.start", remedy="Or use kind='timestamp'.")
            if isinstance(self.step, timedelta) or (self.step is not None and self.step <= 0):
                raise SpecError(
                    "Cursor: step must be an integer above zero", field="cursor.step", remedy="Count in cursor units."
                )
            if isinstance(self.lookback, timedelta) and self.lookback != timedelta(0):
                raise SpecError("Cursor: lookback must be an integer", field="cursor.lookback", remedy="Count in cursor units.")
        if self.format not in {"iso8601", "epoch_s", "epoch_ms"} and "%" not in self.format:
            raise SpecError(
                f"Cursor: format {self.format!r} is not known",
                field="cursor.format",
                remedy="Use iso8601, epoch_s, epoch_ms or a strftime pattern such as %Y-%m-%d.",
            )
        return self

    def query(self, slice_: Slice) -> dict[str, str]:
        """The query parameters that ask the API for `slice_`, widened where the API's own boundary is narrower."""
        params = {}
        if self.start_param and slice_.start is not None:
            start = slice_.start
            if self.start_exclusive:
                # Rounded down first: an API that compares whole days excludes the whole day that it is given.
                start = _minus(_floor(start, self._unit), self._unit)
            params[self.start_param] = self.write(start)
        if self.end_param and slice_.end is not None:
            params[self.end_param] = self.write(slice_.end, up=True)
        return params

    @property
    def _unit(self) -> timedelta | int:
        """The smallest step that a value in a query can express."""
        if self.kind == "integer":
            return 1
        named = {"iso8601": timedelta(microseconds=1), "epoch_ms": timedelta(milliseconds=1), "epoch_s": timedelta(seconds=1)}
        return named.get(self.format) or _coarseness(self.format)

    def write(self, value: CursorValue, *, up: bool = False) -> str:
        """Spell `value` as the API wants it, rounded outwards (`up`) when the format is coarser than a microsecond."""
        if isinstance(value, int):
            return str(value)
        moment = value.astimezone(UTC)
        if self.format == "iso8601":
            return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")
        micros = int((moment - _EPOCH) / timedelta(microseconds=1))
        unit = {"epoch_s": 1_000_000, "epoch_ms": 1_000}.get(self.format)
        if unit is not None:
            return str(-(-micros // unit) if up else micros // unit)
        text = moment.strftime(self.format)
        if up and datetime.strptime(text, self.format).replace(tzinfo=UTC) < moment:
            return (moment + _coarseness(self.format)).strftime(self.format)
        return text


def _floor(value: CursorValue, unit: timedelta | int) -> CursorValue:
    """`value` rounded down to whole units since the epoch."""
    if isinstance(value, datetime) and isinstance(unit, timedelta):
        return _EPOCH + (value - _EPOCH) // unit * unit
    return value


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _coarseness(pattern: str) -> timedelta:
    """The smallest step a strftime pattern can express."""
    for directive, step in (("%f", timedelta(microseconds=1)), ("%S", timedelta(seconds=1)), ("%M", timedelta(minutes=1))):
        if directive in pattern:
            return step
    return timedelta(hours=1) if "%H" in pattern else timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Slice:
    """`[start, end)` on a cursor axis, the stream's or that of one tenant; None is open. `Slice()` is the whole stream."""

    start: CursorValue | None = None
    end: CursorValue | None = None
    tenant: str | None = None

    @property
    def empty(self) -> bool:
        """Whether no value can lie in it."""
        return self.start is not None and self.end is not None and not _less(self.start, self.end)

    def touches(self, other: Slice) -> bool:
        """Whether the two overlap or meet, so that together they are one range."""
        return self.tenant == other.tenant and not _after(self.start, other.end) and not _after(other.start, self.end)

    def overlaps(self, other: Slice) -> bool:
        """Whether some value can lie in both."""
        if self.tenant != other.tenant:
            return False
        starts = [start for start in (self.start, other.start) if start is not None]
        ends = [end for end in (self.end, other.end) if end is not None]
        return not Slice(reduce(_higher, starts) if starts else None, reduce(_lower, ends) if ends else None).empty

    def covers(self, other: Slice) -> bool:
        """Whether all of `other` lies inside."""
        if self.tenant != other.tenant:
            return False
        starts = self.start is None or (other.start is not None and not _less(other.start, self.start))
        ends = self.end is None or (other.end is not None and not _less(self.end, other.end))
        return starts and ends

    def __str__(self) -> str:
        """`[start, end)`, with … for an open side, and whose it is."""
        return f"[{_show(self.start)}, {_show(self.end)})" + (f" of {self.tenant}" if self.tenant is not None else "")

    def to_json(self) -> list[str | int | None]:
        """`[start, end]`; timestamps as ISO 8601 text. The tenant is kept beside it."""
        return [_dump(self.start), _dump(self.end)]

    @classmethod
    def from_json(cls, pair: Sequence[str | int | None], tenant: str | None = None) -> Slice:
        """The inverse of `to_json`."""
        return cls(_load(pair[0]), _load(pair[1]), tenant)


def _show(value: CursorValue | None) -> str:
    return "…" if value is None else str(_dump(value))


def _dump(value: CursorValue | None) -> str | int | None:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _load(value: str | int | None) -> CursorValue | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _after(start: CursorValue | None, end: CursorValue | None) -> bool:
    """Whether a range that starts at `start` begins past one that ends at `end`."""
    return start is not None and end is not None and _less(end, start)


# A stream has one kind of cursor, so both sides are of one type; the checker cannot know it.
def _less(a: CursorValue, b: CursorValue) -> bool:
    return a < b  # type: ignore[operator]


def _minus(a: CursorValue, b: timedelta | int) -> CursorValue:
    return a - b  # type: ignore[operator]


def _plus(a: CursorValue, b: timedelta | int) -> CursorValue:
    return a + b  # type: ignore[operator]


def _lower(a: CursorValue, b: CursorValue) -> CursorValue:
    return a if _less(a, b) else b


def _higher(a: CursorValue, b: CursorValue) -> CursorValue:
    return b if _less(a, b) else a


def finish(finished: Iterable[Slice], done: Slice) -> tuple[Slice, ...]:
    """Add a finished slice: disjoint ranges in ascending order, tenant by tenant, neighbours joined."""
    apart: list[Slice] = []
    for other in finished:
        if other.touches(done):
            done = Slice(_least(other.start, done.start), _most(other.end, done.end), done.tenant)
        else:
            apart.append(other)
    return tuple(sorted([*apart, done], key=_sort_key))


def _least(a: CursorValue | None, b: CursorValue | None) -> CursorValue | None:
    return None if a is None or b is None else _lower(a, b)


def _most(a: CursorValue | None, b: CursorValue | None) -> CursorValue | None:
    return None if a is None or b is None else _higher(a, b)


def _sort_key(slice_: Slice) -> tuple[str, float]:
    tenant = slice_.tenant or ""
    match slice_.start:
        case None:
            return tenant, float("-inf")
        case datetime() as moment:
            return tenant, moment.timestamp()
        case number:
            return tenant, number


def of(finished: Iterable[Slice], tenant: str | None) -> tuple[Slice, ...]:
    """The finished ranges of one tenant; of the stream itself, which has no tenants, for None."""
    return tuple(done for done in finished if done.tenant == tenant)


def watermark(finished: Iterable[Slice], origin: CursorValue | None, tenant: str | None = None) -> CursorValue | None:
    """The end of the tenant's contiguous frontier from `origin`; None while nothing reaches back to it."""
    for done in of(finished, tenant):
        begins = done.start is None or (origin is not None and not _less(origin, done.start))
        if begins and (origin is None or done.end is None or _less(origin, done.end)):
            return done.end
    return None


def gaps(finished: Iterable[Slice], origin: CursorValue | None, tenant: str | None = None) -> tuple[Slice, ...]:
    """The unfinished ranges between `origin` and the tenant's last finished slice."""
    holes = []
    reached = origin
    for position, done in enumerate(of(finished, tenant)):
        first = position == 0 and origin is None
        if not first and done.start is not None and (reached is None or _less(reached, done.start)):
            holes.append(Slice(reached, done.start, tenant))
        if first and done.start is not None:
            holes.append(Slice(None, done.start, tenant))
        reached = done.end if reached is None or done.end is None else _higher(reached, done.end)
    return tuple(holes)


def missing(finished: Iterable[Slice], whole: Slice) -> Iterator[Slice]:
    """The parts of `whole` that no finished range covers, in order. `finished` is disjoint and ascending."""
    start = whole.start
    for done in finished:
        if not done.overlaps(whole):
            continue
        if done.start is not None and (start is None or _less(start, done.start)):
            yield Slice(start, done.start, whole.tenant)
        if done.end is None:
            return
        start = done.end
    rest = Slice(start, whole.end, whole.tenant)
    if not rest.empty:
        yield rest


def plan(
    cursor: Cursor | None, finished: Iterable[Slice], origin: CursorValue | None, now: datetime, tenant: str | None = None
) -> Slice:
    """The slice of a sync without partition: `[watermark - lookback, now - safety_lag)` on the tenant's axis."""
    if cursor is None:
        return Slice(tenant=tenant)
    mark = watermark(finished, origin, tenant)
    start = origin if mark is None else _minus(mark, cursor.lookback) if cursor.lookback else mark
    if start is not None and origin is not None:
        start = _higher(start, origin)
    return Slice(start, now - cursor.safety_lag if cursor.kind == "timestamp" else None, tenant)


def settled(cursor: Cursor, finished: Iterable[Slice], step: Slice) -> bool:
    """Whether a sync need not read `step` again: a run finished it, and by now it lies as far back as the lookback asks for.

    True beyond a gap alone: what is at the watermark is within its lookback.
    """
    if step.start is None or step.end is None:
        return False
    ends = [done.end for done in finished if done.covers(step)]
    return any(end is not None and not _less(_minus(end, cursor.lookback) if cursor.lookback else end, step.end) for end in ends)


def steps(cursor: Cursor | None, whole: Slice) -> Iterator[Slice]:
    """`whole` in the steps that the cursor asks for, in order; itself when it is open or has none."""
    if cursor is None or cursor.step is None or whole.start is None or whole.end is None:
        yield whole
        return
    start = whole.start
    while _less(start, whole.end):
        end = _lower(_plus(start, cursor.step), whole.end)
        yield Slice(start, end, whole.tenant)
        start = end
