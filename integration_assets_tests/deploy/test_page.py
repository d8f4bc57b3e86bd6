"""docs/gcp.md and deploy/README.md.

Proven: the commands of the project's own programs parse and name what there is, and the lines that fill in the overlays leave
nothing to fill in. Not proven: any command of gcloud, bq, terraform, docker, kubectl or helm.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration_assets.sources import load_source
from integration_assets_tests.deploy.reading import DEPLOY, ROOT, commands, leaves, parse
from integration_assets_tests.deploy.terraform import resources

PAGE = ROOT / "docs" / "gcp.md"
FILLED = {
    "PROJECT": "my-project",
    "IMAGE": "europe-west1-docker.pkg.dev/my-project/integration/integration-assets",
    "TAG": "12345e6",
    "LOCATION": "EU",
    "POSTGRES": "10.1.2.3",
}


def fill(overlay: str, folder: Path) -> Any:  # noqa: ANN401 - YAML is what it is
    """The overlay after the page's own `sed`, as YAML."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if line.startswith("sed ") and f" {overlay} > " in line]
    target = folder / line.rsplit("> ", 1)[1]
    command = line.rsplit(" > ", 1)[0].replace(overlay, str(ROOT / overlay))
    done = subprocess.run(  # noqa: S602 - the page's own words
        command, shell=True, check=True, capture_output=True, text=True, cwd=folder, env={"PATH": os.environ["PATH"], **FILLED}
    )
    target.write_text(done.stdout, encoding="utf-8")
    return yaml.safe_load(done.stdout)


def test_the_commands_of_our_programs_parse() -> None:
    """Each `dagster` and `integration` of the pages is a command with options that exist, for jobs and schedules there are."""
    from integration_assets.definitions import defs

    found = [*commands(PAGE), *commands(DEPLOY / "README.md")]
    assert {argv[0] for argv in found} == {"dagster", "integration"}
    loaded = defs()
    names = {schedule.name for schedule in loaded.schedules or []} | {job.name for job in loaded.jobs or []}
    for argv in found:
        asked = parse(argv)
        for key in ("schedule_name", "job_name"):
            assert asked.get(key) is None or asked[key] in names, argv


def test_the_arguments_for_cloud_run_parse() -> None:
    """Each `--args` of the page is a command line of the project's, for a stream that there is."""
    found = re.findall(r"--args=(\S+)", PAGE.read_text(encoding="utf-8"))
    assert found
    for words in found:
        name = parse(["integration", *words.split(",")])["name"]
        source, _, stream = name.partition(".")
        assert not stream or load_source(source).stream(stream)


def test_a_filled_job_is_whole(tmp_path: Path) -> None:
    """The page's `sed` makes of the example a job for a source without a key, with nothing of the example left."""
    job = fill("deploy/cloud-run/job.yaml", tmp_path)
    (container,) = job["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    assert parse([*container["command"], *container["args"]])["name"] == "usgs"
    assert container["image"] == f"{FILLED['IMAGE']}:{FILLED['TAG']}"
    assert {entry["name"]: entry["value"] for entry in container["env"]} == {
        "INTEGRATION_LAKE_URI": "gs://my-project-lake/lake",
        "INTEGRATION_WAREHOUSE_URI": "bigquery://my-project?location=EU",
    }
    assert not [value for _, value in leaves(job) if re.search(r"PROJECT|IMAGE|BUCKET|nyc", str(value))]


def test_filled_values_are_whole(tmp_path: Path) -> None:
    """The page's `sed` fills in every placeholder of the chart's values, a tag that looks like a number included."""
    values = fill("deploy/kubernetes/values.yaml", tmp_path)
    assert not [path for path, value in leaves(values) if re.search(r"PROJECT|IMAGE|BUCKET|LOGS|POSTGRES|TAG", str(value))]
    assert values["dagsterDaemon"]["image"] == {"repository": FILLED["IMAGE"], "tag": FILLED["TAG"], "pullPolicy": "IfNotPresent"}
    assert values["postgresql"]["postgresqlHost"] == FILLED["POSTGRES"]
    assert values["computeLogManager"]["config"]["gcsComputeLogManager"]["bucket"] == "my-project-dagster-logs"


def test_the_page_tells_every_role() -> None:
    """The section on permissions lists each role that Terraform grants."""
    section = PAGE.read_text(encoding="utf-8").partition("## What needs which permission")[2]
    missing = {
        resource.body["role"] for resource in resources("_iam_") if resource.body["role"].removeprefix("roles/") not in section
    }
    assert missing == set()


@pytest.mark.parametrize("page", [PAGE, DEPLOY / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Files that the pages link to exist."""
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (page.parent / target).exists()] == []
