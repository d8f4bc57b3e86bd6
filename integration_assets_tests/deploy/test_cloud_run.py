"""deploy/cloud-run/job.yaml.

Proven: its shape, container by Kubernetes' own model, and that its command is one that the command line takes, for a source that
exists, with exactly that source's secrets. Not proven: that Cloud Run accepts it; only `gcloud run jobs replace` knows.
"""

from __future__ import annotations

from typing import Any

import kubernetes.client as k8s  # type: ignore[import-untyped]
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict

from integration_assets.settings import TABLE
from integration_assets.sources import load_source
from integration_assets.spec.auth import secret_names
from integration_assets_tests.deploy.reading import SECRET_NAME, load, parse

JOB: dict[str, Any] = load("cloud-run/job.yaml")
TASK: dict[str, Any] = JOB["spec"]["template"]["spec"]["template"]["spec"]
(CONTAINER,) = TASK["containers"]


def test_it_is_a_job_that_ends() -> None:
    """The document is a Cloud Run job of one task with a time limit, a bounded number of tries and an identity of its own."""
    assert (JOB["apiVersion"], JOB["kind"]) == ("run.googleapis.com/v1", "Job")
    assert set(JOB["spec"]["template"]["spec"]) == {"parallelism", "taskCount", "template"}
    assert set(TASK) == {"serviceAccountName", "maxRetries", "timeoutSeconds", "containers"}
    assert JOB["spec"]["template"]["spec"]["taskCount"] == 1
    assert 0 < TASK["timeoutSeconds"] <= 7 * 24 * 3600
    assert TASK["serviceAccountName"].startswith("integration-runner@")
    k8s_model_from_dict(k8s.V1Container, k8s_snake_case_dict(k8s.V1Container, {"name": "sync", **CONTAINER}))


def test_its_command_is_the_command_line_s() -> None:
    """The very words of the job parse with the project's command line, and name a source that there is."""
    asked = parse([*CONTAINER["command"], *CONTAINER["args"]])
    assert not asked["dry_run"]
    assert load_source(asked["name"].partition(".")[0]).name == JOB["metadata"]["labels"]["source"]


def test_it_has_the_source_s_secrets_from_secret_manager_and_no_others() -> None:
    """Each secret of the source comes by reference; no other variable is a secret, and each is a setting that is documented."""
    by_reference = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in CONTAINER["env"] if "valueFrom" in entry}
    literal = {entry["name"] for entry in CONTAINER["env"] if "value" in entry}
    source = load_source(JOB["metadata"]["labels"]["source"])
    assert set(by_reference) == set(secret_names(source.auth))
    assert all(reference == {"name": name, "key": "latest"} for name, reference in by_reference.items())
    assert literal <= {name for name, *_ in TABLE}
    assert not any(SECRET_NAME.search(name) for name in literal)
