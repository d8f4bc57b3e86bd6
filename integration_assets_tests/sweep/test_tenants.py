"""Sweeps of streams whose API keeps tenants apart: each by its own list, none at another's cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from integration_assets.errors import SpecError, SweepRefusedError
from integration_assets.land.fingerprint import lake_fingerprint
from integration_assets.land.warehouse import Target
from integration_assets.spec import Slice, Stream, Sweep
from integration_assets.sweep import Swept, sweep
from integration_assets_tests.flow.accounts import KEYS, START, Accounts

LIST = Sweep(params={})


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    """Three accounts with ten orders each, with the same numbers, pulled and merged."""
    api = Accounts(tmp_path)
    api.fill()
    with api.served():
        api.pull(api.stream(sweep=LIST))
        yield api


def swept(accounts: Accounts, *tenants: str) -> list[Swept]:
    """Sweep until the end or an error; what became of each."""
    found: list[Swept] = []
    with accounts.feed(accounts.stream(sweep=LIST)) as (feed, stores):
        try:
            found.extend(sweep(feed, stores, "sweep", "tester", tenants=tenants or None))
        finally:
            aim = Target.of(feed.source, feed.stream, feed.contract)
            assert stores.warehouse.fingerprint(aim) == lake_fingerprint(aim, feed.table)
    return found


def test_each_tenant_is_swept_by_its_own_list(accounts: Accounts) -> None:
    """Account eu's order 3 goes, and no other account's order 3; the threshold counts each account's own rows."""
    accounts.orders["eu"] = [one for one in accounts.orders["eu"] if one["id"] != 3]
    found = swept(accounts)
    assert [(one.receipt.tenant, one.receipt.live, one.receipt.deleted) for one in found] == [
        ("eu", 10, 1),
        ("us", 10, 0),
        ("a/p 1", 10, 0),
    ]
    assert accounts.rows() == accounts.truth()
    assert {query.get("since") for _, query in accounts.asked[-3:]} == {None}, "asked without a range"
    accounts.orders["us"] = accounts.orders["us"][1:]
    assert [one.receipt.tenant for one in swept(accounts, "eu")] == ["eu"]
    assert ("us", 1, 2) in accounts.rows(), "us was not swept"


def test_a_tenant_that_is_refused_stops_no_other(accounts: Accounts) -> None:
    """An empty list leaves its account as it is, and is named; the others are swept."""
    accounts.orders["us"], accounts.orders["a/p 1"] = [], accounts.orders["a/p 1"][1:]
    with pytest.raises(SweepRefusedError, match=r"tenant.*us.*it is empty, and the table has 10 live rows"):
        swept(accounts)
    rows = accounts.rows()
    assert [sum(row[0] == key for row in rows) for key in KEYS] == [10, 10, 9]


def test_a_list_that_does_not_name_the_tenant_is_found_when_the_source_loads(accounts: Accounts) -> None:
    """A list of all accounts' keys would make every account's rows look gone, or there."""
    with pytest.raises(SpecError, match="nothing that the API is asked names the tenant") as error:
        accounts.stream(sweep=Sweep(path="/all-orders"))
    assert (error.value.stream, error.value.field) == ("orders", "sweep.tenants")
    assert isinstance(accounts.stream(sweep=Sweep(path="/accounts/{account}/ids")), Stream)


def test_what_is_younger_than_the_list_may_be_is_left_alone(accounts: Accounts) -> None:
    """A list that comes from a copy which is behind lacks new records: by the API's clock they are given time."""
    accounts.orders["eu"].append(accounts.order("eu", 10, updated_at=(accounts.now - timedelta(minutes=30)).isoformat()))
    accounts.pull(accounts.stream(sweep=LIST), tenants=["eu"], span=Slice(START, accounts.now))
    accounts.orders["eu"] = accounts.orders["eu"][1:-1]
    assert [one.receipt.deleted for one in swept(accounts, "eu")] == [1]
    assert ("eu", 11, 1002) in accounts.rows()
    accounts.now += timedelta(hours=1)
    assert [one.receipt.deleted for one in swept(accounts, "eu")] == [1]
    assert accounts.rows() == accounts.truth()
