"""Every kind of fault, as a client meets it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import httpx
import pytest

if TYPE_CHECKING:
    from integration_assets.sandbox.process import SandboxProcess

FLIGHTS = "/v1/flights"


def test_status_with_retry_after(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """A status rule answers with its code and Retry-After, and no more often than it may."""
    sandbox.faults([{"path": FLIGHTS, "kind": "status", "status": 503, "retry_after": 7, "times": 2}])
    answers = [client.get(FLIGHTS, params={"limit": 1}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert sandbox.fired() == [2]


def test_reset(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """A reset rule cuts the connection without an answer; the next request is served."""
    sandbox.faults([{"path": FLIGHTS, "kind": "reset", "times": 1}])
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        client.get(FLIGHTS)
    assert client.get(FLIGHTS).status_code == 200
    assert sandbox.requests()[FLIGHTS] == {"reset": 1, "200": 1}


def test_slow(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """A slow rule makes a short read timeout fire, and a patient client gets the whole body in pieces."""
    sandbox.faults([{"path": "/v1/airlines", "kind": "slow", "seconds": 0.5, "bytes": 200, "times": 1}])
    with pytest.raises(httpx.ReadTimeout):
        client.get("/v1/airlines", timeout=0.1)
    sandbox.faults([{"path": "/v1/airlines", "kind": "slow", "seconds": 0.01, "bytes": 200}])
    slow = client.get("/v1/airlines")
    assert slow.elapsed.total_seconds() > 0.03
    assert slow.json()["data"] == sandbox.truth("airlines")


@pytest.mark.parametrize("path", [FLIGHTS, "/v1/weather", "/v1/airports", "/v1/airlines"])
def test_truncate(sandbox: SandboxProcess, client: httpx.Client, path: str) -> None:
    """A truncate rule declares more bytes than it sends, and the client notices."""
    sandbox.faults([{"path": path, "kind": "truncate", "times": 1}])
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(path)
    assert client.get(path).status_code == 200


def test_malformed(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """A malformed rule breaks JSON, CSV and XML while status, length and type stay honest."""
    sandbox.faults([{"path": "/v1", "kind": "malformed"}])
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        client.get("/v1/planes").json()
    with pytest.raises(ET.ParseError):
        ET.fromstring(client.get("/v1/airports").content)  # noqa: S314  (our own server)
    with pytest.raises(csv.Error):
        list(csv.reader(io.StringIO(client.get("/v1/weather").text), strict=True))


def test_schema(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """A schema rule renames, adds and retypes fields in every record, nested ones too."""
    rule = {"path": FLIGHTS, "kind": "schema", "rename": {"air_time_min": "air_minutes"}, "add": {"gate": "A1"}}
    sandbox.faults([rule | {"retype": {"distance_mi": "string", "carrier.code": "array", "created_at": "epoch"}}])
    records = client.get(FLIGHTS).json()["data"]
    live = [record for record in records if not record["withdrawn"]]
    assert all(record["gate"] == "A1" for record in records)
    assert all("air_minutes" in record and "air_time_min" not in record for record in live)
    assert all(isinstance(record["distance_mi"], str) for record in live)
    assert all(isinstance(record["carrier"]["code"], list) for record in live)
    assert all(isinstance(record["created_at"], float) for record in live)


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        ({"field": "distance_mi", "value": "n/a"}, lambda record: record["distance_mi"] == "n/a"),
        ({"drop": "id"}, lambda record: "id" not in record),
        ({"null": "carrier.code"}, lambda record: record["carrier"]["code"] is None),
    ],
)
def test_bad_rows(sandbox: SandboxProcess, client: httpx.Client, change: dict[str, str], bad: Any) -> None:  # noqa: ANN401
    """A bad_rows rule spoils about its share of the records, and the same ones when they are fetched again."""
    sandbox.faults([{"path": FLIGHTS, "kind": "bad_rows", "share": 0.1} | change])
    params = {"limit": "2000", "updated_before": "2013-01-05T00:00:00Z"}
    first, second = (client.get(FLIGHTS, params=params).json()["data"] for _ in range(2))
    live = [record for record in first if not record["withdrawn"]]
    assert 0.05 < sum(map(bad, live)) / len(live) < 0.15
    assert first == second


def test_bad_rows_in_csv_and_xml(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """Spoiled CSV and XML are still well formed."""
    sandbox.faults(
        [
            {"path": "/v1/weather", "kind": "bad_rows", "share": 1, "field": "temp_f", "value": "warm"},
            {"path": "/v1/airports", "kind": "bad_rows", "share": 1, "drop": "lat"},
        ]
    )
    rows = list(csv.DictReader(io.StringIO(client.get("/v1/weather").text)))
    assert {row["temp_f"] for row in rows} == {"warm"}
    root = ET.fromstring(client.get("/v1/airports").content)  # noqa: S314  (our own server)
    assert len(root) == 100
    assert root.find("airport/lat") is None


def test_empty(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """An empty rule gives a well-formed page with no records and no next page."""
    sandbox.faults([{"path": "/v1", "kind": "empty"}])
    weather = client.get("/v1/weather")
    assert client.get(FLIGHTS).json() == {"data": [], "meta": {"count": 0, "next_cursor": None}}
    assert client.get("/v1/airlines").json() == {"data": []}
    assert weather.text.startswith("id,origin,observed_at")
    assert (weather.text.count("\n"), "next" in weather.links) == (1, False)
    assert len(ET.fromstring(client.get("/v1/airports").content)) == 0  # noqa: S314  (our own server)


def test_html(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """An html rule answers 200 with a maintenance page."""
    sandbox.faults([{"path": FLIGHTS, "kind": "html"}])
    answer = client.get(FLIGHTS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")


def test_loop(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """A loop rule makes every next page the page just read, in each of the three ways of paging."""
    sandbox.faults([{"path": "/v1", "kind": "loop"}])
    first = client.get(FLIGHTS, params={"limit": 2}).json()
    token = first["meta"]["next_cursor"]
    second = client.get(FLIGHTS, params={"limit": 2, "cursor": token}).json()
    assert (second["data"], second["meta"]["next_cursor"]) == (first["data"], token)
    page = client.get("/v1/weather", params={"page": 2, "per_page": 10})
    assert client.get(page.links["next"]["url"]).text == page.text
    airports = [client.get("/v1/airports", params={"offset": offset}).content for offset in (0, 100)]
    assert airports[0] == airports[1]


def test_token_refused(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """A token_refused rule answers 410 to a cursor and leaves first pages alone."""
    sandbox.faults([{"path": FLIGHTS, "kind": "token_refused", "after": 1}])
    first = client.get(FLIGHTS, params={"limit": 2}).json()
    params = {"limit": "2", "cursor": first["meta"]["next_cursor"]}
    answers = [client.get(FLIGHTS, params=params) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 410]
    assert answers[1].json()["error"]["code"] == "cursor_expired"


def test_content_type(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """A content_type rule mislabels a good body."""
    sandbox.faults([{"path": "/v1/airlines", "kind": "content_type", "media": "text/plain"}])
    answer = client.get("/v1/airlines")
    assert answer.headers["Content-Type"] == "text/plain"
    assert len(answer.json()["data"]) == 16


def test_faults_repeat_by_seed(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """The same seed gives the same faults again, another seed others, and the share is about the rate."""

    def statuses(seed: int) -> list[int]:
        sandbox.faults([{"path": "/v1/airlines", "kind": "status", "status": 500, "rate": 0.3, "seed": seed}])
        return [client.get("/v1/airlines").status_code for _ in range(100)]

    first, again, other = statuses(1), statuses(1), statuses(2)
    assert first == again != other
    assert 15 < first.count(500) < 45


def test_rules_are_shown_and_cleared(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """Rules come back as they were put, with their counts, and go when cleared; other paths are not touched."""
    rule = {"path": FLIGHTS, "kind": "html", "after": 1}
    sandbox.faults([rule])
    client.get("/v1/airlines")
    assert [client.get(FLIGHTS).headers["Content-Type"] for _ in range(2)] == [
        "application/json",
        "text/html; charset=utf-8",
    ]
    assert client.get("/admin/faults").json() == [rule | {"matched": 2, "fired": 1}]
    sandbox.clear_faults()
    assert client.get("/admin/faults").json() == []
