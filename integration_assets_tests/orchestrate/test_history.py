"""What the event log's receipts prove of when partitions were pulled."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest

from integration_assets.orchestrate.history import last_pulls
from integration_assets.spec import Partitions
from integration_assets.spec.receipt import Receipt
from integration_assets_tests.orchestrate.running import LAKE

DAYS = Partitions(every="day", start=date(2024, 3, 1))
WHOLE, MINUTES = ("2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z"), ("2024-03-01T10:00:00Z", "2024-03-01T10:02:00Z")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance of Dagster that remembers."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def record(instance: dg.DagsterInstance, started: int | None, label: str = "2024-03-01", **changes: Any) -> None:  # noqa: ANN401
    """A materialization of the day, of a pull that began at that hour of its second day."""
    told = {
        "outcome": "committed",
        "slice": WHOLE,
        "started_at": at(started).isoformat() if started is not None else "",
        **changes,
    }
    receipt = Receipt(source="shop", stream="orders", run_id="r", **told)
    metadata = {"receipt": dg.MetadataValue.json(json.loads(receipt.to_json()))}
    instance.report_runless_asset_event(dg.AssetMaterialization(LAKE, partition=label, metadata=metadata))


def at(hour: int) -> datetime:
    """An hour of the second day."""
    return datetime(2024, 3, 2, hour, tzinfo=UTC)


def test_only_a_pull_of_the_whole_partition_counts(instance: dg.DagsterInstance) -> None:
    """A slice that another run took, a replay, and a refetch of minutes leave the day as old as its last whole pull."""
    record(instance, 1)
    record(instance, 2)
    record(instance, None, outcome="taken")
    record(instance, 5, outcome="replayed")
    record(instance, 6, slice=MINUTES)
    assert last_pulls(instance, LAKE, DAYS, ["2024-03-01", "2024-03-02"]) == {"2024-03-01": at(2)}


def test_a_partition_pulled_in_parts_is_as_old_as_the_oldest(instance: dg.DagsterInstance) -> None:
    """A day that never was pulled whole is not taken for closed because some minutes of it are new."""
    record(instance, 1, slice=(WHOLE[0], MINUTES[0]))
    record(instance, 9, slice=MINUTES)
    assert last_pulls(instance, LAKE, DAYS, ["2024-03-01"]) == {"2024-03-01": at(1)}


def test_a_tenants_day_is_its_own(instance: dg.DagsterInstance) -> None:
    """Of a stream with tenants, the day of one says nothing of another's."""
    record(instance, 1, "2024-03-01|eu", tenant="eu")
    record(instance, 3, "2024-03-01|us", tenant="us", slice=MINUTES)
    labels = ["2024-03-01|eu", "2024-03-01|us"]
    assert last_pulls(instance, LAKE, DAYS, labels) == {labels[0]: at(1), labels[1]: at(3)}
