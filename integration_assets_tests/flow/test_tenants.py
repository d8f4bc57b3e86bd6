"""Streams whose API keeps several tenants apart: each with its own watermark, none in another's way."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from integration_assets.errors import HumanNeededError, LakeError, ResponseError, SpecError, UpstreamUnavailableError
from integration_assets.feed import Feed
from integration_assets.spec import Cursor, Slice, Tenants
from integration_assets.spec.cursor import of, watermark
from integration_assets.spec.receipt import Receipt
from integration_assets.sync import sync
from integration_assets.transform.technical import lake_schema
from integration_assets_tests.flow.accounts import HERE, KEYS, START, Accounts

DAY = timedelta(days=1)


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    """Three accounts with ten orders each."""
    api = Accounts(tmp_path)
    api.fill()
    with api.served():
        yield api


def test_all_tenants_land_with_their_key(accounts: Accounts) -> None:
    """A sync that names no tenant goes through all; each row says whose it is, though the API does not send it."""
    receipts = accounts.pull()
    assert [receipt.tenant for receipt in receipts] == list(KEYS)
    assert all(receipt.adds_up and receipt.accepted == 10 and not receipt.drift["missing"] for receipt in receipts)
    assert receipts[2].endpoint == f"{accounts.url}/accounts/a%2Fp%201/orders"
    assert accounts.rows() == accounts.truth()
    assert set(accounts.finished()) == {Slice(START, accounts.now, key) for key in KEYS}


@pytest.mark.parametrize("place", ["params", "headers"])
def test_a_tenant_may_be_named_in_a_parameter_or_a_header(accounts: Accounts, place: str) -> None:
    """An API that takes the account elsewhere than in its path gets it there."""
    asked = {"params": {"account": "{account}"}, "headers": {"X-Account": "{account}"}}[place]
    accounts.pull(accounts.stream(path="/orders", **{place: asked}))
    assert accounts.rows() == accounts.truth()


def test_a_failing_tenant_stops_no_other(accounts: Accounts) -> None:
    """The one without access is named at the end; the others landed, and the next sync catches the one up from its own place."""
    accounts.pull()
    accounts.now += 2 * DAY
    for key in KEYS:
        accounts.orders[key] += [accounts.order(key, 10), accounts.order(key, 11)]
    accounts.broken = {"eu": 403}
    with pytest.raises(HumanNeededError, match=r"1 of 3 tenants failed and nothing stopped the others: eu \(.*403") as error:
        accounts.pull()
    assert (error.value.source, error.value.stream) == ("accounts", "orders")
    assert accounts.rows() == sorted([*accounts.truth("us", "a/p 1"), *accounts.truth("eu")[:-2]])
    marks = {key: watermark(accounts.finished(), START, key) for key in KEYS}
    assert marks == {"eu": accounts.now - 2 * DAY, "us": accounts.now, "a/p 1": accounts.now}

    accounts.broken.clear()
    accounts.now += DAY
    accounts.asked.clear()
    accounts.slices = 1
    accounts.pull()
    since = [(key, query["since"]) for key, query in accounts.asked]
    # Who lags comes last: should it fail again, the others have had their turn.
    assert since == [("us", "2024-03-12T23:00:00Z"), ("a/p 1", "2024-03-12T23:00:00Z"), ("eu", "2024-03-10T23:00:00Z")]
    assert accounts.rows() == accounts.truth()


def test_errors_of_several_kinds_become_the_one_that_says_what_to_do(accounts: Accounts) -> None:
    """A refusal needs a human, an outage only time: together they need the human, and each is told."""
    accounts.broken = {"eu": 503, "us": 403}
    with pytest.raises(HumanNeededError, match=r"2 of 3 tenants failed.*eu \(.*503.*us \(.*403") as error:
        accounts.pull()
    assert not isinstance(error.value, UpstreamUnavailableError)
    accounts.broken = {"eu": 503, "us": 503}
    with pytest.raises(UpstreamUnavailableError, match="2 of 3 tenants failed"):
        accounts.pull()
    assert accounts.rows() == accounts.truth("a/p 1")


def test_an_outage_is_not_waited_for_once_a_tenant(accounts: Accounts) -> None:
    """After three tenants in a row without an answer the others are asked once each, and with patience again after a success."""
    keys = [f"k{number}" for number in range(8)]
    accounts.slices = 1
    accounts.fill(keys, days=1)
    accounts.broken = dict.fromkeys([*keys[:5], keys[6]], 503)
    with pytest.raises(UpstreamUnavailableError, match="6 of 8 tenants failed"):
        accounts.pull(accounts.stream(tenants=Tenants(column="account", keys=tuple(keys))))
    times = [sum(1 for asked, _ in accounts.asked if asked == key) for key in keys]
    assert times == [2, 2, 2, 1, 1, 1, 2, 1]


def test_a_tenant_alone(accounts: Accounts) -> None:
    """A sync of one tenant asks for no other and moves no other's watermark."""
    accounts.pull(tenants=["us"])
    assert {key for key, _ in accounts.asked} == {"us"}
    assert accounts.finished() == (Slice(START, accounts.now, "us"),)
    accounts.broken = {"us": 404}
    with pytest.raises(ResponseError, match=r"accounts.orders: tenant us: .*404"):
        accounts.pull(tenants=["us"])


