"""What a shadow run says of two versions of one API, and that nothing of it stays."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from rich.console import Console

from integration_assets.cli.shadow import run_shadow
from integration_assets.errors import SpecError
from integration_assets.feed import open_feeds
from integration_assets.land.compare import Rules, compare
from integration_assets.land.lake import Lake
from integration_assets.orchestrate.build import build
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.settings import Settings
from integration_assets.shadow import shadow
from integration_assets.spec import Candidate, Cursor, Offset, Slice, Tolerance
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync
from integration_assets_tests.fanout import orders as children
from integration_assets_tests.shadow.versions import HERE, KEY, START, Versions, files

DAY = timedelta(days=1)
_PAGES = Offset(limit=3, limit_param="limit", param="offset")
_KEYLESS = {"key": (), "disposition": "append", "cursor": Cursor(field="updated_at", start_param="since")}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Versions]:
    """Serve both versions."""
    with Versions(tmp_path).served() as versions:
        yield versions


def test_what_is_within_tolerance_is_the_same_and_nothing_lands(api: Versions) -> None:
    """Small differences, and any in a column left out, are none; the last day that is over is compared; no file is left."""
    for row in api.new:
        row["amount"] += 0.004
        row["seen_at"] = (START + timedelta(milliseconds=500) + (_at(row["seen_at"]) - START)).isoformat()
        row["note"] = "other"
    found = api.compare()
    assert (found.passed, found.against, found.examples) == (True, (), ())
    assert found.slices == (Slice(START + DAY, START + 2 * DAY),)
    assert (found.found.old, found.found.new) == (4, 4)
    assert (found.present.pages, found.candidate.pages) == (1, 3)
    assert files(api.folder) == []
    asked = [one for one in api.server.asked if one.path != "/clock"]  # type: ignore[union-attr]
    assert {one.path for one in asked} == {"/v1/orders", "/v2/orders"}
    assert {one.query.get("from", "2024-03-02T00:00:00Z") for one in asked} == {"2024-03-02T00:00:00Z"}


def test_what_differs_is_told_by_key_and_column(api: Versions, capsys: pytest.CaptureFixture[str]) -> None:
    """Changed values, rows of one side, rejects and drift are told with masked examples; personal data is not shown."""
    first, second, third, _ = (row for row in api.new if row["updated_at"].startswith("2024-03-02"))
    first["amount"] += 0.02
    first["email"] = "changed@private.example"
    second["amount"] = -5.0
    api.new.remove(third)
    api.new.append({**first, "id": 900})
    out = Console(width=300)
    source = api.source()
    assert not run_shadow(source, source.streams[0], api.settings, out, None, None, "2024-03-02", None, 5)
    said = capsys.readouterr().out
    assert "private.example" not in said
    assert "2 rows are only in present" in said
    assert "1 rows are only in candidate" in said
    assert "1 rows differ, in amount (1), email (1)" in said
    assert "candidate has 1 rejects, and present 0: amount: " in said
    assert "changed: id=4: amount: 40.0 → 40.02; email: *** → ***" in said
    assert "only in old: id=5" in said
    assert "only in new: id=900" in said
    assert files(api.folder) == []

    assert api.compare(span=Slice(START, START + DAY)).passed
    empty = api.compare(span=Slice(START + timedelta(hours=10), START + timedelta(hours=12)))
    assert empty.against == ("neither side has a row: nothing was compared",)


def test_what_the_table_cannot_take_is_told_before_the_cut_over(api: Versions) -> None:
    """A candidate whose contract lacks a column, or has another type, does not pass even with the same values."""
    stream = api.stream(candidate=api.candidate(contract=f"{HERE}:NarrowOrder", tolerances={}, uncompared=()))
    found = api.compare(stream)
    assert found.found.equal
    assert [sentence.partition(" ")[0] for sentence in found.against] == ["amount", "note"]
    now = stream.changed(contract=f"{HERE}:NarrowOrder", candidate=Candidate(contract=f"{HERE}:NewOrder"), **_second(api))
    assert any(note.startswith("only in the other contract: note") for note in api.compare(now).notes)


def _second(api: Versions) -> dict[str, Any]:
    described = api.candidate()
    return {name: getattr(described, name) for name in ("path", "format", "paging", "cursor")}


def test_each_tenant_is_compared(api: Versions) -> None:
    """A stream with tenants is read tenant by tenant through both; a row that one of them lacks is told with its shop."""
    stream = api.by_shop()
    found = api.compare(stream)
    assert (found.passed, found.found.old, [one.tenant for one in found.slices]) == (True, 8, ["north", "south"])
    api.new = [row for row in api.new if row["id"] != 5]
    found = api.compare(stream, tenants=["south"])
    assert [(one.place, one.key) for one in found.examples] == [("only in old", "shop=south, id=5")]
    assert not {one.path for one in api.server.asked[-6:]} & {"/v1/north/orders", "/v2/north/orders"}  # type: ignore[union-attr]


def test_children_are_read_of_each_parent(tmp_path: Path) -> None:
    """A stream that is asked for parent by parent is compared over the parents that the lake has of the slice."""
    shop = children.Api(tmp_path, streams=(children.orders(), children.items(candidate=Candidate(paging=_PAGES))))
    with shop.served():
        shop.put("a", 1, 5, 6, 7)
        shop.put("b", 2, 8)
        shop.both(3)
        settings = Settings.from_environ(shop.environ)
        found = shadow(shop.source, shop.source.stream("items"), Stores.from_settings(settings), settings)
    assert (found.passed, found.found.old, found.candidate.pages < found.present.pages) == (True, 4, True)


def test_cutting_over_and_back_lands_right(api: Versions) -> None:
    """With the flag the stream is its candidate, without it what it was: each record is there once, with its newest values."""
    stores = Stores.from_settings(api.settings)

    def pull() -> tuple[str, list[str]]:
        before = len(api.server.asked)  # type: ignore[union-attr]
        with open_feeds(api.source(), stores, api.settings) as (feed,):
            receipts = list(sync(feed, "run"))
            merge(feed, stores, "run")
            assert feed.table.state().finished == (Slice(START, api.clock),)
        paths = {one.path for one in api.server.asked[before:]} - {"/clock"}  # type: ignore[union-attr]
        return receipts[-1].contract_hash, sorted(paths)

    old_hash, paths = pull()
    assert paths == ["/v1/orders"]
    assert api.compare().passed
    api.environ["INTEGRATION_SHOP_ORDERS_CANDIDATE"] = "1"
    api.clock += timedelta(hours=12)
    last = api.new[-1]
    api.new += [{**last, "id": 50, "updated_at": "2024-03-03T20:00:00Z"}, {**last, "updated_at": "2024-03-03T21:00:00Z"}]
    new_hash, paths = pull()
    assert (paths, new_hash != old_hash) == (["/v2/orders"], True)
    found = api.compare(span=Slice(START + 2 * DAY, START + 3 * DAY))
    assert (found.present.name, found.candidate.name) == ("candidate", "before the cut-over")
    assert (found.found.only_old, found.found.columns) == (1, {"updated_at": 1})

    api.environ["INTEGRATION_SHOP_ORDERS_CANDIDATE"] = "0"
    api.clock += timedelta(hours=12)
    api.old = [*api.new, {**api.new[0], "id": 60, "updated_at": "2024-03-04T02:00:00Z"}]
    assert pull() == (old_hash, ["/v1/orders"])
    rows = stores.warehouse.query("select count(*) as n, count(distinct id) as ids, max(updated_at) as last from shop.orders")
    assert rows.to_pylist()[0] == {"n": 14, "ids": 14, "last": _at("2024-03-04T02:00:00Z")}
    moved = stores.warehouse.query("select updated_at from shop.orders where id = 11").to_pylist()
    assert moved == [{"updated_at": _at("2024-03-03T21:00:00Z")}]


def test_a_version_on_another_host_is_asked_there(api: Versions) -> None:
    """The candidate's own address gets its requests; it is never asked while the source alone is sent elsewhere."""
    assert api.server is not None
    assert api.other is not None
    stream = api.stream(candidate=api.candidate(path="/orders", base_url=f"{api.other.url}/v2"))
    assert api.compare(stream, partition="2024-03-01").passed
    assert {one.path for one in api.other.asked} == {"/v2/orders"}
    assert "/v2/orders" not in {one.path for one in api.server.asked}
    api.environ["INTEGRATION_SHOP_BASE_URL"] = api.server.url
    before = len(api.other.asked)
    with pytest.raises(SpecError, match="INTEGRATION_SHOP_ORDERS_BASE_URL"):
        api.compare(stream)
    api.environ["INTEGRATION_SHOP_ORDERS_BASE_URL"] = f"{api.server.url}/v2"
    assert api.compare(stream, partition="2024-03-01").passed
    assert len(api.other.asked) == before


