"""What an operator does in Dagster's UI, done in a real browser against a live webserver, daemon and API."""

from __future__ import annotations

import os
import re
import time

import pytest
from playwright.sync_api import Page, expect

from integration_assets_tests.e2e.stack import Stack, until

_FUTURE = """query($selector: ScheduleSelector!) { scheduleOrError(scheduleSelector: $selector) {
  ... on Schedule { futureTicks(limit: 1) { results { timestamp } } } } }"""
_TICKS = """query($selector: InstigationSelector!) { instigationStateOrError(instigationSelector: $selector) {
  ... on InstigationState { ticks { status runIds } } } }"""
_REPOSITORY = {"repositoryLocationName": "integration_assets", "repositoryName": "__repository__"}


def ended(stack: Stack, **tags: str) -> list[str]:
    """The statuses of the runs with these tags (`_` for `/`), once none of them is under way."""
    wanted = {name.replace("_", "/", 1): value for name, value in tags.items()}
    found = [run["status"] for run in stack.runs() if wanted.items() <= {tag["key"]: tag["value"] for tag in run["tags"]}.items()]
    return found if found and not {"QUEUED", "STARTING", "STARTED", "NOT_STARTED"} & set(found) else []


def switch_on(page: Page) -> None:
    """Turn on the sensor or schedule whose page this is."""
    page.locator("label:has(input[type=checkbox])").first.click()
    expect(page.locator("input[type=checkbox]").first).to_be_checked()


def test_a_click_materializes_a_stream_and_shows_what_it_did(stack: Stack, page: Page) -> None:
    """Materialize makes the asset green, with its checks passed, its rows counted and its columns described."""
    daemon = stack.daemon()
    page.goto(f"{stack.url}/assets/nyc_ops/airlines")
    page.get_by_role("button", name="Materialize").first.click()
    expect(page.get_by_text(re.compile("Launched run"))).to_be_visible()
    until(lambda: stack.runs() and all(run["status"] == "SUCCESS" for run in stack.runs()), "the run")
    page.reload()
    expect(page.get_by_text("Row count").first).to_be_visible()
    expect(page.get_by_text("Its two-letter code.").first).to_be_visible()
    expect(page.get_by_text("records fetched").first).to_be_attached()
    page.goto(f"{stack.url}/assets/nyc_ops/airlines?view=checks")
    expect(page.get_by_text("1 receipts add up").first).to_be_visible()
    expect(page.get_by_text("Passed").first).to_be_visible()
    assert daemon.poll() is None


def test_a_backfill_over_a_range_fills_the_bar(stack: Stack, page: Page) -> None:
    """A range chosen in the dialog becomes runs of several partitions, each partition with an event of its own."""
    page.goto(f"{stack.url}/assets/nyc_ops/flights")
    page.get_by_role("button", name="Materialize").first.click()
    days = page.get_by_role("dialog").get_by_role("textbox").first
    days.fill("[2012-12-31...2013-01-03], 2013-01-06")
    days.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Launch (backfill|5 runs)")).click()
    page.goto(f"{stack.url}/assets/nyc_ops/flights?view=partitions")
    expect(page.get_by_text(re.compile(r"Materialized \(5\)"))).to_be_visible(timeout=180_000)
    page.goto(f"{stack.url}/assets/nyc_ops/flights?view=partitions&partition=2013-01-06")
    expect(page.get_by_text("rows accepted").first).to_be_visible()
    expect(page.get_by_text("[2013-01-06T00:00:00Z, 2013-01-07T00:00:00Z)").first).to_be_visible()


def test_a_failing_check_says_why(stack: Stack, page: Page) -> None:
    """Records that break the contract turn its check yellow, with the reason, and their neighbours land all the same."""
    stack.sandbox.faults([{"path": "/v1/airports", "kind": "bad_rows", "share": 0.01, "field": "lat", "value": 123.0}])
    stack.materialize("airports")
    page.goto(f"{stack.url}/assets/nyc_ops/airports?view=checks&checkDetail=contract_held")
    expect(page.get_by_text(re.compile("records are in quarantine")).first).to_be_visible(timeout=180_000)
    page.get_by_text("[Show Markdown]").first.click()
    expect(page.get_by_text(re.compile("lat: must be")).first).to_be_visible()
    stack.sandbox.clear_faults()


@pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="a minute long; set INTEGRATION_SOAK")
def test_a_change_upstream_becomes_a_run(stack: Stack, page: Page) -> None:
    """The sensor is turned on, the API has something new, and a run appears and succeeds."""
    page.goto(f"{stack.url}/locations/integration_assets/sensors/nyc_ops_changes")
    switch_on(page)
    until(lambda: ended(stack, dagster_sensor_name="nyc_ops_changes"), "the first look's run")
    before = ended(stack, dagster_sensor_name="nyc_ops_changes")
    stack.sandbox.advance(6 * 3600)
    until(lambda: len(ended(stack, dagster_sensor_name="nyc_ops_changes")) > len(before), "the change's run")
    assert set(ended(stack, dagster_sensor_name="nyc_ops_changes")) == {"SUCCESS"}
    page.goto(f"{stack.url}/runs")
    expect(page.get_by_text("nyc_ops_changes").first).to_be_visible()


@pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="a minute long; set INTEGRATION_SOAK")
def test_the_night_comes(stack: Stack, page: Page) -> None:
    """The schedule is turned on, the daemon's clock reaches its hour, and the tick asks for a run."""
    selector = {**_REPOSITORY, "scheduleName": "nyc_ops_nightly"}
    page.goto(f"{stack.url}/locations/integration_assets/schedules/nyc_ops_nightly")
    switch_on(page)
    due = stack.ask(_FUTURE, selector=selector)["scheduleOrError"]["futureTicks"]["results"][0]["timestamp"]
    stack.daemon(due - time.time() + 1)
    asked = {**_REPOSITORY, "name": "nyc_ops_nightly"}
    until(
        lambda: [tick["status"] for tick in stack.ask(_TICKS, selector=asked)["instigationStateOrError"]["ticks"]] == ["SUCCESS"],
        "the tick",
    )
    until(lambda: "SUCCESS" in ended(stack, dagster_schedule_name="nyc_ops_nightly"), "the night's run")
    page.goto(f"{stack.url}/runs")
    expect(page.get_by_text("nyc_ops_nightly").first).to_be_visible()
