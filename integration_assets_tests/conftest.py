"""For every test: limits that no other test, and no run on this machine, shares."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from integration_assets_tests.bigquery.fixtures import (
    bigquery_client,
    bigquery_emulator,
    bigquery_warehouse,
    gcs_for_bigquery,
    gcs_lake,
)

__all__ = ["bigquery_client", "bigquery_emulator", "bigquery_warehouse", "gcs_for_bigquery", "gcs_lake"]

# Where nothing compiled is kept, each of the processes that tests start compiles Dagster anew, at twice the price of its work.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

LONG_FIRST = (
    "docs/test_docs.py",
    "flow/test_bad_input.py",
    "e2e/test_ui.py",
    "campaign/test_campaign.py",
    "land/parity/test_merging.py",
    "orchestrate/test_backfill.py",
    "chaos/test_chaos.py",
    "orchestrate/test_catchup_sensor.py",
    "demo/test_demo.py",
    "orchestrate/test_tenants.py",
    "components/test_dg.py",
    "orchestrate/test_runs.py",
    "extract/test_limits.py",
    "land/parity/test_history.py",
    "flow/test_truth.py",
    "orchestrate/test_side_by_side.py",
    "flow/test_gcs.py",
    "flow/test_bigquery.py",
    "orchestrate/test_modes.py",
    "land/parity/test_fingerprint.py",
    "flow/test_parallel.py",
    "resume/test_killed.py",
    "sweep/test_sweep.py",
    "fanout/test_truth.py",
)
"""Files that take more than about ten seconds. None of them is the last to end, with one process left to wait for it; those
that wait for others and those that calculate take turns."""


@pytest.fixture
def one_day() -> None:
    """For a test that must begin and end on one day, UTC: in a day's last half minute it waits for the next."""
    left = 86_400 - time.time() % 86_400
    if left < 30:
        time.sleep(left + 0.1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: `--no-loadscope-reorder` hands files out in this order."""
    here = Path(__file__).parent
    place = {here / name: number for number, name in enumerate(LONG_FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The processes of fixtures that outlive a test keep their limits in a folder of this session."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session", autouse=True)
def _migrations_read_once() -> Iterator[None]:
    """A new Dagster instance reads all of Dagster's hundred migrations to learn the newest one: once is enough."""
    read, known = ScriptDirectory.from_config, dict[str | None, ScriptDirectory]()

    def from_config(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in known:
            known[place] = read(config)
        return known[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        yield


@pytest.fixture(autouse=True)
def _own_limits(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What one test spends, pauses or breaks is not met by the next, though it may ask at the same port."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder
