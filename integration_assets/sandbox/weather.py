"""GET /v1/weather: hourly observations as CSV, by page number with an RFC 8288 Link header."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from integration_assets.sandbox.answers import CSV, Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration_assets.sandbox.data import Data
    from integration_assets.sandbox.query import Query

DEFAULT_SIZE, MAX_SIZE = 500, 2000
MAX_PAGE = 1_000_000

_COLUMNS = {
    "temp_f": "temp",
    "dewpoint_f": "dewp",
    "humidity_pct": "humid",
    "wind_dir_deg": "wind_dir",
    "wind_speed_mph": "wind_speed",
    "wind_gust_mph": "wind_gust",
    "precip_in": "precip",
    "pressure_mb": "pressure",
    "visibility_mi": "visib",
}


class WeatherStream:
    """Holds the observations sorted by (observed_at, id), each with its prepared line of CSV."""

    def __init__(self, data: Data) -> None:
        """Prepare every line once."""
        raw = data.weather.sort_by([("time_hour", "ascending"), ("origin", "ascending")])
        observed = pc.strftime(raw["time_hour"], format="%Y-%m-%dT%H:%M:%SZ")
        key = pc.binary_join_element_wise(raw["origin"], observed, "-")
        columns = {"id": key, "origin": raw["origin"], "observed_at": observed}
        self._table = pa.table(columns | {ours: raw[theirs] for ours, theirs in _COLUMNS.items()})
        self._seconds = pc.cast(raw["time_hour"], pa.int64()).to_numpy()
        sink = io.BytesIO()
        csv.write_csv(self._table, sink, csv.WriteOptions(quoting_style="none"))
        self._header, *self._lines = sink.getvalue().replace(b'"', b"").splitlines(keepends=True)

    def get(self, query: Query) -> Answer:
        """Answer one page with `X-Total-Count` and a Link header naming first, prev, next and last where they exist."""
        query.only("observed_since", "observed_before", "page", "per_page")
        page = query.integer("page", 1, 1, MAX_PAGE)
        size = query.integer("per_page", DEFAULT_SIZE, 1, MAX_SIZE)
        since, before = query.window("observed_since", "observed_before")
        low, high = np.searchsorted(self._seconds, [since, min(before, query.clock)], side="left").tolist()
        total = max(high - low, 0)
        start = low + (page - 1) * size
        lines = self._lines[start : min(start + size, low + total)]
        last = max(-(-total // size), 1)
        return Answer(
            self._header + b"".join(lines),
            CSV,
            headers=(("Link", _links(query, page, size, last)), ("X-Total-Count", str(total))),
        )

    def truth(self, clock: int) -> Iterator[bytes]:
        """Give every observation made before `clock` as lines of JSON, in blocks."""
        seen = int(np.searchsorted(self._seconds, clock, side="left"))
        for start in range(0, seen, 5000):
            rows = self._table.slice(start, min(5000, seen - start)).to_pylist()
            yield msgspec.json.Encoder().encode_lines(rows)


def _links(query: Query, page: int, size: int, last: int) -> str:
    pages = {"first": 1, "last": last}
    if page > 1:
        pages["prev"] = min(page - 1, last)
    if query.looping:
        pages["next"] = page
    elif page < last:
        pages["next"] = page + 1
    base = {name: value for name, value in query.params.items() if name not in ("page", "per_page")}
    return ", ".join(
        f'<{query.url}?{urlencode({**base, "page": number, "per_page": size})}>; rel="{name}"' for name, number in pages.items()
    )
