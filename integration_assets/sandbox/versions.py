"""The life of every flight as versions, and the index that answers which version was current when.

A flight is scheduled, then departs and arrives, or is cancelled; about one in four hundred is withdrawn, some before
departure and some days after arrival. Every step is a version with its own `updated_at`. All chance is a hash of the
flight's own name, so a flight has the same life in every process and under every `--days`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.sandbox.times import DAY, HOUR, NEVER, UNKNOWN, Ints, next_local_time

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEDULED, DEPARTED, ARRIVED, CANCELLED, WITHDRAWN = range(5)
STATUSES = ("scheduled", "departed", "arrived", "cancelled", "withdrawn")
NO_NUMBER = np.iinfo(np.int32).min
WITHDRAWN_ONE_IN = 400
# Four airports of Puerto Rico and the Virgin Islands are missing from the airports table; all keep Atlantic time.
ZONE_OF_UNLISTED = "America/Puerto_Rico"


@dataclass(frozen=True, slots=True)
class Flights:
    """One entry per flight in order of `ids`; instants in seconds, numbers `NO_NUMBER` where unknown."""

    ids: list[str]
    number: Ints
    distance: Ints
    scheduled_departure: Ints
    scheduled_arrival: Ints
    departed_at: Ints
    arrived_at: Ints
    departure_delay: Ints
    arrival_delay: Ints
    air_time: Ints
    created_at: Ints


@dataclass(frozen=True, slots=True)
class Versions:
    """All versions sorted by (`time`, `flight`), as four arrays of one length.

    Each is shown over `(time, until]`: once its moment has passed.
    """

    time: Ints
    until: Ints
    flight: Ints
    status: npt.NDArray[np.int8]

    def between(self, since: int, before: int) -> tuple[int, int]:
        """Give the positions of the versions with `since <= time < before`, as a half-open range."""
        low, high = np.searchsorted(self.time, [since, before], side="left")
        return int(low), int(max(low, high))

    def after(self, time: int, flight: int) -> int:
        """Give the first position past the version (`time`, `flight`), whether or not that version exists."""
        low, high = self.between(time, time + 1)
        return low + int(np.searchsorted(self.flight[low:high], flight, side="right"))

    def current(self, low: int, high: int, clock: int, wanted: int) -> npt.NDArray[np.intp]:
        """Give the first `wanted` positions in `[low, high)` that are current at `clock`, reading no further."""
        found: list[npt.NDArray[np.intp]] = []
        count, step = 0, max(4 * wanted, 4096)
        while low < high and count < wanted:
            stop = min(low + step, high)
            hits = np.flatnonzero(self.until[low:stop] >= clock) + low
            found.append(hits)
            count, low = count + len(hits), stop
        return np.concatenate(found)[:wanted] if found else np.zeros(0, np.intp)

    def all_current(self, clock: int, block: int = 5000) -> Iterator[npt.NDArray[np.intp]]:
        """Give every position current at `clock`, in blocks of at most `block`."""
        low, high = self.between(0, clock)
        hits = np.flatnonzero(self.until[low:high] >= clock) + low
        for start in range(0, len(hits), block):
            yield hits[start : start + block]


def flights_of(table: pa.Table, airports: pa.Table) -> Flights:
    """Work out every flight's instants from the local times of the data set; `table` must come from `by_id`."""
    scheduled = _ints(pc.cast(table["time_hour"], pa.int64())) + 60 * _ints(table["minute"])
    zones = _Zones.of(table["dest"], airports)
    delay = _ints(table["dep_delay"])
    departed = np.where(delay == NO_NUMBER, UNKNOWN, scheduled + 60 * delay)
    landed = np.where(departed == UNKNOWN, UNKNOWN, _ints(table["arr_time"]))
    return Flights(
        ids=table["id"].to_pylist(),
        number=_ints(table["flight"]),
        distance=_ints(table["distance"]),
        scheduled_departure=scheduled,
        scheduled_arrival=zones.arrivals(scheduled, _ints(table["sched_arr_time"])),
        departed_at=departed,
        arrived_at=zones.arrivals(departed, landed),
        departure_delay=delay,
        arrival_delay=_ints(table["arr_delay"]),
        air_time=_ints(table["air_time"]),
        created_at=scheduled - 4 * HOUR - _chance(_names(table), "created", 20 * HOUR),
    )