def test_the_api_says_whose_a_record_is(accounts: Accounts) -> None:
    """A tenant's key that is sent and right is taken; a record of another tenant goes to quarantine, and blocks no other."""
    accounts.orders["eu"] = [{**accounts.order("eu", day), "account": "eu"} for day in range(9)]
    accounts.orders["eu"].append({**accounts.order("eu", 9), "account": "us"})
    receipt = accounts.pull(tenants=["eu"])[0]
    assert (receipt.accepted, receipt.rejected) == (9, 1)
    assert receipt.reasons == ("account: is not the tenant that was asked for",)
    with accounts.feed() as (_, stores):
        (reject,) = stores.quarantine.list("accounts", "orders")
        assert reject.slice.tenant == "eu"


def test_two_tenants_rejects_are_two(accounts: Accounts) -> None:
    """The same bad record from two tenants is kept for both: what is mended is replayed for each."""
    for key in ("eu", "us"):
        accounts.orders[key].append({"id": 99, "amount": -1, "updated_at": START.isoformat()})
    for _ in range(2):
        accounts.pull(span=Slice(START, accounts.now))
    with accounts.feed() as (_, stores):
        found = stores.quarantine.list("accounts", "orders")
    assert sorted(str(reject.slice.tenant) for reject in found) == ["eu", "us"]


def test_tenants_are_listed_anew_each_time(accounts: Accounts) -> None:
    """An account that was opened since is pulled from its own beginning; one that was closed is asked for no more, and stays."""
    stream = accounts.listed()
    accounts.pull(stream)
    accounts.now += DAY
    accounts.fill(["new"], days=11)
    closed = accounts.orders.pop("us")
    receipts = accounts.pull(stream)
    assert [(receipt.tenant, receipt.slice[0]) for receipt in receipts] == [
        ("eu", "2024-03-10T23:00:00Z"),
        ("a/p 1", "2024-03-10T23:00:00Z"),
        ("new", "2024-03-01T00:00:00Z"),
    ]
    accounts.orders["us"] = closed
    assert accounts.rows() == accounts.truth()


@pytest.mark.parametrize(
    ("key", "why"), [(None, "no text or whole number"), (True, "no text"), ("a|b", "separates"), ("..", "step in a path")]
)
def test_a_tenant_that_cannot_be_told_is_an_error(accounts: Accounts, key: object, why: str) -> None:
    """A record of the listing without a usable key is not passed over in silence."""
    accounts.orders = {key: []}  # type: ignore[dict-item] - what an API may send
    with pytest.raises(ResponseError, match=rf"accounts.orders \(listing.accounts\).*{why}"):
        accounts.pull(accounts.listed())


def test_an_empty_listing_is_an_error(accounts: Accounts) -> None:
    """A credential that sees no account is more likely than a company without one."""
    accounts.orders.clear()
    with pytest.raises(ResponseError, match="names no tenant"):
        accounts.pull(accounts.listed())


def test_racing_tenants_both_win(accounts: Accounts) -> None:
    """Two runs of two tenants that commit at one instant both land, without asking the API a second time."""
    meet = Barrier(2, timeout=60)
    accounts.on_ask = lambda _: meet.wait()
    with accounts.feed() as (first, _), accounts.feed() as (second, _), ThreadPoolExecutor(2) as pool:
        first.table.prepare(lake_schema(first.contract, "account"))
        runs = [pool.submit(_run, feed, key, key) for feed, key in ((first, "eu"), (second, "us"))]
        receipts = [run.result(timeout=60)[0] for run in runs]
    assert [(receipt.tenant, receipt.outcome) for receipt in receipts] == [("eu", "committed"), ("us", "committed")]
    assert sorted(key for key, _ in accounts.asked) == ["eu", "us"]
    assert set(accounts.finished()) == {Slice(START, accounts.now, "eu"), Slice(START, accounts.now, "us")}


