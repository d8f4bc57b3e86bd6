"""The earthquake catalogue: values out of GeoJSON, revisions, withdrawals, ties, and the one bad record alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from integration_assets.sources import load_source
from integration_assets.spec import Offset
from integration_assets_tests.conformance.fixtures import Phase
from integration_assets_tests.conformance.harness import Bench, bench

SOURCE = load_source("usgs")
TIE = datetime(2025, 3, 1, 12, tzinfo=UTC)
REVISED, MOVED, FELT, WITHDRAWN = "hv74630042", "ak02529mbwz", "us7000p6yg", "tx2025eg4v8f"

Feature = dict[str, Any]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    """Give the catalogue, its recording and an empty lake and warehouse."""
    with bench(SOURCE, SOURCE.stream("earthquakes"), tmp_path) as made:
        yield made


def features(phase: Phase) -> list[list[Feature]]:
    """The recorded events of each page."""
    return [json.loads(exchange.body)["features"] for exchange in phase.exchanges]


def by_id(made: Bench) -> dict[str, dict[str, Any]]:
    """The warehouse's rows by id."""
    return {row["id"]: row for row in made.rows()}


def epoch_ms(value: datetime) -> int:
    """Milliseconds since 1970."""
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_values_land_where_they_belong(made: Bench) -> None:
    """Longitude, latitude and depth come out of the coordinates, times out of milliseconds, the rest out of the properties."""
    first = made.recording.phases[0]
    made.sync(first)
    rows = by_id(made)
    compared = 0
    for event in (event for page in features(first) for event in page if event["id"] in rows):
        row, properties = rows[event["id"]], event["properties"]
        if properties["status"] == "deleted":
            continue
        assert [row["longitude"], row["latitude"], row["depth_km"]] == event["geometry"]["coordinates"]
        assert [epoch_ms(row["occurred_at"]), epoch_ms(row["updated_at"])] == [properties["time"], properties["updated"]]
        for column, name in {"magnitude": "mag", "felt": "felt", "stations": "nst", "gap_deg": "gap", "alert": "alert"}.items():
            assert row[column] == properties[name], column
        compared += 1
    assert compared == first.expect.rows


def test_a_quake_before_1970_keeps_its_time(made: Bench) -> None:
    """Milliseconds below zero are dates before 1970, not errors."""
    made.sync(made.recording.phases[0])
    (old,) = [row for row in made.rows() if row["occurred_at"] and row["occurred_at"].year < 1970]
    assert old["occurred_at"] == datetime(1906, 4, 18, 13, 12, 26, tzinfo=UTC)
    assert old["magnitude"] == 7.9


def test_a_later_version_wins(made: Bench) -> None:
    """A revision replaces magnitude, place and depth, also when it moved the event in the service's order."""
    first, second = made.recording.phases
    made.sync(first)
    before = by_id(made)
    made.sync(second)
    after = by_id(made)
    assert before[REVISED]["magnitude"] != 2.84
    assert (after[REVISED]["magnitude"], after[REVISED]["depth_km"]) == (2.84, 9.87)
    assert after[MOVED]["occurred_at"] - before[MOVED]["occurred_at"] == timedelta(seconds=90)
    assert after[FELT]["felt"] == 31


def test_a_withdrawn_event_is_marked_as_deleted(made: Bench) -> None:
    """It is live after the first sync and marked after the second, with no need for the fields the service leaves out."""
    first, second = made.recording.phases
    made.sync(first)
    assert by_id(made)[WITHDRAWN]["_deleted_at"] is None
    made.sync(second)
    assert by_id(made)[WITHDRAWN]["_deleted_at"] is not None


def test_ties_on_several_pages_are_all_there(made: Bench) -> None:
    """Events that a network re-sent together share one time of update; none is lost where one page ends."""
    first = made.recording.phases[0]
    pages = [{event["id"] for event in page if event["properties"]["updated"] == epoch_ms(TIE)} for page in features(first)]
    assert sum(1 for page in pages if page) > 1
    made.sync(first)
    assert {row["id"] for row in made.rows() if row["updated_at"] == TIE} == set().union(*pages)


def test_an_impossible_magnitude_is_rejected_alone(made: Bench) -> None:
    """The record is in quarantine, whole, with its reason; its neighbours landed."""
    first = made.recording.phases[0]
    (bad,) = [event for page in features(first) for event in page if event["properties"]["mag"] == 17.4]
    (receipt,) = made.sync(first)
    (reject,) = made.rejects()
    assert receipt.rejected == 1
    assert json.loads(reject.payload) == bad
    assert any("magnitude" in reason and "17.4" in reason for reason in reject.reasons)
    assert bad["id"] not in by_id(made)


def test_what_is_too_new_waits_for_the_next_sync(made: Bench) -> None:
    """An event updated within the safety lag is set aside and counted, and lands the next night."""
    first, second = made.recording.phases
    lag = SOURCE.stream("earthquakes").cursor
    assert lag is not None
    late = {
        event["id"]
        for page in features(first)
        for event in page
        if event["properties"]["updated"] >= epoch_ms(first.now - lag.safety_lag)
    }
    (receipt,) = made.sync(first)
    assert late
    assert receipt.filtered == len(late)
    assert not late & by_id(made).keys()
    made.sync(second)
    assert late <= by_id(made).keys()


def test_the_service_is_asked_as_it_wants(made: Bench) -> None:
    """Old quakes and withdrawn ones are asked for, and the second sync starts a lookback before the first one's end."""
    for phase in made.recording.phases:
        made.sync(phase)
    asked = [seen.query for seen in made.replay.requests if seen.path == "/fdsnws/event/1/query"]
    assert all(query["includedeleted"] == "true" and query["starttime"] == "1900-01-01" for query in asked)
    pages = len(made.recording.phases[0].exchanges)
    assert {query["updatedafter"] for query in asked[:pages]} == {"2025-01-01T00:00:00Z"}
    assert {query["updatedafter"] for query in asked[pages:]} == {"2025-03-01T03:50:00Z"}


def test_a_page_is_within_what_the_service_allows() -> None:
    """A limit above 20,000 is answered with an error."""
    paging = SOURCE.stream("earthquakes").paging
    assert isinstance(paging, Offset)
    assert paging.limit <= 20_000
    assert paging.first == 1