def versions_of(table: pa.Table, flights: Flights) -> Versions:
    """Lay out every version of every flight; `table` must come from `by_id`."""
    names = _names(table)
    created, scheduled = flights.created_at, flights.scheduled_departure
    cancelled = scheduled + 60 * (_chance(names, "cancelled", 150) - 120)
    cancelled = np.where(flights.departed_at == UNKNOWN, cancelled, UNKNOWN)
    last = np.maximum.reduce([created, flights.departed_at, flights.arrived_at, cancelled])
    early = created + 1 + _chance(names, "early", 1 << 40) % (scheduled - HOUR - created - 1)
    late = last + HOUR + _chance(names, "late", 3 * DAY)
    at_once = _chance(names, "side", 2) == 0
    withdrawn = np.where(_chance(names, "withdrawn", WITHDRAWN_ONE_IN) == 0, np.where(at_once, early, late), UNKNOWN)
    end = np.where(withdrawn == UNKNOWN, NEVER, withdrawn)
    steps = [created, flights.departed_at, flights.arrived_at, cancelled, withdrawn]
    return _index([np.where(step <= end, step, UNKNOWN) for step in steps])


def by_id(table: pa.Table) -> pa.Table:
    """Add the `id` column, such as 20130101-UA-1545-EWR, unique in the data set, and sort by it."""
    date = pc.cast(pa.array(_dates(table)), pa.string())
    number = pc.cast(table["flight"], pa.string())
    ids = pc.binary_join_element_wise(date, table["carrier"], number, table["origin"], "-")
    return table.append_column("id", ids).take(pc.sort_indices(ids))


def _index(steps: list[Ints]) -> Versions:
    """Sort the versions by time; a flight's own steps must come in the order of time, `UNKNOWN` where not taken."""
    rows = len(steps[0])
    time = np.stack(steps, axis=1).ravel()
    flight = np.repeat(np.arange(rows, dtype=np.int64), len(steps))
    status = np.tile(np.arange(len(steps), dtype=np.int8), rows)
    real = time != UNKNOWN
    time, flight, status = time[real], flight[real], status[real]
    until = np.full(len(time), NEVER, np.int64)
    same = flight[1:] == flight[:-1]
    until[:-1][same] = time[1:][same]
    # Stable, so that ties keep the order of the flights, which is that of their ids.
    order = np.argsort(time, kind="stable")
    return Versions(time[order], until[order], flight[order], status[order])


def _ints(column: pa.ChunkedArray) -> Ints:
    return np.asarray(pc.fill_null(column, NO_NUMBER).to_numpy(), np.int64)


def _dates(table: pa.Table) -> Ints:
    return (_ints(table["year"]) * 100 + _ints(table["month"])) * 100 + _ints(table["day"])


@dataclass(frozen=True, slots=True)
class _Zones:
    """The time zone of each row: `names` of the distinct ones, and for each row which of them."""

    names: list[str]
    row: Ints

    @staticmethod
    def of(destinations: pa.ChunkedArray, airports: pa.Table) -> _Zones:
        listed = dict(zip(airports["faa"].to_pylist(), airports["tzone"].to_pylist(), strict=True))
        codes = pc.unique(destinations)
        zones = [listed.get(code) or ZONE_OF_UNLISTED for code in codes.to_pylist()]
        names = sorted(set(zones))
        places = np.array([names.index(zone) for zone in zones], np.int64)
        return _Zones(names, places[_ints(pc.index_in(destinations, codes))])

    def arrivals(self, departures: Ints, hhmm: Ints) -> Ints:
        """Find the first moment after each departure at which the destination's clocks show `hhmm`."""
        arrivals = np.full(len(departures), UNKNOWN, np.int64)
        for place, zone in enumerate(self.names):
            there = (self.row == place) & (hhmm >= 0)
            arrivals[there] = next_local_time(departures[there], hhmm[there], zone)
        return arrivals


def _names(table: pa.Table) -> Ints:
    """Give each flight a whole number made of its date, carrier, number and origin, the same in every process."""
    return (
        (_dates(table) * 65_536 + _spelled(table["carrier"])) * 10_000
        + _ints(table["flight"])
        + (_spelled(table["origin"]) << 40)
    )


def _spelled(column: pa.ChunkedArray) -> Ints:
    codes = pc.unique(column)
    numbers = np.array([int.from_bytes(code.encode()) for code in codes.to_pylist()], np.int64)
    return numbers[_ints(pc.index_in(column, codes))]


def _chance(names: Ints, purpose: str, sides: int) -> Ints:
    """Throw a die of `sides` sides for each name: a splitmix64 hash of the name and the purpose."""
    with np.errstate(over="ignore"):
        mixed = names.astype(np.uint64) + np.uint64(int.from_bytes(purpose.encode()[:8]))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(sides)).astype(np.int64)
