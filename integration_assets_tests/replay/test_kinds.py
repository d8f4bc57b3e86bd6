"""Records of every format and of every tenant are run again as they were pulled."""

from __future__ import annotations

from pathlib import Path

import pandera.pandas as pandera
import pytest

from integration_assets.errors import SpecError
from integration_assets.extract.stored import decode_stored, values_of
from integration_assets.replay import refetch, replay
from integration_assets.spec import Csv, Json, Ndjson, Stream, Xml
from integration_assets.spec.contract import Int64, String, Timestamp, check_stream, column
from integration_assets.spec.formats import Format
from integration_assets.spec.source import Source
from integration_assets.sync import merge
from integration_assets_tests.flow.accounts import START, Accounts
from integration_assets_tests.replay.dead import Dead

HERE = __name__


class Mended(pandera.DataFrameModel):
    """An order of an account whose amount may be below zero."""

    account: String = column(nullable=False)
    id: Int64 = column(nullable=False)
    amount: Int64 = column(nullable=False, ge=-100)
    updated_at: Timestamp = column(nullable=False)


class Thing(pandera.DataFrameModel):
    """A thing with a number."""

    id: String = column(nullable=False)
    size: Int64 = column()


class Element(pandera.DataFrameModel):
    """A thing as XML has it."""

    id: String = column("@id", nullable=False)
    size: Int64 = column()


def source(form: Format, contract: str = "Thing") -> Source:
    """A source of one stream of that format."""
    stream = Stream(name="things", path="/things", contract=f"{HERE}:{contract}", format=form, disposition="append")
    return Source(name="shop", base_url="https://shop.example", streams=(stream,))


def test_each_tenants_records_land_with_their_tenant(tmp_path: Path) -> None:
    """The same bad record of two tenants becomes two rows, each with its tenant's key, which the API does not send."""
    with Accounts(tmp_path).served() as accounts:
        accounts.fill(("eu", "us", "a/p 1"), days=3)
        for key in ("eu", "us"):
            accounts.orders[key].append({"id": 99, "amount": -1, "updated_at": START.isoformat()})
        accounts.pull()
        before = accounts.finished()
        mended = accounts.stream(contract=f"{HERE}:Mended")
        with accounts.feed(mended) as (feed, stores):
            receipts = list(replay(feed, "replay", feed.quarantine.entries("accounts", "orders"), "tester"))
            merge(feed, stores, "replay")
        assert sorted(str(receipt.tenant) for receipt in receipts) == ["eu", "us"]
        assert accounts.rows() == accounts.truth()
        assert accounts.finished() == before


def test_a_refetch_asks_for_the_tenant_alone(tmp_path: Path) -> None:
    """Only the tenant whose record it is is pulled again."""
    with Accounts(tmp_path).served() as accounts:
        accounts.fill(("eu", "us", "a/p 1"), days=3)
        accounts.orders["us"].append({"id": 99, "amount": -1, "updated_at": START.isoformat()})
        accounts.pull()
        accounts.orders["us"][-1]["amount"] = 1
        accounts.asked.clear()
        with accounts.feed() as (feed, stores):
            list(refetch(feed, "again", feed.quarantine.entries("accounts", "orders"), "tester"))
            merge(feed, stores, "again")
            assert feed.quarantine.counts("accounts", "orders")["open"] == 0
        assert {key for key, _ in accounts.asked} == {"us"}
        assert accounts.rows() == accounts.truth()


@pytest.mark.parametrize("form", [Json(records="data.items"), Ndjson()], ids=["json", "ndjson"])
def test_json_records_decode_alone(form: Format) -> None:
    """However they are written, over several lines or with half a character; one that is no record says why."""
    described = source(form)
    stream = described.streams[0]
    records = {
        "pretty": b'{\n  "id": "a",\n  "size": 1\n}',
        "plain": b'{"id":"b","size":2}',
        "type": b'{"id":"c","size":"three"}',
        "half": b'{"id":"\\ud800","size":4}',
        "cut": b'{"id":"d","si',
        "two": b'{"id":"e"},{"id":"f"}',
        "text": b'"g"',
    }
    batch, broken = decode_stored(described, stream, check_stream(described, stream), None, records)
    assert batch.table.select(["id", "size"]).to_pylist() == [{"id": "a", "size": 1}, {"id": "b", "size": 2}]
    assert list(batch.raw) == [b"pretty", b"plain"]
    assert broken["type"].reasons == ('size: expected int64, got "three"',)
    assert broken["two"].reasons == ("record: expected one record, got 2",)
    assert broken.keys() == records.keys() - {"pretty", "plain"}
    assert values_of(described, stream, check_stream(described, stream), None, records["type"]) == {"id": "c", "size": "three"}


def test_xml_elements_decode_alone() -> None:
    """An element is a record again, with its attributes and whatever namespace it had."""
    described = source(Xml(record="thing"), "Element")
    stream = described.streams[0]
    records = {
        "plain": b'<thing id="a"><size>1</size></thing>',
        "named": b'<x:thing xmlns:x="urn:things" id="b"><x:size>2</x:size></x:thing>',
        "type": b'<thing id="c"><size>three</size></thing>',
        "cut": b'<thing id="d"><si',
    }
    batch, broken = decode_stored(described, stream, check_stream(described, stream), None, records)
    assert batch.table.select(["id", "size"]).to_pylist() == [{"id": "a", "size": 1}, {"id": "b", "size": 2}]
    assert broken.keys() == {"type", "cut"}


def test_a_csv_line_is_refetched(dead: Dead) -> None:
    """Its header is not kept, so a replay says what to do instead."""
    with dead.mini.feed(dead.mini.stream(format=Csv())) as (feed, _), pytest.raises(SpecError, match=r"header.*refetch"):
        list(replay(feed, "replay", [], "tester"))
