"""The sensor over real runs: an event's record is in the warehouse before the event is done, whatever happens between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from integration_assets.inbox import drain
from integration_assets.inbox.event import Event
from integration_assets.inbox.store import Inbox, open_inbox
from integration_assets.orchestrate import build
from integration_assets.spec import Events, Stripe, Webhook
from integration_assets_tests.flow.accounts import START, Accounts
from integration_assets_tests.inbox.dagster import Daemon
from integration_assets_tests.inbox.upstream import source
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.shop import KEY, Shop


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """An API without orders yet."""
    with Shop().served() as api:
        monkeypatch.setenv("SHOP_KEY", KEY)
        monkeypatch.setenv("SHOP_URL", api.url)
        monkeypatch.setenv("SHOP_SINCE", (datetime.now(UTC) - timedelta(days=3)).date().isoformat())
        yield api


@pytest.fixture
def inbox(inbox_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """The inbox that the settings name."""
    monkeypatch.setenv("INTEGRATION_INBOX_URI", inbox_uri)
    with open_inbox(inbox_uri) as opened:
        yield opened


@pytest.fixture
def daemon(shop: Shop, inbox: Inbox, tmp_path: Path) -> Iterator[Daemon]:  # noqa: ARG001 - they set the environment
    """The sensor of the shop, ready to tick."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield Daemon(make_bench(source(), tmp_path, instance), "shop_inbox")


def change(shop: Shop, inbox: Inbox, id_: str, amount: int, at: datetime | None = None, *streams: str) -> None:
    """Something changes upstream, and the event of it comes."""
    moment = at or datetime.now(UTC)
    shop.orders = [order for order in shop.orders if order["id"] != id_]
    shop.orders.append({"id": id_, "amount": amount, "note": "", "updated_at": moment.isoformat()})
    inbox.put([Event("shop", f"{id_} {amount}", "order.updated", streams or ("orders", "returns"), at, datetime.now(UTC))])


def rows(daemon: Daemon, stream: str = "orders") -> list[tuple[str, int]]:
    """The warehouse's table."""
    found = daemon.bench.rows(f"SELECT id, amount FROM shop.{stream} ORDER BY id")
    return [(row["id"], row["amount"]) for row in found]


def states(inbox: Inbox) -> dict[str, int]:
    """How many items are in each state."""
    found: dict[str, int] = {}
    for count in inbox.counts():
        found[count.state] = found.get(count.state, 0) + count.rows
    return found


def test_a_source_with_events_has_a_sensor_that_is_stopped() -> None:
    """It targets the streams of the events, and someone has to switch it on."""
    (sensor,) = [one for one in build([source()]).sensors or [] if one.name == "shop_inbox"]
    assert isinstance(sensor, dg.SensorDefinition)
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert [one.name for one in build([source(events=None)]).sensors or [] if one.name.endswith("_inbox")] == []


def test_an_event_is_done_when_its_record_is_in_the_warehouse(daemon: Daemon, shop: Shop, inbox: Inbox) -> None:
    """A new record in the open day and in a stream without days: requested once, waited for, done when its run succeeded."""
    change(shop, inbox, "new", 1)
    requests = daemon.tick()
    assert states(inbox) == {"requested": 2}
    assert len(requests) == 2
    assert daemon.tick() == []
    assert "2 in runs under way" in daemon.said[-1]

    assert daemon.run(requests) == [True, True]
    assert daemon.tick() == []
    assert states(inbox) == {"acknowledged": 2}
    assert rows(daemon) == rows(daemon, "returns") == [("new", 1)]
    assert daemon.tick() == []
    assert daemon.said[-1] == "no events"


def test_a_record_that_shows_late_is_pulled_where_it_belongs(daemon: Daemon, shop: Shop, inbox: Inbox) -> None:
    """Both streams are pulled up to now; a record of two days ago then appears, which pulls of what is new pass by."""
    change(shop, inbox, "new", 1)
    daemon.run(daemon.tick())
    change(shop, inbox, "late", 2, datetime.now(UTC) - timedelta(days=2))
    assert daemon.run(daemon.tick()) == [True, True]
    daemon.tick()
    assert states(inbox) == {"acknowledged": 4}
    assert rows(daemon) == rows(daemon, "returns") == [("late", 2), ("new", 1)]


