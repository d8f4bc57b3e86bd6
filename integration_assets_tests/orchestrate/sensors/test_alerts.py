"""People hear once of a run that failed, in numbers and names, whatever happens to the sending; and when it is right again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from integration_assets.orchestrate import build
from integration_assets.orchestrate.modes import MODE
from integration_assets.orchestrate.sensors import sending
from integration_assets.orchestrate.sensors.outcome import Evidence, check_message
from integration_assets_tests.alert.receiving import Mailbox, Posts, mailbox, posts
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench
from integration_assets_tests.orchestrate.sensors.ticking import Ticking
from integration_assets_tests.orchestrate.shop import KEY, Shop, source

RETRY = "dagster/will_retry"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Posts]:
    """A webhook that is set up as the only channel."""
    with posts() as taken:
        monkeypatch.setenv("INTEGRATION_ALERT_WEBHOOK_URL", taken.url)
        monkeypatch.setenv("INTEGRATION_ALERT_WEBHOOK_KEY", "shared")
        monkeypatch.setenv("INTEGRATION_DAGSTER_URL", "https://dagster.example/")
        yield taken


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mailbox that is set up beside it."""
    with mailbox() as box:
        monkeypatch.setenv("INTEGRATION_ALERT_SMTP", f"smtp+plain://127.0.0.1:{box.port}")
        monkeypatch.setenv("INTEGRATION_ALERT_MAIL_FROM", "dagster@example.com")
        monkeypatch.setenv("INTEGRATION_ALERT_MAIL_TO", "team@example.com")
        yield box


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Bench]:
    """Definitions whose API nobody asks: its runs are only written into Dagster's log."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield make_bench(source(), tmp_path, instance)


@pytest.fixture
def alerts(quiet: Bench) -> Ticking:
    """The sensor, not ticked yet."""
    return Ticking(quiet, "shop_alerts")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds by which the sensor's clock is ahead; a test appends."""
    ahead = [0.0]
    real = sending.now
    for module in ("sending", "alerts"):
        monkeypatch.setattr(f"integration_assets.orchestrate.sensors.{module}.now", lambda: real() + ahead[-1])
    return ahead


def fail(bench: Bench, **tags: str) -> dg.DagsterRun:
    """A run that ended without a step that failed."""
    run = dg.DagsterRun(job_name="shop_sync", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED, tags=tags)
    bench.instance.add_run(run)
    bench.instance.report_run_failed(run)
    return run


def succeed(bench: Bench) -> None:
    """A run that ended well."""
    run = dg.DagsterRun(job_name="shop_standing", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED)
    bench.instance.add_run(run)
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job_name="shop_standing")
    bench.instance.report_dagster_event(event, run_id=run.run_id)


