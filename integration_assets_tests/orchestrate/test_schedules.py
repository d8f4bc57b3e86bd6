"""When the nights begin, and what they ask for."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from integration_assets.errors import SpecError
from integration_assets.orchestrate import build
from integration_assets.orchestrate.automation import begins
from integration_assets.spec import Source
from integration_assets_tests.orchestrate.shop import source

DEFAULT = "0 2 * * *"


def test_a_night_asks_for_one_run_of_everything_that_is_due() -> None:
    """The tick asks for one run, without a partition and ahead of backfills: the run itself finds out what is due."""
    repository = build([source()]).get_repository_def()
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2024, 3, 10, 2, 0, tzinfo=UTC), repository_def=repository
    )
    (wanted,) = repository.get_schedule_def("shop_nightly").evaluate_tick(context).run_requests or []
    assert (wanted.partition_key, wanted.asset_selection) == (None, None)
    assert wanted.tags["dagster/priority"] == "10"


def test_fifty_nights_do_not_begin_at_once() -> None:
    """Sources with the default schedule are spread over half an hour; each begins at the same minute every night."""
    crons = [begins(source(name=f"shop_{number}")) for number in range(50)]
    minutes = [int(str(cron).split()[0]) for cron in crons]
    assert {str(cron).split(maxsplit=1)[1] for cron in crons} == {"2 * * *"}
    assert max(minutes) <= 30
    assert len(set(minutes)) > 20
    assert crons == [begins(source(name=f"shop_{number}")) for number in range(50)]


@pytest.mark.parametrize(
    ("changes", "cron"),
    [
        ({"schedule": "15 4 * * *"}, "15 4 * * *"),
        ({"schedule": DEFAULT, "jitter": timedelta(0)}, DEFAULT),
        ({"schedule": "*/15 * * * *", "jitter": timedelta(hours=1)}, "*/15 * * * *"),
        ({"schedule": "@daily", "jitter": timedelta(hours=1)}, "@daily"),
    ],
)
def test_a_schedule_that_is_written_is_kept_to_the_minute(changes: dict[str, object], cron: str) -> None:
    """Only the default is spread by itself; a cron whose minute is no number cannot be."""
    assert begins(source(**changes)) == cron


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [("45 23 * * *", {"23"}), ("45 7 * * 1-5", {"7", "8"}), ("50 * * * *", {"*"}), ("50 6,18 1 * *", {"6,18"})],
)
def test_the_jitter_moves_minutes_and_keeps_the_days(schedule: str, hours: set[str]) -> None:
    """A night that is spread stays on its day, whatever the cron's other fields are."""
    crons = [str(begins(source(name=f"s{number}", schedule=schedule, jitter=timedelta(hours=1)))).split() for number in range(40)]
    assert {cron[1] for cron in crons} == hours
    assert {tuple(cron[2:]) for cron in crons} == {tuple(schedule.split()[2:])}
    assert all(0 <= int(cron[0]) < 60 for cron in crons)


def test_a_jitter_beyond_an_hour_is_refused() -> None:
    """It would move nights into the day."""
    with pytest.raises(SpecError, match=r"shop \(jitter\)"):
        source(jitter=timedelta(hours=2))


@pytest.mark.parametrize(("setting", "status"), [("off", "STOPPED"), ("on", "RUNNING")])
def test_one_setting_switches_automation_on(monkeypatch: pytest.MonkeyPatch, setting: str, status: str) -> None:
    """A laptop starts nothing by itself; in production schedules and the catch-up run from the start."""
    monkeypatch.setenv("INTEGRATION_AUTOMATION", setting)
    repository = build([source()]).get_repository_def()
    assert repository.get_schedule_def("shop_nightly").default_status.value == status


def test_a_wrong_setting_is_named_when_definitions_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped value does not quietly leave production without its nights."""
    monkeypatch.setenv("INTEGRATION_AUTOMATION", "yes")
    with pytest.raises(SpecError, match="INTEGRATION_AUTOMATION"):
        build([source()])


def test_a_source_without_a_schedule_has_no_night() -> None:
    """It is pulled by hand or by a sensor."""
    unscheduled: Source = source(schedule=None)
    assert [each.name for each in build([unscheduled]).get_repository_def().schedule_defs if "nightly" in each.name] == []
