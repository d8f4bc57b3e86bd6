"""What Dagster makes of a sweep: job and schedule from the spec, an observation on the table, a failure when it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from integration_assets.errors import SpecError
from integration_assets.orchestrate import StoresResource, build
from integration_assets.spec import Limits, Source
from integration_assets_tests.sweep.register import IDS, Register

TABLE = dg.AssetKey(["warehouse", "mini", "items"])


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    """Forty items, pulled and merged."""
    api = Register(tmp_path)
    api.fill(40)
    with api.served():
        api.pull(api.swept())
        yield api


def definitions(register: Register, **changes: Any) -> dg.Definitions:  # noqa: ANN401 - any setting of a stream
    """The register's definitions over its own stores."""
    source = Source(name="mini", base_url=register.url, streams=(register.swept(**changes),), limits=Limits(attempts=1))
    folder = register.folder
    stores = StoresResource(lake_uri=str(folder / "lake"), warehouse_uri=str(folder / "warehouse.duckdb"))
    return build([source], {"stores": stores})


def test_a_job_sweeps_and_says_what_it_did(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's observation has the counts; a dry run writes nothing; a refused list fails the run for good and says why."""
    monkeypatch.setenv("INTEGRATION_LIMITS_URI", str(register.folder / "limits"))
    job = definitions(register).resolve_job_def("mini_items_sweep")
    register.drop(7)
    config = {"ops": {"mini__items__sweep": {"config": {"dry_run": True}}}}
    with dg.DagsterInstance.ephemeral(tempdir=str(register.folder)) as instance:

        def last() -> dict[str, Any]:
            (record,) = instance.fetch_observations(TABLE, limit=1).records
            assert record.asset_observation
            return {name: entry.value for name, entry in record.asset_observation.metadata.items()}

        assert job.execute_in_process(instance=instance, run_config=config).success
        assert (last()["sweep"], last()["rows not listed"], last()["rows deleted"]) == ("dry-run", 1, 0)
        assert len(register.live()) == 40
        run = job.execute_in_process(instance=instance, tags={"user": "ada"})
        assert run.success
        told = last()
        assert (told["sweep"], told["keys listed"], told["rows live before"], told["rows deleted"]) == ("swept", 39, 40, 1)
        assert (told["by"], told["receipt"]["run_id"]) == ("ada", run.run_id)
        assert 7 not in register.live()
        assert instance.get_latest_materialization_event(TABLE) is None, "a sweep makes no table look fresh"

        register.list_as = []
        run = job.execute_in_process(instance=instance, raise_on_error=False)
        (failed,) = [event for event in run.all_events if event.is_step_failure]
        assert failed.step_failure_data.error
        assert "it is empty, and the table has 39 live rows" in failed.step_failure_data.error.message
        assert (last()["sweep"], last()["rows deleted"]) == ("refused", 0)


def test_the_schedule_is_the_spec_s(register: Register) -> None:
    """Weekly unless it is said otherwise, none where None is said, and a cron that is none is found when definitions load."""
    found = definitions(register).get_repository_def()
    schedule = found.get_schedule_def("mini_items_sweep")
    assert (schedule.cron_schedule, schedule.job_name) == ("30 4 * * 0", "mini_items_sweep")
    without = definitions(register, sweep=IDS.changed(schedule=None)).get_repository_def()
    assert not without.has_schedule_def("mini_items_sweep")
    assert without.has_job("mini_items_sweep")
    assert not definitions(register, sweep=None).get_repository_def().has_job("mini_items_sweep")
    with pytest.raises(SpecError, match="'every week' is no cron") as error:
        definitions(register, sweep=IDS.changed(schedule="every week"))
    assert (error.value.stream, error.value.field) == ("items", "sweep.schedule")
