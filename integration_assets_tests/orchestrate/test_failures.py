"""What becomes of each class of error, and that no secret and no bare traceback is in it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from integration_assets.errors import (
    AccessDeniedError,
    PageTokenExpiredError,
    SpecError,
    TransientError,
    UpstreamUnavailableError,
    WarehouseBusyError,
)
from integration_assets.orchestrate.failures import REPLANS, WAITS, decide
from integration_assets.spec import Partitions
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench
from integration_assets_tests.orchestrate.shop import KEY, Shop, source


@pytest.mark.parametrize("error", [UpstreamUnavailableError("away"), WarehouseBusyError("held"), TransientError("reset")])
def test_what_passes_is_waited_for_and_then_left_to_the_run(error: Any) -> None:  # noqa: ANN401 - one of three errors
    """An outage is tried again after growing waits; after the last one the failure still allows a retry of the run."""
    decisions = [decide(error, tries) for tries in range(len(WAITS) + 1)]
    assert [each.seconds_to_wait for each in decisions if isinstance(each, dg.RetryRequested)] == list(WAITS)
    assert isinstance(decisions[-1], dg.Failure)
    assert decisions[-1].allow_retries


@pytest.mark.parametrize("error", [AccessDeniedError("no", remedy="Renew the key."), SpecError("wrong", remedy="Mend it.")])
def test_what_a_retry_cannot_mend_is_not_retried(error: Any) -> None:  # noqa: ANN401 - one of two errors
    """A refused key or a wrong spec fails at once, says what to do, and forbids retries."""
    failure = decide(error.at("shop", "orders"), 0)
    assert isinstance(failure, dg.Failure)
    assert not failure.allow_retries
    assert failure.description == str(error)
    assert failure.metadata["remedy"].value == error.remedy
    assert failure.metadata["stream"].value == "orders"


def test_a_lost_race_is_planned_again_soon() -> None:
    """What the plan rested on has changed: the step begins again at once, a few times."""
    decisions = [decide(PageTokenExpiredError("aged out"), tries) for tries in range(REPLANS + 1)]
    assert [type(each) for each in decisions] == [dg.RetryRequested] * REPLANS + [dg.Failure]


def test_a_bad_key_fails_once_and_says_what_to_do(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the API refuses is one failure with the remedy, not a traceback, and the key is nowhere in the log."""
    monkeypatch.setenv("SHOP_KEY", "shop-wrong-key-91c2")
    run = bench.run(LAKE, WAREHOUSE, partition="2024-03-01")

    assert not run.success
    data = bench.failure(run)
    assert data.error.cls_name == "Failure"
    assert data.error.cause is None
    assert data.error.context is None
    assert "shop.orders" in data.user_failure_data.description
    assert data.user_failure_data.metadata["error"].value == "AccessDeniedError"
    assert data.user_failure_data.metadata["remedy"].value
    log = "".join(str(entry) for entry in bench.instance.all_logs(run.run_id))
    assert "shop-wrong-key-91c2" not in log
    assert not [event for event in run.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]


def test_a_missing_secret_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the secret the run names the variable to set."""
    monkeypatch.delenv("SHOP_KEY")
    run = bench.run(LAKE, partition="2024-03-01")
    assert "Set the environment variable SHOP_KEY." in bench.failure(run).user_failure_data.description


def test_the_key_is_in_no_event_of_a_good_run(bench: Bench) -> None:
    """The credential is in no event, no metadata and no log line of a run that works."""
    run = bench.run(LAKE, WAREHOUSE, partition="2024-03-01")
    assert run.success
    assert KEY not in "".join(str(entry) for entry in bench.instance.all_logs(run.run_id))


@pytest.mark.usefixtures("one_day")
def test_a_partition_that_has_not_begun_for_the_api_fails_clearly(
    shop: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A closed day of which the API has nothing final yet is refused with the moment that its data is final up to."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    today = datetime.now(UTC).date()
    orders = source().stream("orders")
    assert orders.cursor is not None
    slow = orders.model_copy(
        update={
            "cursor": orders.cursor.model_copy(update={"safety_lag": timedelta(days=3)}),
            "partitions": Partitions(every="day", start=today - timedelta(days=5)),
        }
    )
    with dg.DagsterInstance.ephemeral() as instance:
        bench = make_bench(source(shop.url, streams=(slow,)), tmp_path, instance)
        run = bench.run(LAKE, partition=str(today - timedelta(days=1)))
        data = bench.failure(run)
    assert "has not begun: the API's data is final up to" in data.user_failure_data.description
    assert data.user_failure_data.metadata["error"].value == "SpecError"


def test_a_wrong_setting_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are read when a run begins, and a wrong one is named there."""
    monkeypatch.setenv("INTEGRATION_WAREHOUSE_WAIT", "soon")
    run = bench.run(LAKE, partition="2024-03-01")
    assert "INTEGRATION_WAREHOUSE_WAIT" in bench.failure(run).user_failure_data.description
