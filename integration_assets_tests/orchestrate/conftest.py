"""A shop to pull from, a lake and a warehouse to land in, and an instance of Dagster that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from integration_assets.orchestrate import StoresResource, build
from integration_assets.spec import Source
from integration_assets_tests.orchestrate.running import Bench
from integration_assets_tests.orchestrate.shop import KEY, Shop, source


@pytest.fixture
def shop() -> Iterator[Shop]:
    """An API with three orders on each of the first ten days of March 2024."""
    api = Shop()
    api.fill(date(2024, 3, 1), days=10, each=3)
    with api.served():
        yield api


@pytest.fixture
def bench(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The shop's definitions on real stores in a temporary folder."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "home")) as instance:
        yield make_bench(source(shop.url), tmp_path, instance)


def make_bench(source_: Source, folder: Path, instance: dg.DagsterInstance) -> Bench:
    """Definitions of a source whose lake and warehouse are in `folder`."""
    stores = StoresResource(lake_uri=str(folder / "lake"), warehouse_uri=str(folder / "warehouse.duckdb"))
    return Bench(build([source_], {"stores": stores}), instance, stores)