def test_dagster_runs_it(api: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's shadow job passes when both give the same, and fails with the differences when they do not."""
    for name, value in api.settings.environ.items():
        monkeypatch.setenv(name, value)
    source = api.source()
    stores = StoresResource(lake_uri=str(api.folder / "lake"), warehouse_uri=str(api.folder / "warehouse.duckdb"))
    job = build([source], {"stores": stores}).get_repository_def().get_job("shop_shadow")
    logging.disable()
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance).success
        api.new[4]["amount"] = 0.5
        config = {"ops": {"shop__orders__shadow": {"config": {"partition": "2024-03-02"}}}}
        failed = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
        logging.disable(logging.NOTSET)
        (event,) = [one for one in failed.all_events if one.event_type_value == "STEP_FAILURE"]
    said = event.step_failure_data.user_failure_data
    assert said is not None
    assert said.description == "1 rows differ, in amount (1)"
    assert "amount: 40.0 → 0.5" in str(said.metadata["examples"].value)
    assert KEY not in json.dumps({name: str(entry.value) for name, entry in said.metadata.items()})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"candidate": Candidate()}, "candidate"),
        ({"candidate": Candidate(path="/v2/{shop}")}, "candidate.path"),
        ({"candidate": Candidate(path="/v2", uncompared=("id",))}, "candidate.uncompared"),
        ({"candidate": Candidate(path="/v2", tolerances={"amount": Tolerance()}), **_KEYLESS}, "candidate.tolerances"),
        ({"candidate": Candidate(path="/v2", cursor=Cursor(field="seen_at", start_param="s"))}, "candidate.cursor"),
    ],
)
def test_a_wrong_candidate_is_told_when_it_loads(api: Versions, changes: dict[str, Any], field: str) -> None:
    """What cannot be a candidate is a `SpecError` that names the setting, before anything is asked."""
    with pytest.raises(SpecError) as caught:
        api.stream(**changes)
    assert caught.value.field == field


