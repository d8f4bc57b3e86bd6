"""Contracts as versioned JSON Schema: what is said of a change, and that the stored files are true."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from integration_assets.cli import contracts
from integration_assets.cli.app import app
from integration_assets.errors import SpecError
from integration_assets.sources import load_source, load_sources
from integration_assets.spec.contract import check_stream
from integration_assets.spec.json_schema import changes, compare, dump, next_version, to_json_schema
from integration_assets.spec.source import Source, Stream

STREAMS = [(source, stream) for source in load_sources() for stream in source.streams]


@pytest.fixture(scope="module")
def flights() -> dict[str, Any]:
    """The schema of a contract with nested columns, bounds and allowed values."""
    source = load_source("nyc_ops")
    stream = source.stream("flights")
    return to_json_schema(source, stream, check_stream(source, stream), "1.4")


@pytest.mark.parametrize(("source", "stream"), STREAMS, ids=lambda one: one.name)
def test_stored_schemas_are_those_of_the_contracts(source: Source, stream: Stream) -> None:
    """A contract that changed without its schema file would change tables behind their readers' backs."""
    path = contracts.schema_path(source, stream)
    schema, found = compare(source, stream, check_stream(source, stream), json.loads(path.read_text("utf-8")))
    assert not found, f"integration contracts write {source.name}: {found}"
    assert dump(schema) == path.read_text("utf-8")
    jsonschema.Draft202012Validator.check_schema(schema)


def test_a_row_of_the_contract_is_valid(flights: dict[str, Any]) -> None:
    """The schema takes what the contract takes, and refuses a value out of its bounds."""
    row = dict.fromkeys(flights["properties"]) | {
        "id": "UA1",
        "status": "arrived",
        "flight_number": 1,
        "carrier": "UA",
        "origin": "EWR",
        "destination": "IAH",
        "distance_mi": 1400,
        **dict.fromkeys(("scheduled_departure", "scheduled_arrival", "created_at", "updated_at"), "2013-01-01T05:15:00Z"),
        "aircraft": {"tail_number": "N1", "seats": 100},
    }
    validator = jsonschema.Draft202012Validator(flights)
    assert not list(validator.iter_errors(row))
    assert list(validator.iter_errors(row | {"status": "lost"}))
    assert list(validator.iter_errors(row | {"distance_mi": 0}))


def gone(schema: dict[str, Any]) -> None:
    """Drop a column."""
    del schema["properties"]["air_time_min"]


def required(schema: dict[str, Any]) -> None:
    """Forbid null."""
    schema["properties"]["air_time_min"]["type"] = "integer"


def retyped(schema: dict[str, Any]) -> None:
    """Make a number a text."""
    schema["properties"]["air_time_min"]["x-type"] = "string"


def fewer_values(schema: dict[str, Any]) -> None:
    """Forbid a value."""
    schema["properties"]["status"]["enum"].remove("cancelled")


def tighter(schema: dict[str, Any]) -> None:
    """Lower a maximum."""
    schema["properties"]["departure_delay_min"]["maximum"] = 100


def other_key(schema: dict[str, Any]) -> None:
    """Name records otherwise."""
    schema["x-key"] = ["flight_number"]


def new_nullable(schema: dict[str, Any]) -> None:
    """Add a column that may be null."""
    schema["properties"]["gate"] = {"type": ["string", "null"], "x-type": "string", "x-path": "gate"}


def more_values(schema: dict[str, Any]) -> None:
    """Allow a value more."""
    schema["properties"]["status"]["enum"].append("diverted")


def looser(schema: dict[str, Any]) -> None:
    """Raise a maximum, and drop a minimum."""
    schema["properties"]["departure_delay_min"]["maximum"] = 5000
    del schema["properties"]["flight_number"]["minimum"]


@pytest.mark.parametrize("change", [gone, required, retyped, fewer_values, tighter, other_key])
def test_narrowing_asks_for_the_next_major_version(flights: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> None:
    """What a reader may stumble over is never a minor version."""
    after = copy.deepcopy(flights)
    change(after)
    found = changes(flights, after)
    assert [one.narrows for one in found] == [True]
    assert next_version("1.4", found) == "2.0"


def test_bounds_of_another_type_narrow(flights: dict[str, Any]) -> None:
    """A number that became a text has bounds that cannot be told to be wider: that is said, and is no traceback."""
    after = copy.deepcopy(flights)
    retyped(after)
    after["properties"]["air_time_min"]["maximum"] = "Z"
    before = copy.deepcopy(flights)
    before["properties"]["air_time_min"]["maximum"] = 5000
    assert [one.narrows for one in changes(before, after)] == [True, True]


@pytest.mark.parametrize("change", [new_nullable, more_values, looser])
def test_adding_is_the_next_minor_version(flights: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> None:
    """What every reader survives is."""
    after = copy.deepcopy(flights)
    change(after)
    found = changes(flights, after)
    assert found
    assert not any(one.narrows for one in found)
    assert next_version("1.4", found) == "1.5"


def test_a_narrowing_is_written_only_when_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check and write name the change; nothing is written until `--major` is said."""
    monkeypatch.setattr(contracts, "schema_path", lambda _source, stream: tmp_path / f"{stream.name}.json")
    run = CliRunner()
    assert run.invoke(app, ["contracts", "write", "nyc_ops"]).exit_code == 0
    assert run.invoke(app, ["contracts", "check", "nyc_ops"]).exit_code == 0
    file = tmp_path / "planes.json"
    wider = json.loads(file.read_text("utf-8"))
    wider["properties"]["old"] = {"type": ["string", "null"], "x-type": "string", "x-path": "old"}
    file.write_text(dump(wider), "utf-8")
    checked = run.invoke(app, ["contracts", "check", "nyc_ops"])
    assert checked.exit_code == 1
    assert "narrows: old is gone" in checked.output
    refused = run.invoke(app, ["contracts", "write", "nyc_ops"])
    assert isinstance(refused.exception, SpecError)
    assert "old is gone" in str(refused.exception)
    assert run.invoke(app, ["contracts", "write", "nyc_ops", "--major"]).exit_code == 0
    assert '"x-version": "2.0"' in file.read_text("utf-8")
