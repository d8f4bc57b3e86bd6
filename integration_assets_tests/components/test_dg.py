"""The component in the hands of `dg`: scaffold, check and list as a user would run them, and a run of what was scaffolded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster.components.list import list_all_components_schema

from integration_assets.components.document import read
from integration_assets.components.load import FILE, TYPE, load
from integration_assets.orchestrate.component import ApiSource
from integration_assets_tests.components.project import Project
from integration_assets_tests.components.writing import write
from integration_assets_tests.conformance.fixtures import Exchange, Expect, Phase
from integration_assets_tests.conformance.replay import serving


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project with one source, scaffolded and not touched."""
    made = Project.made(tmp_path_factory.mktemp("dg"))
    options = ("--base-url", "https://helpdesk.example/api", "--stream", "tickets")
    done = made.here("scaffold", "defs", TYPE, "helpdesk", *options)
    assert done.status == 0, done.said
    return made


@contextmanager
def billing(project: Project, *changes: tuple[str, str]) -> Iterator[tuple[Path, list[int]]]:
    """A second source that is the first one but for some mistakes: its file, and the line of each."""
    good = (project.folder("helpdesk") / FILE).read_text().replace("helpdesk", "billing")
    bad = good
    for old, new in changes:
        assert good.count(old) == 1
        bad = bad.replace(old, new)
    path = write(project.folder("billing"), bad)
    yield path, [good[: good.index(old)].count("\n") + 1 for old, _ in changes]
    path.unlink()
    path.parent.rmdir()


def test_a_scaffolded_source_is_checked_listed_and_loaded(project: Project) -> None:
    """What `dg scaffold defs` writes passes `dg check defs` and its YAML, and is an API, two tables, a job and a schedule."""
    done = project.dg("check", "defs")
    assert done.status == 0, done.said
    assert "All component YAML validated" in done.out
    listed = json.loads(project.here("list", "defs", "--json").out)
    assert [asset["asset_key"] for asset in listed["assets"]] == [
        "api/helpdesk/tickets",
        "helpdesk/tickets",
        "warehouse/helpdesk/tickets",
    ]
    assert "helpdesk_sync" in {job["name"] for job in listed["jobs"]}
    assert "helpdesk_nightly" in {schedule["name"] for schedule in listed["schedules"]}
    assert listed["assets"][1]["source"] == f"src/my_project/defs/helpdesk/{FILE}:1"


def test_a_scaffolded_source_runs(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job pulls the API into the lake and merges it into the warehouse."""
    path = project.folder("helpdesk") / FILE
    rows = [{"id": number, "updated_at": f"2024-03-01T0{number}:00:00Z", "state": "open"} for number in (1, 2)]
    body = json.dumps({"data": rows, "links": {"next": None}})
    exchange = Exchange("/tickets", {}, 200, {"Content-Type": "application/json"}, body)
    phase = Phase(datetime(2024, 3, 2, tzinfo=UTC), (exchange,), Expect(2))
    values = read(path).value
    assert isinstance(values, dict)
    component = ApiSource.from_attributes_dict(attributes=values["attributes"])
    defs = component.build_defs(dg.ComponentTree.for_test().load_context)
    with serving(load(path), phase, {"HELPDESK_KEY": "loopback-only"}) as api:
        monkeypatch.setenv("HELPDESK_KEY", "loopback-only")
        monkeypatch.setenv("INTEGRATION_HELPDESK_BASE_URL", api.url)
        monkeypatch.setenv("INTEGRATION_LAKE_URI", str(tmp_path / "lake"))
        monkeypatch.setenv("INTEGRATION_WAREHOUSE_URI", str(tmp_path / "warehouse.duckdb"))
        with dg.DagsterInstance.ephemeral() as instance:
            job = defs.resolve_job_def("helpdesk_sync")
            assert job.execute_in_process(instance=instance).success
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as warehouse:
        assert warehouse.sql("SELECT id, state FROM helpdesk.tickets ORDER BY id").fetchall() == [(1, "open"), (2, "open")]


def test_dg_check_yaml_points_at_the_line(project: Project) -> None:
    """A wrong field, type and choice are each told with their line and a caret."""
    mistakes = {
        ("key: [id]", "keys: [id]"): "Additional properties are not allowed ('keys' was unexpected)",
        ("kind: next_link", "kind: nextlink"): "'nextlink' is not one of [",
        ("lookback: PT1H", "lookback: []"): "[] is not of type 'string', 'integer'",
    }
    with billing(project, *mistakes) as (path, lines):
        done = project.here("check", "yaml", str(path.parent))
    assert done.status == 1
    for line, said in zip(lines, mistakes.values(), strict=True):
        assert f"{path}:{line} - {TYPE} attributes.streams" in done.out
        assert f"^ {said}" in done.out


def test_dg_check_defs_points_at_the_line_of_what_does_not_fit_together(project: Project) -> None:
    """A rule over several settings, which a schema cannot know, is told with the file's line when definitions load."""
    with billing(project, ("start: 2024-01-01T00:00:00Z", "start: 2024-01-01T00:00:00")) as (path, (line,)):
        done = project.dg("check", "defs")
    assert done.status == 1
    assert f"at {path.relative_to(project.root)}:{line}" in done.said
    assert "time zone" in done.said


def test_dg_lists_the_component(project: Project) -> None:
    """It is there by its short name, with its summary, wherever the package is installed."""
    listed = json.loads(project.here("list", "components", "--package", "integration_assets", "--json").out)
    assert [each["key"] for each in listed["items"]] == [TYPE]
    assert listed["items"][0]["summary"].startswith("An API, as tables")


def test_editors_get_the_schema_of_the_whole_file() -> None:
    """`dg utils generate-component-schema` has the component's type and the descriptions of its settings."""
    schema = list_all_components_schema(entry_points=False, extra_modules=("integration_assets",))
    assert schema["properties"]["type"]["const"] == TYPE
    assert "description" in schema["$defs"]["Stream"]["properties"]["key"]
