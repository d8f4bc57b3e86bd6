"""GET /v1/flights: the current version of every flight, by cursor pages over (updated_at, id)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from integration_assets.sandbox.answers import Answer, ApiError
from integration_assets.sandbox.times import UNKNOWN, Ints, json_instants
from integration_assets.sandbox.tokens import CursorExpiredError, Position, Tokens
from integration_assets.sandbox.versions import (
    ARRIVED,
    DEPARTED,
    NO_NUMBER,
    STATUSES,
    WITHDRAWN,
    by_id,
    flights_of,
    versions_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from integration_assets.sandbox.data import Data
    from integration_assets.sandbox.query import Query

Fields = dict[str, str | int | None]

DEFAULT_LIMIT, MAX_LIMIT = 500, 5000

_RECORD = (
    '{"id":"%s","status":"%s","flight_number":%d,"carrier":%s,"aircraft":%s,"origin":%s,"destination":%s,'
    '"distance_mi":%d,"scheduled_departure":%s,"scheduled_arrival":%s,"departed_at":%s,"arrived_at":%s,'
    '"departure_delay_min":%s,"arrival_delay_min":%s,"air_time_min":%s,"created_at":%s,"updated_at":%s,'
    '"withdrawn":false}'
)
_TOMBSTONE = '{"id":"%s","updated_at":%s,"withdrawn":true}'


class FlightStream:
    """Holds the index of versions and the prepared fragments that records are put together from."""

    def __init__(self, data: Data, tokens: Tokens) -> None:
        """Index every version of every flight in `data`; takes about a second for the whole year."""
        self._tokens = tokens
        table = by_id(data.flights)
        self.flights = flights_of(table, data.airports)
        self._versions = versions_of(table, self.flights)
        ports = _names(data.airports, "faa")
        carriers = _names(data.airlines, "carrier")
        fleet = {plane["tailnum"]: plane for plane in data.planes.to_pylist()}
        self._origin = _fragments(table["origin"], lambda code: {"faa": code, "name": ports.get(code)})
        self._destination = _fragments(table["dest"], lambda code: {"faa": code, "name": ports.get(code)})
        self._carrier = _fragments(table["carrier"], lambda code: {"code": code, "name": carriers.get(code)})
        self._aircraft = _fragments(table["tailnum"], lambda tail: _aircraft(tail, fleet))

    def get(self, query: Query) -> Answer:
        """Answer one page: `{"data": [...], "meta": {"count", "next_cursor"}}`."""
        query.only("updated_since", "updated_before", "limit", "cursor")
        limit = query.integer("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        start = self._start(query)
        low, high = self._versions.between(start.since, min(start.before, query.clock))
        if start.time != UNKNOWN:
            low = max(low, self._versions.after(start.time, start.flight))
        found = self._versions.current(low, high, query.clock, limit + 1)
        rows = found[:limit]
        token = "null"  # noqa: S105  (a page token, in JSON)
        if query.looping:
            token = f'"{query.params.get("cursor") or self._tokens.write(start, query.now)}"'
        elif len(found) > limit:
            last = Position(int(self._versions.time[rows[-1]]), int(self._versions.flight[rows[-1]]), start.since, start.before)
            token = f'"{self._tokens.write(last, query.now)}"'
        records = ",".join(self.render(rows))
        return Answer(f'{{"data":[{records}],"meta":{{"count":{len(rows)},"next_cursor":{token}}}}}'.encode())

    def truth(self, clock: int, *, deleted: bool) -> Iterator[bytes]:
        """Give every record current at `clock` as lines of JSON, in blocks; tombstones only with `deleted`."""
        for block in self._versions.all_current(clock):
            rows = block if deleted else block[self._versions.status[block] != WITHDRAWN]
            yield "".join(line + "\n" for line in self.render(rows)).encode()

    def render(self, rows: npt.NDArray[np.intp]) -> list[str]:
        """Write the versions at these positions of the index as JSON objects, in their order."""
        flights, known = self.flights, self._versions
        index, status = known.flight[rows], known.status[rows]
        left, landed = (status == DEPARTED) | (status == ARRIVED), status == ARRIVED
        places = index.tolist()
        columns = zip(
            [flights.ids[place] for place in places],
            [STATUSES[kind] for kind in status.tolist()],
            flights.number[index].tolist(),
            [self._carrier[place] for place in places],
            [self._aircraft[place] for place in places],
            [self._origin[place] for place in places],
            [self._destination[place] for place in places],
            flights.distance[index].tolist(),
            json_instants(flights.scheduled_departure[index]),
            json_instants(flights.scheduled_arrival[index]),
            json_instants(np.where(left, flights.departed_at[index], UNKNOWN)),
            json_instants(np.where(landed, flights.arrived_at[index], UNKNOWN)),
            _json_numbers(np.where(left, flights.departure_delay[index], NO_NUMBER)),
            _json_numbers(np.where(landed, flights.arrival_delay[index], NO_NUMBER)),
            _json_numbers(np.where(landed, flights.air_time[index], NO_NUMBER)),
            json_instants(flights.created_at[index]),
            json_instants(known.time[rows]),
            strict=True,
        )
        gone = STATUSES[WITHDRAWN]
        return [_TOMBSTONE % (row[0], row[-1]) if row[1] == gone else _RECORD % row for row in columns]

    def _start(self, query: Query) -> Position:
        since, before = query.window("updated_since", "updated_before")
        token = query.params.get("cursor")
        if token is None:
            return Position(UNKNOWN, UNKNOWN, since, before)
        try:
            position = self._tokens.read(token, query.now)
        except CursorExpiredError as error:
            raise ApiError(410, "cursor_expired", str(error)) from error
        named = ("updated_since" in query.params, "updated_before" in query.params)
        if (named[0] and since != position.since) or (named[1] and before != position.before):
            raise ApiError(400, "cursor_mismatch", "the cursor belongs to another updated_since or updated_before")
        return position


def _json_numbers(numbers: Ints) -> list[str]:
    return ["null" if number == NO_NUMBER else str(number) for number in numbers.tolist()]


def _names(table: pa.Table, key: str) -> dict[str | None, str]:
    return dict(zip(table[key].to_pylist(), table["name"].to_pylist(), strict=True))


def _fragments(column: pa.ChunkedArray, describe: Callable[[str | None], Fields]) -> list[str]:
    """Render each distinct key once; the list has one shared string per flight."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    made = [msgspec.json.encode(describe(key)).decode() for key in encoded.dictionary.to_pylist()]
    return [made[place] for place in encoded.indices.to_pylist()]


def _aircraft(tail: str | None, fleet: dict[str | None, Fields]) -> Fields:
    plane = fleet.get(tail, {})
    return {"tail_number": tail} | {field: plane.get(field) for field in ("manufacturer", "model", "seats")}
