"""What loading the definitions gives, and what it must not cost."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml  # type: ignore[import-untyped]

from integration_assets.errors import SpecError
from integration_assets.orchestrate import build
from integration_assets.orchestrate.attempts import CATCH_UP_TAG
from integration_assets.orchestrate.automation import sync_jobs
from integration_assets.sources import load_sources
from integration_assets.spec import Partitions
from integration_assets_tests.orchestrate.shop import source

ROOT = Path(__file__).parents[2]
HEAVY = ("pandas", "numpy", "pandera", "pyarrow", "duckdb", "deltalake", "httpx", "google.cloud", "google.api_core", "psycopg2")


def test_loading_imports_nothing_heavy_and_needs_no_secret() -> None:
    """A fresh process loads and validates all definitions without a data library, a secret or a lake."""
    script = (
        "import sys, json, integration_assets.definitions as module\n"
        "repository = module.defs().get_repository_def()\n"
        "repository.load_all_definitions()\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, env={"PATH": ""}
    )
    assert json.loads(done.stdout) == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts the system's threads by Linux's /proc")
def test_what_steps_are_forked_from_has_one_thread() -> None:
    """Loading the definitions starts no thread, so that steps can be forked from a process that did."""
    script = "import os, integration_assets.definitions as module; module.defs(); print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "1"


def test_every_source_has_its_assets_job_and_schedule() -> None:
    """Each stream of each source becomes two assets, and each source can be run as one job, nightly."""
    sources = load_sources()
    dg.Definitions.validate_loadable(build(sources))
    repository = build(sources).get_repository_def()
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    for each in sources:
        for stream in each.streams:
            assert {f"{each.name}/{stream.name}", f"warehouse/{each.name}/{stream.name}"} <= keys
        assert repository.has_job(f"{each.name}_sync")
        if each.schedule:
            assert repository.has_schedule_def(f"{each.name}_nightly")


def test_schedules_of_syncs_start_stopped() -> None:
    """Loading the project starts no sync: someone switches a schedule on. What only looks at what is there is on."""
    running = {
        schedule.name
        for schedule in build([source()]).get_repository_def().schedule_defs
        if schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    }
    assert running == {"shop_standing_checks_hourly"}


def test_the_catalogue_says_whose_and_what_it_is() -> None:
    """Group, owners, kinds, checks and links of a stream follow from its spec."""
    graph = build([source()]).get_repository_def().asset_graph
    lake = graph.get(dg.AssetKey(["shop", "orders"]))
    warehouse = graph.get(dg.AssetKey(["warehouse", "shop", "orders"]))
    assert (lake.group_name, list(lake.owners)) == ("shop", ["team:sales"])
    assert lake.metadata["docs"].value == "https://shop.example/docs"
    assert {f"dagster/kind/{kind}" for kind in ("api", "deltalake", "parquet")} <= set(lake.tags)
    assert lake.pools == {"shop"}
    assert isinstance(lake.partitions_def, dg.TimeWindowPartitionsDefinition)
    assert warehouse.partitions_def is None
    assert warehouse.parent_keys == {lake.key}
    api = graph.get(dg.AssetKey(["api", "shop", "orders"]))
    assert (lake.parent_keys, api.is_external, api.group_name) == ({api.key}, True, "shop")
    assert "`GET /orders`, json, paged by single." in str(api.description)
    assert "An order of a shop." in str(lake.description)
    assert "An order of a shop." in str(warehouse.description)
    assert {key.name for key in lake.check_keys} == {
        *("accounting_adds_up", "contract_held", "reject_ratio", "no_drift", "volume"),
    }
    assert {key.name for key in warehouse.check_keys} == {"keys_unique", "equals_lake", "freshness", "frontier_lag"}


def test_the_code_version_follows_contract_and_spec() -> None:
    """A description changes no code version; another key or another contract does."""
    from integration_assets.orchestrate.specs import code_version

    shop = source()
    orders = shop.stream("orders")
    version = code_version(shop, orders)
    assert code_version(shop, orders.model_copy(update={"description": "Other words."})) == version
    assert code_version(shop, orders.model_copy(update={"key": ("id", "amount")})) != version
    other = orders.model_copy(update={"contract": "integration_assets.sources.nyc_ops.contracts:Weather"})
    assert code_version(shop, other) != version


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"owners": ("nobody",)}, "owner"), ({"tags": {"tier": "a/b"}}, "tag")],
)
def test_what_dagster_refuses_is_said_in_the_words_of_the_spec(changes: dict[str, Any], field: str) -> None:
    """An owner or tag that Dagster would not take is an error that names the source and the rule."""
    with pytest.raises(SpecError) as error:
        build([source(**changes)])
    assert str(error.value).startswith("shop.orders: ")
    assert field in str(error.value.remedy)


def test_a_contract_module_that_is_not_there_fails_the_load() -> None:
    """A mistyped contract is found when definitions load, without importing it."""
    shop = source()
    lost = shop.stream("orders").model_copy(update={"contract": "integration_assets.sources.shop.contracts:Order"})
    with pytest.raises(SpecError, match=r"shop\.orders \(contract\): there is no module"):
        build([source(streams=(lost,))])


def test_a_source_with_two_kinds_of_partition_has_a_job_for_each() -> None:
    """A run has one kind of partition, so daily, monthly and unpartitioned streams are three jobs with clear names."""
    shop = source()
    orders = shop.stream("orders")
    monthly = orders.model_copy(update={"name": "bills", "partitions": Partitions(every="month", start=date(2024, 3, 1))})
    mixed = source(streams=(*shop.streams, monthly))
    assert [job.name for job in sync_jobs(mixed)] == ["shop_sync", "shop_day_sync", "shop_month_sync"]
    repository = build([mixed]).get_repository_def()
    nightly = {schedule.name for schedule in repository.schedule_defs if schedule.name.endswith("_nightly")}
    assert nightly == {"shop_nightly", "shop_day_nightly", "shop_month_nightly"}


def test_two_kinds_of_day_have_names_of_their_own() -> None:
    """Daily partitions of two time zones do not collide in one job name."""
    orders = source().stream("orders")
    berlin = orders.model_copy(
        update={"name": "bills", "partitions": Partitions(every="day", start=date(2024, 3, 1), timezone="Europe/Berlin")}
    )
    names = [job.name for job in sync_jobs(source(streams=(orders, berlin)))]
    assert names == ["shop_day_from_2024_03_01_utc_sync", "shop_day_from_2024_03_01_europe_berlin_sync"]
    build([source(streams=(orders, berlin))]).get_repository_def().load_all_definitions()


def test_the_instance_loads_from_our_dagster_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """dagster.yaml is one that Dagster accepts, with SQLite in DAGSTER_HOME, no telemetry, and slots freed after a kill."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] == 300
        assert instance.global_op_concurrency_default_limit == 4
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 4
        limits = {each["key"]: each["limit"] for each in queue.tag_concurrency_limits}
        assert limits == {"dagster/backfill": 2, CATCH_UP_TAG: 1}
        assert sum(limits.values()) < queue.max_concurrent_runs, "a place stays free for the night"
        assert instance.run_retries_enabled
    assert (tmp_path / "history").is_dir()


def test_workspace_and_dg_give_the_code_one_name() -> None:
    """Runs and schedules are remembered by the location's name, so both ways of starting Dagster must agree on it."""
    import tomllib

    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert entry["python_module"]["module_name"] == settings["dagster"]["module_name"]
    assert (
        entry["python_module"]["location_name"]
        == settings["dg"]["project"]["code_location_name"]
        == settings["dagster"]["code_location_name"]
    )
