"""The component in Dagster: the same definitions as the bundled sources have, several of it side by side, in quick imports."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest

import integration_assets
from integration_assets.components.load import TYPE
from integration_assets.orchestrate import build
from integration_assets.orchestrate.component import ApiSource
from integration_assets.sources import load_source
from integration_assets_tests.components.writing import MINIMAL, attributes

ROOT = Path(__file__).parents[2]


def defs(*components: ApiSource) -> dg.Definitions:
    """What a project with these components would load."""
    context = dg.ComponentTree.for_test().load_context
    return dg.Definitions.merge(*(component.build_defs(context) for component in components))


def test_its_definitions_are_those_of_the_source() -> None:
    """Assets, checks, jobs, schedules and sensors are what `build` makes of the same spec."""
    usgs = load_source("usgs")
    made, wanted = defs(ApiSource(usgs)).get_repository_def(), build([usgs]).get_repository_def()
    assert made.asset_graph.get_all_asset_keys() == wanted.asset_graph.get_all_asset_keys()
    assert made.asset_graph.asset_check_keys == wanted.asset_graph.asset_check_keys
    assert {job.name for job in made.get_all_jobs()} == {job.name for job in wanted.get_all_jobs()}
    assert {each.name for each in made.schedule_defs} == {each.name for each in wanted.schedule_defs}
    assert {each.name for each in made.sensor_defs} == {each.name for each in wanted.sensor_defs}


def test_several_stand_side_by_side() -> None:
    """Two components share their resources and leave the executor to the project."""
    one = ApiSource.from_attributes_dict(attributes=MINIMAL)
    other = ApiSource.from_attributes_dict(attributes=attributes(load_source("usgs")))
    together = defs(one, other)
    assert together.executor is None
    assert set(together.resources or {}) == {"stores"}
    keys = {key.to_user_string() for key in together.get_repository_def().asset_graph.get_all_asset_keys()}
    assert {"helpdesk/tickets", "warehouse/helpdesk/tickets", "usgs/earthquakes"} <= keys


def test_the_package_offers_it_by_its_name() -> None:
    """`integration_assets.ApiSource` is what files, `dg` and Python call it; nothing else is in the package's window."""
    assert f"{integration_assets.__name__}.{integration_assets.ApiSource.__name__}" == TYPE
    assert "ApiSource" in dir(integration_assets)
    with pytest.raises(AttributeError, match="no attribute 'ApiSourc'"):
        integration_assets.ApiSourc  # noqa: B018 - it is looked up


def test_the_package_is_registered_with_dg() -> None:
    """Wherever the package is installed, its entry point tells `dg` of the component."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["dagster_dg_cli.registry_modules"] == {"integration_assets": "integration_assets"}


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import integration_assets", ("dagster", "pydantic")),
        ("import integration_assets.sources as sources; sources.load_sources()", ("dagster", "pandas", "pandera", "pyarrow")),
        ("import integration_assets; integration_assets.ApiSource", ("pandas", "pandera", "pyarrow", "httpx", "deltalake")),
    ],
)
def test_it_costs_no_import_that_is_not_needed(code: str, unwanted: tuple[str, ...]) -> None:
    """The command line reads YAML sources without Dagster, and Dagster loads the component without the data libraries."""
    script = f"import sys, json; {code}; print(json.dumps([name for name in {unwanted!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603
    assert json.loads(done.stdout) == []