def test_tenants_without_a_cursor_race_as_well(accounts: Accounts) -> None:
    """Tenants that are always pulled whole do not take each other's place."""
    meet = Barrier(2, timeout=60)
    accounts.on_ask = lambda _: meet.wait()
    stream = accounts.stream(cursor=None, version="updated_at")
    with accounts.feed(stream) as (first, _), accounts.feed(stream) as (second, _), ThreadPoolExecutor(2) as pool:
        first.table.prepare(lake_schema(first.contract, "account"))
        runs = [pool.submit(_run, feed, key, key) for feed, key in ((first, "eu"), (second, "us"))]
        assert [run.result(timeout=60)[0].outcome for run in runs] == ["committed", "committed"]
    assert sorted(key for key, _ in accounts.asked) == ["eu", "us"]


def test_the_same_tenant_twice_lands_once(accounts: Accounts) -> None:
    """Two runs of one tenant race as two runs of a stream do: one lands, the other says who was first."""
    meet = Barrier(2, timeout=60)
    accounts.on_ask = lambda _: meet.wait()
    with accounts.feed() as (first, _), accounts.feed() as (second, _), ThreadPoolExecutor(2) as pool:
        first.table.prepare(lake_schema(first.contract, "account"))
        runs = [pool.submit(_run, feed, name, "eu") for feed, name in ((first, "a"), (second, "b"))]
        outcomes = sorted(run.result(timeout=60)[0].outcome for run in runs)
    assert outcomes == ["committed", "taken"]
    accounts.on_ask = lambda _: None
    with accounts.feed() as (feed, _):
        assert feed.table.count() == 10


def test_whole_numbers_order_each_tenant(accounts: Accounts) -> None:
    """An integer cursor has a frontier of its own in each tenant, as far as that tenant's numbers go."""
    accounts.orders["us"] = accounts.orders["us"][:4]
    stream = accounts.stream(cursor=Cursor(field="id", kind="integer", start=0), version="updated_at")
    accounts.pull(stream)
    assert {done.tenant: done.end for done in accounts.finished(stream)} == {"eu": 10, "us": 4, "a/p 1": 10}


def test_partitions_of_one_tenant(accounts: Accounts) -> None:
    """Days of a tenant finish alone, in any order; its watermark waits for its own gap."""
    accounts.pull(accounts.daily(), tenants=["eu"], partitions=["2024-03-01", "2024-03-03"])
    accounts.pull(accounts.daily(), tenants=["us"], partitions=["2024-03-02"])
    assert of(accounts.finished(), "eu") == (Slice(START, START + DAY, "eu"), Slice(START + 2 * DAY, START + 3 * DAY, "eu"))
    assert watermark(accounts.finished(), START, "eu") == START + DAY
    assert watermark(accounts.finished(), START, "us") is None


def test_a_stream_that_gains_tenants_is_not_mixed_with_what_it_was(accounts: Accounts) -> None:
    """Rows without a tenant and rows with one would stand for the same record; the sync says so before it asks for anything."""
    plain = accounts.stream(tenants=None, path="/orders", params={"account": "eu"}, key=("id",), contract=f"{HERE}:Plain")
    accounts.pull(plain)
    accounts.asked.clear()
    with pytest.raises(LakeError, match=r"filled before the stream had tenants.*new name"):
        accounts.pull()
    assert not accounts.asked


def test_a_tenant_is_asked_for_only_where_there_are_some(accounts: Accounts) -> None:
    """A tenant of a stream without tenants, and one that is not in the fixed set, are refused before any request."""
    with accounts.feed(accounts.stream(tenants=None, path="/orders")) as (feed, _), pytest.raises(SpecError, match="has none"):
        list(sync(feed, "run", tenants=["eu"]))
    with accounts.feed() as (feed, _), pytest.raises(SpecError, match=r"no tenant 'xx'.*eu, us"):
        list(sync(feed, "run", tenants=["xx"]))
    assert not accounts.asked


def _run(feed: Feed, run_id: str, key: str) -> list[Receipt]:
    return list(sync(feed, run_id, tenants=[key]))
