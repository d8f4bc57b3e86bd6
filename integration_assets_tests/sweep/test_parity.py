"""The same sweep with the lake in a bucket and the warehouse in BigQuery, over the wire to the emulators."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from integration_assets.feed import Feed, open_feeds
from integration_assets.land.bigquery import BigQueryWarehouse
from integration_assets.land.lake import Lake
from integration_assets.land.quarantine import Quarantine
from integration_assets.settings import Settings
from integration_assets.spec import Limits, Source, Stream
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync
from integration_assets_tests.gcs.process import GcsEmulator
from integration_assets_tests.sweep.register import Register, check_equal


@dataclass
class InCloud(Register):
    """The register, pulled into other stores."""

    stores: Stores | None = None

    @contextmanager
    def feed(self, stream: Stream) -> Iterator[tuple[Feed, Stores]]:
        """The stream, opened over them."""
        assert self.stores
        source = Source(name="mini", base_url=self.url, streams=(stream,), limits=Limits(attempts=2, wait_initial=0))
        with open_feeds(source, self.stores, Settings.from_environ({}), [stream]) as (feed,):
            yield feed, self.stores


@pytest.fixture
def register(
    tmp_path: Path,
    gcs_lake: Lake,
    bigquery_warehouse: BigQueryWarehouse,
    gcs_for_bigquery: GcsEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[InCloud]:
    """Forty items, pulled and merged."""
    monkeypatch.chdir(tmp_path)  # what all runs share of an API's limits is kept in the folder
    for name, value in gcs_for_bigquery.environ.items():
        monkeypatch.setenv(name, value)
    api = InCloud(
        tmp_path, stores=Stores(gcs_lake, Quarantine(gcs_lake.uri, gcs_for_bigquery.storage_options), bigquery_warehouse)
    )
    api.fill(40)
    with api.served():
        api.pull(api.swept())
        yield api


def test_bigquery_is_swept_alike(register: InCloud) -> None:
    """Two rows go, one comes back, and one that lands while the list is read is left alone; lake and table agree throughout."""
    seven, thirty_one = register.drop(7, 31)
    table = "mini.items"

    def meanwhile(begin: int) -> None:
        if begin:
            register.on_list = lambda _: None
            register.list_as = [{"ref": {"id": one["id"]}} for one in register.records]
            register.records.append(register.item(50))
            with register.feed(register.swept()) as (feed, stores):
                list(sync(feed, "meanwhile"))
                merge(feed, stores, "meanwhile")

    register.on_list = meanwhile
    (found,) = register.sweep()
    assert (found.receipt.outcome, found.receipt.live, found.receipt.deleted) == ("swept", 41, 2)
    assert found.examples == ({"id": 7, "seq": 7}, {"id": 31, "seq": 31})
    columns = f"select id, value, _deleted_at from {table}"
    with register.feed(register.swept()) as (feed, stores):
        check_equal(feed, stores)
        rows = stores.warehouse.query(f"{columns} where _deleted_at is not null order by id").to_pylist()
        assert [(row["id"], row["value"]) for row in rows] == [(7, 70), (31, 310)]
        assert {row["_deleted_at"] for row in rows} == {datetime.fromisoformat(found.receipt.swept_at)}

    register.list_as = None
    register.records.append(thirty_one)
    (found,) = register.sweep()
    assert (found.receipt.deleted, found.receipt.revived, found.receipt.unknown) == (0, 1, 0)
    with register.feed(register.swept()) as (feed, stores):
        check_equal(feed, stores)
        live = stores.warehouse.query("select id, value from mini.items_live order by id").to_pylist()
    assert [row["id"] for row in live] == [*range(1, 7), *range(8, 41), 50]
    assert {"id": 31, "value": 310} in live
    assert seven not in register.records
    if os.environ.get("INTEGRATION_SOAK"):
        assert register.sweep()[0].receipt.outcome == "unchanged"
