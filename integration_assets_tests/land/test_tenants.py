"""One table, many tenants: each one's state survives what the table's does, and no one's files are read for another."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from integration_assets.errors import SliceTakenError
from integration_assets.land.lake import Lake, LakeTable
from integration_assets.land.state import META, _dump_finished, _load_finished
from integration_assets.spec.cursor import Slice, finish, gaps, watermark
from integration_assets.spec.records import TENANT
from integration_assets_tests.land.helpers import SCHEMA, START, day, days, land, row

SHARED = pa.schema([pa.field("account", pa.string(), metadata={TENANT: b"yes"}), *SCHEMA])


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """A stream's table, not made yet."""
    return Lake(str(tmp_path / "lake")).table("shop", "orders")


def rows_of(tenant: str, *numbers: float) -> pa.Table:
    """One row a day."""
    rows = [{"account": tenant, **row(str(number), number)} for number in numbers]
    return pa.Table.from_pylist(rows, schema=SHARED)


def log(table: LakeTable, version: int) -> str:
    """A log entry as text."""
    return (Path(table.uri) / "_delta_log" / f"{version:020d}.json").read_text()


def test_each_tenant_has_its_own_watermark(table: LakeTable) -> None:
    """A commit moves its tenant's watermark; its receipt tells of no other's."""
    land(table, rows_of("eu", 0), days(0, 4, "eu"), schema=SHARED)
    done = land(table, rows_of("us", 0), days(0, 1, "us"), schema=SHARED)
    assert (done.tenant, done.watermark_before, done.watermark_after) == ("us", None, "2024-01-02T00:00:00Z")
    land(table, (), days(3, 4, "us"), schema=SHARED)
    finished = table.state().finished
    assert finished == (days(0, 4, "eu"), days(0, 1, "us"), days(3, 4, "us"))
    assert (watermark(finished, START, "eu"), watermark(finished, START, "us")) == (day(4), day(1))
    assert gaps(finished, START, "us") == (days(1, 3, "us"),)
    assert not gaps(finished, START, "eu")


def test_another_tenants_commit_is_in_nobodys_way(table: LakeTable) -> None:
    """A commit planned before another tenant's lands at once; one planned before the same tenant's is refused."""
    table.prepare(SHARED)
    base = table.state()
    land(table, rows_of("eu", 0), days(0, 1, "eu"), base=base, schema=SHARED)
    land(table, rows_of("us", 0), days(0, 1, "us"), base=base, schema=SHARED)
    with pytest.raises(SliceTakenError, match="of us was committed by run run"):
        land(table, rows_of("us", 0), days(0, 1, "us"), base=base, schema=SHARED)
    assert table.count() == 2


def test_watermarks_are_rebuilt_tenant_by_tenant(table: LakeTable) -> None:
    """When the log is cleaned away, each tenant's watermark is still in the transactions, whatever its name is."""
    for tenant, end in (("eu", 2), ("a/b c", 3), ("2024-01-01", 1)):
        land(table, (), days(0, end, tenant), schema=SHARED)
    land(table, (), days(8, 9, "eu"), schema=SHARED)
    opened = DeltaTable(table.uri)
    opened.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    opened = DeltaTable(table.uri)
    opened.create_checkpoint()
    opened.cleanup_metadata()
    assert not table.receipts()
    expected = {"eu": day(2), "a/b c": day(3), "2024-01-01": day(1)}
    assert {done.tenant: done.end for done in table.state().finished} == expected
    done = land(table, (), days(2, 4, "eu"), schema=SHARED)
    assert (done.watermark_before, done.watermark_after) == ("2024-01-03T00:00:00Z", "2024-01-05T00:00:00Z")
    assert {done.tenant: done.end for done in table.state().finished} == expected | {"eu": day(4)}


ranges = st.tuples(st.sampled_from(["eu", "us", "a|b", None]), st.integers(0, 30), st.integers(1, 4)).map(
    lambda drawn: days(drawn[1], drawn[1] + drawn[2], drawn[0])
)


@settings(max_examples=50)
@given(st.lists(ranges, max_size=12))
def test_finished_ranges_survive_their_json(done: list[Slice]) -> None:
    """Whatever is finished of whom comes back as it was."""
    finished: tuple[Slice, ...] = ()
    for one in done:
        finished = finish(finished, one)
    assert _load_finished(json.loads(json.dumps(_dump_finished(finished)))) == finished


def test_a_commit_without_tenants_reads_as_before() -> None:
    """The metadata of a stream without tenants has not changed: old commits are read, and old code reads new ones."""
    assert _dump_finished((days(0, 1),)) == {"finished": [["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]]}
    assert _load_finished({"finished": [[3, 5], [7, None]]}) == (Slice(3, 5), Slice(7, None))


def test_a_thousand_tenants_make_a_small_commit() -> None:
    """Tenants that are equally far are written once: what a commit holds of them is little more than their names."""
    finished = tuple(days(0, 30 if number < 700 else 29, f"account-{number:04}") for number in range(1000))
    assert len(json.dumps(_dump_finished(finished))) < 17_000
    assert _load_finished(_dump_finished(finished)) == finished


def test_a_tenants_rows_are_found_without_opening_anothers_files(table: LakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake's log tells whose a file is, also after files of several tenants were joined."""
    from integration_assets.land import reading

    for tenant in ("eu", "us", "apac"):
        land(table, rows_of(tenant, 0, 1, 2), days(0, 3, tenant), schema=SHARED)
    opened: list[str] = []
    real = reading._open
    monkeypatch.setattr(reading, "_open", lambda store, path: opened.append(path) or real(store, path))
    found = pa.concat_tables(table.known(["account", "id"], "at", days(1, 3, "us"), "account"))
    assert found.to_pylist() == [{"account": "us", "id": "1"}, {"account": "us", "id": "2"}]
    assert len(opened) == 1

    table.compact()
    opened.clear()
    found = pa.concat_tables(table.known(["account", "id"], "at", days(1, 3, "us"), "account"))
    assert found.to_pylist() == [{"account": "us", "id": "1"}, {"account": "us", "id": "2"}]
    assert len(opened) == 1
    assert not list(table.known(["id"], "at", days(1, 3, "zz"), "account"))
    assert len(opened) == 1


def test_other_text_stays_out_of_the_log(table: LakeTable) -> None:
    """A tenant's key is in the log, and no other text: a record that is forgotten must not live on there."""
    given = pa.Table.from_pylist([{"account": "eu", **row("anna@example.org", 0)}], schema=SHARED)
    land(table, given, days(0, 1, "eu"), schema=SHARED)
    text = log(table, 1)
    assert META in text
    assert '\\"account\\":\\"eu\\"' in text.replace(" ", "")
    assert "anna" not in text
