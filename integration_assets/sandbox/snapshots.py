"""The streams that are the same at every clock: airports (XML, by offset), airlines and planes (JSON, whole)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import msgspec

from integration_assets.sandbox.answers import XML, Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from integration_assets.sandbox.query import Query

DEFAULT_LIMIT, MAX_LIMIT = 100, 500
MAX_OFFSET = 1_000_000

AIRPORTS = {
    "faa": "faa",
    "name": "name",
    "lat": "lat",
    "lon": "lon",
    "altitude_ft": "alt",
    "utc_offset_h": "tz",
    "dst": "dst",
    "timezone": "tzone",
}
AIRLINES = {"code": "carrier", "name": "name"}
PLANES = {
    "tail_number": "tailnum",
    "year": "year",
    "type": "type",
    "manufacturer": "manufacturer",
    "model": "model",
    "engines": "engines",
    "seats": "seats",
    "cruise_speed_mph": "speed",
    "engine": "engine",
}

Row = dict[str, str | int | float | None]


class AirportStream:
    """Holds the airports sorted by code, each with its prepared XML element."""

    def __init__(self, table: pa.Table) -> None:
        """Prepare every element once."""
        self._rows = _rows(table, AIRPORTS)
        self._elements = [element("airport", row) for row in self._rows]

    def get(self, query: Query) -> Answer:
        """Answer the airports `[offset, offset + limit)`, with their `total` on the root element."""
        query.only("offset", "limit")
        offset = query.integer("offset", 0, 0, MAX_OFFSET)
        limit = query.integer("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        start = 0 if query.looping else offset
        return Answer(document(self._elements[start : start + limit], len(self._elements)), XML)

    def truth(self) -> Iterator[bytes]:
        """Give every airport as lines of JSON."""
        yield msgspec.json.Encoder().encode_lines(self._rows)


class SnapshotStream:
    """Holds a small table rendered once as `{"data": [...]}`."""

    def __init__(self, table: pa.Table, fields: Mapping[str, str]) -> None:
        """Render the table; `fields` maps our names to the data set's, the first being the key it is sorted by."""
        self._rows = _rows(table, fields)
        self._body = msgspec.json.encode({"data": self._rows})

    def get(self, query: Query) -> Answer:
        """Answer the whole table, with an ETag."""
        query.only()
        return Answer(self._body, snapshot=True)

    def truth(self) -> Iterator[bytes]:
        """Give every row as lines of JSON."""
        yield msgspec.json.Encoder().encode_lines(self._rows)


def element(name: str, row: Mapping[str, object]) -> str:
    """Write one record as an XML element with one child per field; a null is an empty child."""
    children = "".join(
        f"<{field}/>" if value is None else f"<{field}>{escape(str(value))}</{field}>" for field, value in row.items()
    )
    return f"<{name}>{children}</{name}>"


def document(elements: Sequence[str], total: int | str) -> bytes:
    """Write the XML document around airport elements."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<airports total="{total}">{"".join(elements)}</airports>'.encode()


def _rows(table: pa.Table, fields: Mapping[str, str]) -> list[Row]:
    key = next(iter(fields.values()))
    return [{ours: row[theirs] for ours, theirs in fields.items()} for row in table.sort_by([(key, "ascending")]).to_pylist()]