def test_a_failed_run_is_told_in_numbers_and_a_good_one_after_it_as_well(
    shop: Shop, hook: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many slices failed, how many records were turned away, since when, why, what to do: and no key and no record."""
    monkeypatch.setenv("SHOP_KEY", KEY)

    def told(kind: str) -> list[Any]:
        return [message for message in hook.messages if message["kind"] == kind]

    shop.orders[4]["amount"] = "secret-of-a-customer"
    shop.broken["2024-03-03"] = 404
    with dg.DagsterInstance.ephemeral() as instance:
        bench = make_bench(source(shop.url), tmp_path, instance)
        alerts = Ticking(bench, "shop_alerts")
        alerts.tick()
        assert bench.run(LAKE, WAREHOUSE, partition="2024-03-01").success
        failed = bench.run(LAKE, WAREHOUSE, partition="2024-03-02", to="2024-03-04")
        assert not failed.success
        alerts.tick()
        (message,) = told("failed")
        assert message["title"].startswith("shop.orders: 1 of 3 slices failed, 1 records rejected, last good ")
        (about,) = message["streams"]
        assert (about["error"], about["slices"], about["missing"], about["rejected"]) == ("ResponseError", 3, 1, 1)
        assert "Check the stream's path and params against the API's manual." in "".join(message["lines"])
        assert message["url"] == f"https://dagster.example/runs/{failed.run_id}"
        text = "".join(body.decode() for body in hook.bodies)
        assert KEY not in text
        assert "secret-of-a-customer" not in text
        assert "out of order" not in text

        assert bench.run(WAREHOUSE).success
        assert bench.run(LAKE, WAREHOUSE, tags={MODE: "dry_run"}).success
        assert bench.run(LAKE, WAREHOUSE, tags={MODE: "replay"}).success
        alerts.tick()
        assert not told("recovered")  # nothing of what failed was done

        shop.broken.clear()
        assert bench.run(LAKE, WAREHOUSE, partition="2024-03-03").success
        alerts.tick()
        (recovered,) = told("recovered")
        assert recovered["title"].startswith("shop.orders: green again after ")


def test_what_failed_before_anyone_was_to_be_told_is_no_news(hook: Posts, alerts: Ticking) -> None:
    """Switching the sensor on tells of nothing old; from then on each failed run is told once."""
    fail(alerts.bench)
    assert alerts.tick().skip_message == "from now on"
    run = fail(alerts.bench)
    for _ in range(3):
        alerts.tick()
    (message,) = hook.messages
    assert message["key"] == f"{run.run_id}.failed"
    assert message["title"] == "shop_sync: the run failed, and none of its steps did (unknown)"


def test_a_run_that_dagster_retries_is_told_of_only_if_no_retry_comes(hook: Posts, alerts: Ticking, later: list[float]) -> None:
    """A retry that is there makes the first failure no news; one that never comes makes it so after a while."""
    alerts.tick()
    retried = fail(alerts.bench, **{RETRY: "true"})
    lost = fail(alerts.bench, **{RETRY: "true"})
    alerts.tick()
    alerts.bench.instance.add_run_tags(retried.run_id, {"dagster/auto_retry_run_id": str(uuid4())})
    later.append(60)
    alerts.tick()
    assert not hook.messages
    later.append(700)
    alerts.tick()
    assert [message["key"] for message in hook.messages] == [f"{lost.run_id}.failed"]


def test_a_message_that_is_not_taken_waits_and_is_not_lost(
    hook: Posts, box: Mailbox, alerts: Ticking, later: list[float]
) -> None:
    """A channel that is away gets the alert when it is back; the one that took it gets it once."""
    alerts.tick()
    hook.status = 503
    fail(alerts.bench)
    done = alerts.tick()
    assert "webhook: 127.0.0.1 answered 503" in done.skip_message
    assert (len(box.mails), len(hook.messages)) == (1, 0)
    hook.status = 200
    later.append(10)
    alerts.tick()
    assert not hook.messages  # its wait is not over
    later.append(60)
    alerts.tick()
    assert (len(box.mails), len(hook.messages)) == (1, 1)
    assert json.loads(str(alerts.cursor))["pending"] == []


def test_a_message_that_is_never_taken_is_given_up(hook: Posts, alerts: Ticking, later: list[float]) -> None:
    """After a day the alert is dropped, and the sensor's log says which."""
    alerts.tick()
    hook.status = 503
    fail(alerts.bench)
    alerts.tick()
    later.append(sending.GIVE_UP + 60)
    alerts.tick()
    assert json.loads(str(alerts.cursor))["pending"] == []


def test_a_message_that_a_channel_refuses_does_not_hold_back_the_others(hook: Posts, alerts: Ticking, later: list[float]) -> None:
    """While the first waits for its next try, those behind it are sent."""
    alerts.tick()
    hook.status = 400
    fail(alerts.bench)
    fail(alerts.bench)
    alerts.tick()
    hook.status = 200
    later.append(1)
    alerts.tick()
    assert len(hook.messages) == 1


def test_while_too_many_wait_the_log_is_read_no_further(
    hook: Posts, alerts: Ticking, later: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor stays small in a long outage of the channel; what was not read is read when it is over."""
    monkeypatch.setattr("integration_assets.orchestrate.sensors.alerts.WAITING", 3)
    monkeypatch.setattr("integration_assets.orchestrate.sensors.alerts._FAILURES", 2)
    alerts.tick()
    hook.status = 503
    for _ in range(9):
        fail(alerts.bench)
    for _ in range(4):
        alerts.tick()
    assert len(json.loads(str(alerts.cursor))["pending"]) == 4
    hook.status = 200
    for minutes in range(60, 1200, 60):
        later.append(minutes)
        alerts.tick()
    assert len({message["key"] for message in hook.messages}) == len(hook.messages) == 9


def test_without_a_channel_the_tick_says_which_variable_to_set(alerts: Ticking) -> None:
    """Nothing is sent, nothing is kept, and nobody has to look the setting up."""
    assert "INTEGRATION_ALERT_SLACK_URL" in alerts.tick().skip_message
    fail(alerts.bench)
    assert "no channel" in alerts.tick().skip_message


def test_a_check_is_told_when_it_turns_and_not_every_hour(hook: Posts, alerts: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check with the severity of an error is told of once, although its run succeeds each hour; and once when it passes."""
    found = Evidence(checks={(WAREHOUSE, "frontier_lag"): False})
    monkeypatch.setattr("integration_assets.orchestrate.sensors.alerts.evidence", lambda *_: found)

    alerts.tick()
    for _ in range(3):
        succeed(alerts.bench)
        alerts.tick()
    found.checks[WAREHOUSE, "frontier_lag"] = True
    succeed(alerts.bench)
    alerts.tick()
    told, again = hook.messages
    assert told["title"] == "shop.orders: check frontier_lag failed"
    assert again["title"].startswith("shop.orders frontier_lag: green again")


def test_a_stream_that_keeps_failing_is_told_of_once_a_day(
    hook: Posts, alerts: Ticking, later: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that fail as the last one did are no news for a day; another class of error is."""
    found = Evidence(failed={"shop__orders": ("AccessDeniedError", {})})
    monkeypatch.setattr("integration_assets.orchestrate.sensors.alerts.evidence", lambda *_: found)
    alerts.tick()
    for _ in range(3):
        fail(alerts.bench)
        alerts.tick()
    assert len(hook.messages) == 1
    found.failed["shop__orders"] = ("ResponseError", {})
    for seconds in (0.0, 60.0, 25 * 3600.0, 25 * 3600.0 + 60):
        later.append(seconds)
        fail(alerts.bench)
        alerts.tick()
    assert [message["streams"][0]["error"] for message in hook.messages] == [
        "AccessDeniedError",
        "ResponseError",
        "ResponseError",
    ]


def test_a_stream_is_right_when_what_failed_was_done(hook: Posts, alerts: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed merge is made good by a merge, and a failed pull by a pull: neither by the other."""
    found = Evidence()
    monkeypatch.setattr("integration_assets.orchestrate.sensors.alerts.evidence", lambda *_: found)
    alerts.tick()
    for error, other, same in (("WarehouseError", LAKE, WAREHOUSE), ("ResponseError", WAREHOUSE, LAKE)):
        hook.bodies.clear()
        found.failed, found.went = {"shop__orders": (error, {})}, set()
        fail(alerts.bench)
        alerts.tick()
        found.failed, found.went = {}, {"shop__orders"}
        for landed in (other, same):
            found.landed = {landed}
            succeed(alerts.bench)
            alerts.tick()
            assert [message["kind"] for message in hook.messages] == ["failed", *(["recovered"] if landed == same else [])]


def test_one_run_is_one_message_however_many_checks_failed() -> None:
    """All checks of a run are in its one message, by stream."""
    run = dg.DagsterRun(job_name="any", run_id=str(uuid4()))
    message = check_message(run, [("a.b", "one"), ("a.b", "two"), ("a.c", "one")], None)
    assert message.title == "a.b: check one, two failed; a.c: check one failed"


def test_sources_that_are_defined_apart_tell_of_their_own_runs(hook: Posts, alerts: Ticking, tmp_path: Path) -> None:
    """One sensor tells of all runs of a project; where each source is defined alone, no run is told of twice."""
    both = make_bench(source(), tmp_path, alerts.bench.instance)
    apart = source(name="other", tags={})
    everything = Ticking(Bench(build([source(), apart]), both.instance, both.stores), "alerts")
    alerts.tick()
    everything.tick()
    other = dg.DagsterRun(job_name="other_sync", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED)
    both.instance.add_run(other)
    both.instance.report_run_failed(other)
    alerts.tick()
    assert not hook.messages
    everything.tick()
    assert len(hook.messages) == 1
