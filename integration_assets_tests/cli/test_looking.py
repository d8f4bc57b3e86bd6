"""The commands that only look: `sources`, `sources check`, `status`, `rejects`."""

from __future__ import annotations

import socket
from pathlib import Path

from integration_assets_tests.cli.conftest import Integration
from integration_assets_tests.flow.world import World


def test_status_says_what_it_read(integration: Integration, world: World) -> None:
    """The lake's and the warehouse's address, and each stream's progress, at 80 columns."""
    integration("sync", "nyc_ops.weather")
    done = integration("status", "nyc_ops")
    assert done.status == 0, done.err
    assert f"Lake:      {world.folder / 'lake'}" in done.out
    assert f"Warehouse: {world.folder / 'warehouse.duckdb'}" in done.out
    assert "2013-01-03T12:00:00Z" in done.out
    assert "flights: never synced" in done.out
    assert "…" not in done.out


def test_status_of_a_lake_that_is_not_there_is_an_error(integration: Integration, tmp_path: Path) -> None:
    """A wrong address must not look like a stream that was never synced, nor be made by looking."""
    for place in (tmp_path / "elsewhere", tmp_path / "file" / "below"):
        (tmp_path / "file").write_text("no folder")
        done = integration("status", INTEGRATION_LAKE_URI=str(place))
        assert done.status == 1
        assert "INTEGRATION_LAKE_URI" in done.err
        assert str(place) in done.err
        assert not place.exists()


def test_status_of_a_lake_that_is_a_file_is_an_error(integration: Integration, tmp_path: Path) -> None:
    """What is there but cannot be read as a lake is told with the reason."""
    (tmp_path / "file").write_text("no folder")
    done = integration("status", INTEGRATION_LAKE_URI=str(tmp_path / "file"))
    assert done.status == 1
    assert "cannot be read: Not a directory" in done.err


def test_status_shows_a_warehouse_that_is_behind(integration: Integration, world: World, tmp_path: Path) -> None:
    """What is in the lake and not in this warehouse is told."""
    integration("sync", "nyc_ops.weather")
    done = integration("status", "nyc_ops.weather", INTEGRATION_WAREHOUSE_URI=str(tmp_path / "other.duckdb"))
    assert "never merged, behind the lake" in done.out
    assert world.rows("weather")


def test_rejects_are_listed_with_reasons_and_record(integration: Integration, world: World) -> None:
    """Each record in quarantine, once: why, its key, its slice, when, and what the API sent; where to find them all."""
    world.upstream.faults(
        [{"path": "/v1/flights", "kind": "bad_rows", "share": 0.02, "field": "status", "value": "\u001b[31mlost"}]
    )
    integration("sync", "nyc_ops.flights", "--partition", "2013-01-01")
    done = integration("rejects", "nyc_ops.flights", "--limit", "2")
    assert done.status == 0, done.err
    assert done.out.count("reasons ") == 2
    assert "partition 2013-01-01" in done.out
    assert "status: must be" in done.out
    assert "\u001b[31mlost" not in done.out
    assert "2 of " in done.out
    assert done.out.splitlines()[-1] == str(world.folder / "lake" / "_quarantine" / "nyc_ops__flights")


def test_no_rejects_are_said_to_be_none(integration: Integration) -> None:
    """An empty quarantine is a sentence; a source without a stream asks for one."""
    integration("sync", "nyc_ops.airlines")
    assert "nothing is in quarantine" in integration("rejects", "nyc_ops.airlines").out
    done = integration("rejects", "nyc_ops")
    assert (done.status, "nyc_ops.airlines" in done.err) == (2, True)


def test_sources_are_listed_at_80_columns(integration: Integration, world: World) -> None:
    """Names, addresses and secrets' names are whole."""
    done = integration("sources")
    assert f"{world.upstream.url}/v1/flights" in done.out
    assert "NYC_OPS_KEY (set)" in done.out
    assert world.upstream.key not in done.out


def test_a_check_names_each_stream_once(integration: Integration) -> None:
    """One line a stream, and status 0 when all is right."""
    done = integration("sources", "check", "nyc_ops")
    assert done.status == 0, done.err
    assert [done.out.count(f"nyc_ops.{stream}") for stream in ("flights", "weather", "planes")] == [1, 1, 1]
    assert done.out.count("first page decodes") == 5


def test_a_check_of_no_record_claims_nothing(integration: Integration, world: World) -> None:
    """Without a record, nothing is known of decoding or of the contract."""
    world.upstream.faults([{"path": "/v1/weather", "kind": "empty"}])
    done = integration("sources", "check", "nyc_ops.weather")
    assert "no record in the range asked" in done.out
    assert "decodes" not in done.out


def test_a_check_names_a_failing_stream_once(integration: Integration, world: World) -> None:
    """A stream that fails is named once, and the others are still checked."""
    world.upstream.faults([{"path": "/v1/weather", "kind": "status", "status": 404}])
    done = integration("sources", "check", "nyc_ops")
    assert done.status == 1
    assert done.out.count("nyc_ops.weather") == 1
    assert done.out.count("first page decodes") == 4


def test_a_check_reports_an_unreachable_host_once(integration: Integration) -> None:
    """Five streams of one dead host are one message, and the retries are told in our words only."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{probe.getsockname()[1]}"
    done = integration("sources", "check", "nyc_ops", INTEGRATION_NYC_OPS_BASE_URL=dead)
    assert done.status == 1
    assert done.out.count("the API was asked") == 1
    assert "The other 4 streams were not asked." in done.out
    assert "stamina" not in done.out + done.err