def test_an_event_that_comes_during_the_run_leads_to_another(daemon: Daemon, shop: Shop, inbox: Inbox) -> None:
    """The record changes once more after the run asked for it: the later event is not settled by that run."""
    change(shop, inbox, "a", 1, None, "returns")
    (first,) = daemon.tick()
    changed: list[int] = []

    def meanwhile() -> None:
        if not changed:
            changed.append(1)
            inbox.put([Event("shop", "during", "order.updated", ("returns",), None, datetime.now(UTC))])

    shop.on_ask = meanwhile
    daemon.run([first])
    (second,) = daemon.tick()
    assert states(inbox) == {"acknowledged": 1, "requested": 1}
    assert second.run_key != first.run_key
    change(shop, inbox, "a", 2, None, "returns")
    daemon.run([second])
    for _ in range(2):
        daemon.run(daemon.tick())
    assert states(inbox) == {"acknowledged": 3}
    assert rows(daemon, "returns") == [("a", 2)]


@pytest.mark.parametrize("daily", [True, False], ids=["by day", "without days"])
def test_the_tenants_of_a_stream_are_all_asked(tmp_path: Path, inbox: Inbox, *, daily: bool) -> None:
    """An event does not say whose it is; by the API's own clock, of a day that is over and of the one that is open."""
    accounts = Accounts(tmp_path)
    accounts.fill()
    accounts.now += timedelta(hours=13)
    events = Events(via=Webhook(signature=Stripe(secret="SHOP_HOOK")), streams={"*": "orders"})
    with accounts.served(), dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        described = accounts.source(accounts.daily() if daily else accounts.stream()).changed(events=events)
        daemon = Daemon(make_bench(described, tmp_path, instance), "accounts_inbox")
        accounts.orders["us"][3]["amount"] = 77_777
        accounts.orders["eu"].append(accounts.order("eu", 10))
        received = datetime.now(UTC) - timedelta(seconds=2)
        for day in (3, 10):
            inbox.put([Event("accounts", f"evt_{day}", "t", ("orders",), START + timedelta(days=day, hours=12), received)])
        assert daemon.run(daemon.tick()) == [True, True]
        daemon.tick()
        assert states(inbox) == {"acknowledged": 2}
        landed = {(account, id_): amount for account, id_, amount in accounts.rows()}
        assert landed["us", 4] == 77_777
        assert ("eu", 11) in landed


@pytest.mark.usefixtures("one_day")
def test_events_of_a_failed_run_wait_again(daemon: Daemon, shop: Shop, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the API refuses, events go back to pending with the attempts counted; when it answers, they are done."""
    monkeypatch.setattr(drain, "_FIRST_WAIT", timedelta(0))
    today = datetime.now(UTC)
    change(shop, inbox, "a", 1, today, "orders")
    shop.broken[f"{today:%Y-%m-%d}"] = 400
    for _ in range(2):
        assert daemon.run(daemon.tick()) == [False]
    requests = daemon.tick()
    assert [item.attempts for item in inbox.troubled(1)] == [2]
    shop.broken.clear()
    assert daemon.run(requests) == [True]
    daemon.tick()
    assert states(inbox) == {"acknowledged": 1}
    assert rows(daemon) == [("a", 1)]


def test_what_is_stuck_is_said_in_the_tick(daemon: Daemon, inbox: Inbox) -> None:
    """The sensor's message names the event, how often it was tried and why in vain."""
    inbox.put([Event("shop", "evt_9", "order.updated", ("orders",), None, datetime.now(UTC))])
    for _ in range(drain.STUCK):
        now = datetime.now(UTC)
        (item,) = inbox.pending("shop", "orders", now, now + timedelta(days=1), 10)
        inbox.request([item], "none", now)
        inbox.release([item], now + timedelta(hours=1), "the API's data is final up to yesterday")
    assert daemon.tick() == []
    assert "stuck: orders evt_9 after 5 runs (the API's data is final up to yesterday)" in daemon.said[-1]


def test_a_retried_run_counts_with_its_retries(daemon: Daemon, shop: Shop, inbox: Inbox) -> None:
    """The first run of a batch was lost and Dagster ran it again: the second one's slices settle the events."""
    change(shop, inbox, "a", 1, None, "returns")
    (asked,) = daemon.tick()
    job = daemon.bench.definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(asked.asset_selection or ())
    )
    lost = daemon.bench.instance.create_run_for_job(job, tags={"dagster/run_key": str(asked.run_key)})
    daemon.bench.instance.report_run_failed(lost)
    assert daemon.run([asked]) == [True]
    daemon.tick()
    assert states(inbox) == {"acknowledged": 1}


def test_what_was_done_long_ago_is_forgotten(daemon: Daemon, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an hour, after the days that the settings say; what is open stays."""
    monkeypatch.setenv("INTEGRATION_INBOX_DAYS", "2")
    old = datetime.now(UTC) - timedelta(days=3)
    inbox.put([Event("shop", "nothing", "ping", (), None, old)])
    daemon.tick()
    assert states(inbox) == {}
    inbox.put([Event("shop", "nothing", "ping", (), None, old)])
    daemon.tick()
    assert states(inbox) == {"ignored": 1}