def test_what_cannot_be_compared_is_told_before_any_request(api: Versions) -> None:
    """A tolerance that is none of its column's, a stream without a candidate, a flag for one: nothing is asked of the API."""
    for name, tolerance in {"email": Tolerance(absolute=1), "amount": Tolerance(within=DAY), "nothing": Tolerance()}.items():
        with pytest.raises(SpecError, match=name):
            api.compare(api.stream(candidate=api.candidate(tolerances={name: tolerance})))
    with pytest.raises(SpecError, match="no candidate"):
        api.compare(api.stream(candidate=None))
    api.environ["INTEGRATION_SHOP_ORDERS_CANDIDATE"] = "yes"
    with pytest.raises(SpecError, match="neither 1 nor 0"):
        api.compare()
    with pytest.raises(SpecError, match="no candidate"):
        api.compare(api.stream(candidate=None))
    assert api.server is not None
    assert api.server.asked == []


def test_rows_without_a_key_and_odd_values(tmp_path: Path) -> None:
    """Rows without a key are held against each other whole; a NaN equals a NaN, an infinity only itself, a tombstone its like."""
    lake, nan, inf = Lake(str(tmp_path / "lake")), float("nan"), float("inf")
    rows = {
        "old": [(1, nan, [1], False), (2, inf, None, False), (3, 1.0, [2], True), (4, 1.0, [3], False), (4, 1.0, [3], False)],
        "new": [(1, nan, [1], False), (2, 5.0, None, False), (3, 9.0, [5], True), (4, 1.05, [3], False), (4, 1.0, [3], True)],
    }
    types = {"x": pa.float64(), "many": pa.list_(pa.int64())}
    schema = pa.schema([("id", pa.int64()), *types.items(), ("_deleted", pa.bool_())])
    tables = {}
    for name, some in rows.items():
        table = tables[name] = lake.table("side", name)
        table.prepare(schema)
        with table.writer(schema) as writer:
            writer.write(pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in some], schema=schema))
            table.append(writer)
    allowed = {"x": Tolerance(relative=0.1)}
    keyed = compare(tables["old"], tables["new"], Rules(("id",), None, types, allowed, 5), tmp_path)
    assert (keyed.old, keyed.changed, keyed.columns) == (4, 2, {"x": 1, "_deleted": 1})
    whole = compare(tables["old"], tables["new"], Rules((), None, {"id": pa.int64(), **types}, {}, 5), tmp_path)
    assert (whole.only_old, whole.only_new, whole.changed) == (4, 4, 0)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
