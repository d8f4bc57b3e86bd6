"""The other streams: CSV with Link pages, XML by offset, and whole snapshots with an ETag."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    import httpx

    from integration_assets.sandbox.process import SandboxProcess


def test_weather_pages_follow_link_headers(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """Following rel=next reads exactly the truth, and the total says how much that is."""
    rows: list[dict[str, str]] = []
    answer = client.get("/v1/weather", params={"per_page": 150})
    total = int(answer.headers["X-Total-Count"])
    while True:
        assert answer.headers["Content-Type"].startswith("text/csv")
        rows += csv.DictReader(io.StringIO(answer.text))
        if "next" not in answer.links:
            break
        answer = client.get(answer.links["next"]["url"])
    truth = sandbox.truth("weather")
    assert len(rows) == total == len(truth) > 700
    for row, true in zip(rows, truth, strict=True):
        assert row["id"] == f"{row['origin']}-{row['observed_at']}" == true["id"]
        for name in ("temp_f", "wind_gust_mph", "pressure_mb"):
            assert (float(row[name]) if row[name] else None) == true[name]


def test_weather_links_name_every_direction(client: httpx.Client) -> None:
    """A page in the middle names first, prev, next and last, and keeps the filters."""
    params = {"page": "2", "per_page": "100", "observed_since": "2013-01-02T00:00:00Z"}
    links = client.get("/v1/weather", params=params).links
    assert set(links) == {"first", "prev", "next", "last"}
    assert "page=3" in links["next"]["url"]
    assert "observed_since=2013-01-02T00%3A00%3A00Z" in links["next"]["url"]


def test_weather_windows_are_half_open(client: httpx.Client) -> None:
    """A window of one hour holds the three airports' observations of its first moment only."""
    params = {"observed_since": "2013-01-02T06:00:00Z", "observed_before": "2013-01-02T07:00:00Z"}
    rows = list(csv.DictReader(io.StringIO(client.get("/v1/weather", params=params).text)))
    assert [row["id"] for row in rows] == [f"{port}-2013-01-02T06:00:00Z" for port in ("EWR", "JFK", "LGA")]


def test_weather_is_not_from_the_future(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """The next hour's observations appear when the clock reaches them."""
    params = {"observed_since": sandbox.now()}
    assert client.get("/v1/weather", params=params).headers["X-Total-Count"] == "0"
    sandbox.advance(3600)
    assert client.get("/v1/weather", params=params).headers["X-Total-Count"] == "3"


def test_airports_by_offset(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """Stepping the offset to the total reads every airport once, with an empty element for null."""
    airports: list[dict[str, str | None]] = []
    while True:
        answer = client.get("/v1/airports", params={"offset": len(airports), "limit": 400})
        assert answer.headers["Content-Type"].startswith("application/xml")
        root = ET.fromstring(answer.content)  # noqa: S314  (our own server)
        airports += [{child.tag: child.text for child in airport} for airport in root]
        if len(airports) >= int(root.attrib["total"]):
            break
    truth = sandbox.truth("airports")
    assert [one["faa"] for one in airports] == [one["faa"] for one in truth]
    assert [one["name"] for one in airports] == [one["name"] for one in truth]
    assert [float(one["lat"] or "nan") for one in airports] == [one["lat"] for one in truth]
    assert sum(one["timezone"] is None for one in airports) == sum(one["timezone"] is None for one in truth) == 3


@pytest.mark.parametrize("stream", ["airlines", "planes"])
def test_snapshots_are_whole_and_conditional(sandbox: SandboxProcess, client: httpx.Client, stream: str) -> None:
    """A snapshot is the truth with a strong ETag, and 304 without a body for a client that holds it."""
    first = client.get(f"/v1/{stream}")
    tag = first.headers["ETag"]
    again = client.get(f"/v1/{stream}", headers={"If-None-Match": f'"other", {tag}'})
    other = client.get(f"/v1/{stream}", headers={"If-None-Match": '"other"'})
    assert first.json()["data"] == sandbox.truth(stream)
    assert tag.startswith('"')
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert other.status_code == 200


def test_planes_have_nulls(sandbox: SandboxProcess) -> None:
    """A plane of unknown year has null, not a word for it."""
    years = [plane["year"] for plane in sandbox.truth("planes")]
    assert years.count(None) == 70
    assert all(year is None or isinstance(year, int) for year in years)
