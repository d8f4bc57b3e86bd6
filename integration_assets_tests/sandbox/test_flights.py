"""/v1/flights: what it shows, how it pages, and that nothing is lost under a moving clock."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import httpx
import pytest

from integration_assets.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from integration_assets_tests.sandbox.conftest import ReadFlights

FACTS = ("departed_at", "arrived_at", "departure_delay_min", "arrival_delay_min", "air_time_min")


@pytest.mark.parametrize("limit", [7 * 97, 5000])
def test_paging_gives_exactly_the_truth(sandbox: SandboxProcess, read_flights: ReadFlights, limit: int) -> None:
    """All pages together are the truth at that clock, tombstones included, whatever the page size."""
    records = read_flights(limit=limit)
    truth = sandbox.truth("flights", deleted=True)
    assert records == truth
    assert len(truth) > 10_000


def test_records_are_sorted_and_ties_stay(read_flights: ReadFlights) -> None:
    """Records come in order of (updated_at, id), and many share one updated_at."""
    keys = [(record["updated_at"], record["id"]) for record in read_flights(limit=500)]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert Counter(moment for moment, _ in keys).most_common(1)[0][1] > 5


def test_ties_are_kept_across_a_page_end(read_flights: ReadFlights) -> None:
    """A page that ends inside a tie goes on with the rest of the tie."""
    window = {"updated_since": "2013-01-10T12:00:00Z", "updated_before": "2013-01-10T13:00:00Z"}
    assert read_flights(limit=1, **window) == read_flights(limit=5000, **window)


def test_one_record_per_id(read_flights: ReadFlights) -> None:
    """Only the current version of a flight is shown."""
    counts = Counter(record["id"] for record in read_flights(limit=5000))
    assert set(counts.values()) == {1}


def test_windows_are_half_open_and_add_up(read_flights: ReadFlights) -> None:
    """Neighbouring windows share no record and lose none, also when they are cut at an updated_at that exists."""
    everything = read_flights(limit=5000)
    cut = everything[len(everything) // 2]["updated_at"]
    before, since = read_flights(limit=5000, updated_before=cut), read_flights(limit=5000, updated_since=cut)
    assert before + since == everything
    assert since[0]["updated_at"] == cut


def test_microseconds_and_offsets_are_exact(read_flights: ReadFlights) -> None:
    """A bound a microsecond later excludes the tie it follows, and an offset other than Z is understood."""
    evening = read_flights(updated_since="2013-01-11T19:00:00-05:00", limit=5000)
    assert evening == read_flights(updated_since="2013-01-12T00:00:00Z", limit=5000)
    cut = evening[0]["updated_at"]
    later = read_flights(updated_since=cut.replace("Z", ".000001Z"), limit=5000)
    assert later == [record for record in evening if record["updated_at"] > cut]
    assert len(later) < len(evening)


def test_tombstones_hold_nothing_else(read_flights: ReadFlights) -> None:
    """About one flight in four hundred is withdrawn and shows only its id, time and mark."""
    records = read_flights(limit=5000)
    gone = [record for record in records if record["withdrawn"]]
    assert len(records) / 1200 < len(gone) < len(records) / 200
    assert {tuple(record) for record in gone} == {("id", "updated_at", "withdrawn")}


def test_truth_leaves_tombstones_out(sandbox: SandboxProcess) -> None:
    """The truth holds no withdrawn flight unless it is asked for them."""
    kept, everything = sandbox.truth("flights"), sandbox.truth("flights", deleted=True)
    assert kept == [record for record in everything if not record["withdrawn"]]
    assert len(kept) < len(everything)


def test_facts_are_null_until_they_happen(sandbox: SandboxProcess) -> None:
    """A scheduled or cancelled flight has no departure, a departed one has no arrival."""
    known: dict[str, set[tuple[bool, ...]]] = {}
    for record in sandbox.truth("flights"):
        facts = tuple(record[fact] is not None for fact in FACTS)
        known.setdefault(record["status"], set()).add(facts)
    assert known["scheduled"] == known["cancelled"] == {(False,) * 5}
    assert known["departed"] == {(True, False, True, False, False)}
    # A diverted flight has landed, but the data have neither its delay nor its time in the air.
    assert known["arrived"] == {(True,) * 5, (True, True, True, False, False)}


def test_a_known_flight_in_full(sandbox: SandboxProcess) -> None:
    """The first flight of the year reads as the record books have it, in UTC."""
    [flight] = [one for one in sandbox.truth("flights") if one["id"] == "20130101-UA-1545-EWR"]
    created = flight.pop("created_at")
    assert "2012-12-31T10:15:00Z" <= created <= "2013-01-01T06:15:00Z"
    assert flight == {
        "id": "20130101-UA-1545-EWR",
        "status": "arrived",
        "flight_number": 1545,
        "carrier": {"code": "UA", "name": "United Air Lines Inc."},
        "aircraft": {"tail_number": "N14228", "manufacturer": "BOEING", "model": "737-824", "seats": 149},
        "origin": {"faa": "EWR", "name": "Newark Liberty Intl"},
        "destination": {"faa": "IAH", "name": "George Bush Intercontinental"},
        "distance_mi": 1400,
        "scheduled_departure": "2013-01-01T10:15:00Z",
        "scheduled_arrival": "2013-01-01T14:19:00Z",
        "departed_at": "2013-01-01T10:17:00Z",
        "arrived_at": "2013-01-01T14:30:00Z",
        "departure_delay_min": 2,
        "arrival_delay_min": 11,
        "air_time_min": 227,
        "updated_at": "2013-01-01T14:30:00Z",
        "withdrawn": False,
    }


def test_the_clock_reveals_versions(sandbox: SandboxProcess) -> None:
    """One flight is unknown, scheduled, departed and arrived as the clock goes on, each with its own updated_at."""
    name = "20130101-UA-1545-EWR"

    def seen(at: str) -> tuple[str, str] | None:
        rows = [one for one in sandbox.truth("flights", at) if one["id"] == name]
        return (rows[0]["status"], rows[0]["updated_at"]) if rows else None

    assert seen("2012-12-30T00:00:00Z") is None
    scheduled = seen("2013-01-01T10:17:00Z")
    assert scheduled
    assert scheduled[0] == "scheduled"
    assert seen("2013-01-01T10:17:01Z") == ("departed", "2013-01-01T10:17:00Z")
    assert seen("2013-01-01T14:30:01Z") == ("arrived", "2013-01-01T14:30:00Z")


def test_advance_shows_only_what_is_new(sandbox: SandboxProcess, read_flights: ReadFlights) -> None:
    """Merging what changed since the last read gives the truth at the new clock."""
    held = {record["id"]: record for record in read_flights(limit=5000)}
    newest = max(record["updated_at"] for record in held.values())
    sandbox.advance(7200)
    changed = read_flights(limit=500, updated_since=newest)
    held |= {record["id"]: record for record in changed}
    assert 0 < len(changed) < len(held) / 10
    assert list(held) != [record["id"] for record in changed]
    assert {one["id"]: one for one in sandbox.truth("flights", deleted=True)} == held


def test_records_that_move_during_a_read_are_not_skipped(sandbox: SandboxProcess, read_flights: ReadFlights) -> None:
    """With the clock going on after every page, the last version read of every flight is still the truth."""
    sandbox.set_clock("2013-01-10T12:00:00Z")
    records = read_flights(limit=400, between=lambda: sandbox.advance(600))
    assert len(records) > len({record["id"] for record in records})
    held = {record["id"]: record for record in records}
    assert held == {one["id"]: one for one in sandbox.truth("flights", deleted=True)}


def test_nothing_is_from_the_future(sandbox: SandboxProcess, read_flights: ReadFlights) -> None:
    """No record shows an updated_at, a departure or an arrival after the clock."""
    now = sandbox.now()
    for record in read_flights(limit=5000):
        moments = (record["updated_at"], record.get("departed_at"), record.get("arrived_at"))
        assert all(moment is None or moment <= now for moment in moments)


@pytest.mark.parametrize("token", ["nonsense", "AAAA", "é", "A" * 64])
def test_a_bad_cursor_is_410(client: httpx.Client, token: str) -> None:
    """A token that is not the server's own is answered with 410 and a code."""
    answer = client.get("/v1/flights", params={"cursor": token})
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "cursor_expired")


