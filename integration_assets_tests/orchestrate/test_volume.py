"""The volume check: what it flags, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from integration_assets.orchestrate.checks.volume import ENOUGH, Verdict, judge, measure
from integration_assets.spec import Receipt
from integration_assets_tests.orchestrate.running import LAKE, Bench
from integration_assets_tests.orchestrate.shop import Shop

MONDAY = datetime(2024, 3, 4, tzinfo=UTC)
ZONE = ZoneInfo("UTC")


def receipt(records: int, start: datetime, hours: float = 24, filtered: int = 0) -> Receipt:
    """A slice of so many records of its own."""
    span = (start.isoformat(), (start + timedelta(hours=hours)).isoformat())
    return Receipt("shop", "orders", "run", "committed", span, fetched=records + filtered, accepted=records, filtered=filtered)


def verdict(one: Receipt, past: list[Receipt]) -> Verdict | None:
    """What the past says of a slice."""
    return judge(measure(one, ZONE), [measure(other, ZONE) for other in past])


def days(count: int, records: int, noise: int = 0) -> list[Receipt]:
    """So many days before the Monday, of about so many records each, by a fixed pattern of noise."""
    return [receipt(records + noise * (day % 5 - 2), MONDAY - timedelta(days=day + 1)) for day in range(count)]


def usual(one: Receipt, past: list[Receipt]) -> bool:
    """Whether the past calls a slice usual."""
    found = verdict(one, past)
    assert found is not None
    return found.usual


def test_too_little_past_says_nothing() -> None:
    """With fewer comparable slices than are wanted nothing is flagged, whatever came."""
    assert verdict(receipt(0, MONDAY), days(ENOUGH - 1, 1000)) is None
    assert verdict(receipt(0, MONDAY), days(ENOUGH, 1000)) is not None


@pytest.mark.parametrize(("records", "fine"), [(0, False), (300, False), (700, True), (1000, True), (1400, True), (2500, False)])
def test_far_fewer_or_more_than_usual_are_remarkable(records: int, fine: bool) -> None:
    """A thousand a day, give or take a few per cent: an empty or halved day and a doubled one stand out, a busy one does not."""
    assert usual(receipt(records, MONDAY), days(30, 1000, noise=20)) is fine


def test_a_stream_that_varies_is_given_room() -> None:
    """What is remarkable for a steady stream is not for one whose days differ by as much."""
    assert usual(receipt(100, MONDAY), days(30, 1000, noise=300))


def test_small_counts_vary_by_chance() -> None:
    """A stream of a few records a day is never flagged for a day without one."""
    assert usual(receipt(0, MONDAY), days(30, 5))
    assert not usual(receipt(0, MONDAY), days(30, 50))


def test_a_mondays_like_is_a_monday() -> None:
    """Quiet weekends do not make a quiet Monday usual, nor a quiet Sunday remarkable."""
    past = [
        receipt(100 if (MONDAY - timedelta(days=day)).weekday() > 4 else 1000, MONDAY - timedelta(days=day))
        for day in range(1, 90)
    ]
    found = verdict(receipt(150, MONDAY), past)
    assert found is not None
    assert (found.kind, found.usual, round(found.expected)) == ("Mondays", False, 1000)
    assert usual(receipt(110, MONDAY - timedelta(days=1)), past)


def test_a_long_slice_is_compared_by_the_hour() -> None:
    """A catch-up over three days has three times the records and is usual; what belongs to another slice does not count."""
    assert usual(receipt(3000, MONDAY, hours=72), days(30, 1000, noise=20))
    assert usual(receipt(1000, MONDAY, filtered=9000), days(30, 1000, noise=20))
    assert not usual(receipt(1000, MONDAY, hours=72), days(30, 1000, noise=20))


def test_snapshots_are_compared_pull_by_pull() -> None:
    """A full snapshot that lost most of its rows stands out from the ones before it."""
    past = [Receipt("shop", "countries", "run", "committed", (None, None), fetched=200 + number) for number in range(10)]
    assert usual(Receipt("shop", "countries", "run", "committed", (None, None), fetched=190), past)
    assert not usual(Receipt("shop", "countries", "run", "committed", (None, None), fetched=20), past)


def test_tenants_are_compared_with_themselves() -> None:
    """A large tenant's days say nothing of a small one's."""
    past = [replace(one, tenant="north") for one in days(30, 1000)] + [replace(one, tenant="south") for one in days(30, 50)]
    assert usual(replace(receipt(50, MONDAY), tenant="south"), past)
    assert not usual(replace(receipt(50, MONDAY), tenant="north"), past)
    assert verdict(replace(receipt(50, MONDAY), tenant="east"), past) is None


def test_the_check_says_its_numbers(bench: Bench, shop: Shop) -> None:
    """After nine days of forty orders a day with two is a warning, whose description has what was to be expected and of what."""
    shop.orders.clear()
    for day in range(9):
        shop.orders += [
            {"id": f"{day}-{number}", "amount": 1, "note": "", "updated_at": f"2024-03-{day + 1:02}T01:00:{number:02}+00:00"}
            for number in range(40)
        ]
    shop.fill(date(2024, 3, 10), days=1, each=2)
    first = bench.checks(bench.run(LAKE, partition="2024-03-01", to="2024-03-09"))["volume"]
    assert first.passed
    assert "Not judged" in str(first.description)

    check = bench.checks(bench.run(LAKE, partition="2024-03-10"))["volume"]
    assert not check.passed
    assert check.severity.value == "WARN"
    assert "2 records in [2024-03-10" in str(check.description)
    assert "some 40 are usual (median of 9 earlier slices), 15 to 65 are not remarkable" in str(check.description)
    assert check.metadata["usual"].value == pytest.approx(40)