def test_an_old_cursor_is_410() -> None:
    """A token past its life is answered with 410."""
    with SandboxProcess(days=2, cursor_ttl=0) as sandbox, httpx.Client(trust_env=False) as client:
        headers = {"Authorization": f"Bearer {sandbox.key}"}
        url = f"{sandbox.url}/v1/flights"
        token = client.get(url, params={"limit": 1}, headers=headers).json()["meta"]["next_cursor"]
        answer = client.get(url, params={"cursor": token}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "cursor_expired")


def test_a_cursor_belongs_to_its_window(client: httpx.Client) -> None:
    """A token sent with another window is a mistake that is said."""
    token = client.get("/v1/flights", params={"limit": 1}).json()["meta"]["next_cursor"]
    answer = client.get("/v1/flights", params={"cursor": token, "updated_since": "2013-01-05T00:00:00Z"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cursor_mismatch")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"limit": "0"}, "invalid_parameter"),
        ({"limit": "5001"}, "invalid_parameter"),
        ({"limit": "ten"}, "invalid_parameter"),
        ({"updated_since": "yesterday"}, "invalid_parameter"),
        ({"updated_since": "2013-01-01T00:00:00"}, "invalid_parameter"),
        ({"update_since": "2013-01-01T00:00:00Z"}, "unknown_parameter"),
    ],
)
def test_wrong_parameters_are_400(client: httpx.Client, params: dict[str, str], code: str) -> None:
    """A malformed, naive or misspelt parameter is refused and never ignored."""
    answer = client.get("/v1/flights", params=params)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
