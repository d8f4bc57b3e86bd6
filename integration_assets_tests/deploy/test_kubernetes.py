"""deploy/kubernetes/values.yaml.

Proven: every key is one that the chart's own schema had when this was written (chart.py), every part that the chart hands on to
Kubernetes fits Kubernetes' models, and what becomes the instance's configuration is accepted by Dagster and its K8sRunLauncher.
Not proven: the rendered templates (no helm here), a cluster's admission, workload identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kubernetes.client as k8s  # type: ignore[import-untyped]
import pytest
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config_schema
from dagster_k8s.launcher import K8sRunLauncher
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict

from integration_assets_tests.deploy.chart import INSTANCE, KNOWN, snake
from integration_assets_tests.deploy.reading import SECRET_NAME, leaves, load, parse

VALUES: dict[str, Any] = load("kubernetes/values.yaml")
(CODE,) = VALUES["dagster-user-deployments"]["deployments"]
PODS = {"webserver": VALUES["dagsterWebserver"], "daemon": VALUES["dagsterDaemon"], "code": CODE}
LAUNCHER: dict[str, Any] = VALUES["runLauncher"]["config"]["k8sRunLauncher"]


def unknown(tree: Any, known: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - trees of YAML
    """Keys of `tree` that `known` lacks. Below True, anything goes."""
    if known is True:
        return
    for item in tree if isinstance(tree, list) else [tree]:
        for key, value in item.items():
            if key not in known:
                yield f"{path}.{key}"
            else:
                yield from unknown(value, known[key], f"{path}.{key}")


def test_the_chart_knows_every_key() -> None:
    """A misspelt key would be ignored in silence by helm; here it is not."""
    assert list(unknown(VALUES, KNOWN)) == []
    assert list(unknown({"dagsterDaemon": {"replicas": 2}}, KNOWN)) == [".dagsterDaemon.replicas"]


@pytest.mark.parametrize("name", PODS)
def test_what_reaches_kubernetes_fits_its_models(name: str) -> None:
    """Security contexts, resources, volumes, mounts and variables are Kubernetes' own, key by key."""
    pod = PODS[name]
    parts = {
        k8s.V1PodSecurityContext: [pod["podSecurityContext"]],
        k8s.V1SecurityContext: [pod["securityContext"]],
        k8s.V1ResourceRequirements: [pod["resources"]],
        k8s.V1Volume: pod["volumes"],
        k8s.V1VolumeMount: pod["volumeMounts"],
        k8s.V1EnvVar: pod["env"],
        k8s.V1Probe: [{key: value for key, value in pod.get("readinessProbe", {}).items() if key != "enabled"}],
    }
    for model, values in parts.items():
        for value in values:
            k8s_model_from_dict(model, k8s_snake_case_dict(model, value))
            # The models refuse what they do not know, or passing them would prove nothing.
            with pytest.raises(Exception, match="Unexpected keys"):
                k8s_model_from_dict(model, {**k8s_snake_case_dict(model, value), "no_such_key": 1})


@pytest.mark.parametrize("name", PODS)
def test_no_pod_is_root_or_writes_its_image(name: str) -> None:
    """Every container, those of runs included, has no privilege, a read-only root, and a folder for what is temporary."""
    pod = PODS[name]
    for security, container in (
        (pod["podSecurityContext"], pod["securityContext"]),
        (LAUNCHER["runK8sConfig"]["podSpecConfig"]["securityContext"], LAUNCHER["securityContext"]),
    ):
        assert security["runAsNonRoot"] is True
        assert container == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert [mount["mountPath"] for mount in pod["volumeMounts"]] == ["/tmp"]  # noqa: S108 - a volume of the pod
    assert {"cpu", "memory"} <= set(pod["resources"]["requests"])
    assert "memory" in pod["resources"]["limits"]


def test_dagster_accepts_the_instance_that_comes_of_it() -> None:
    """What the chart writes into the instance's dagster.yaml passes Dagster's own configuration."""
    config = {name: snake(_at(path)) for name, path in INSTANCE.items()}
    for name in ("run_monitoring", "run_retries", "schedules", "sensors", "telemetry"):
        config[name] = {key: value for key, value in config[name].items() if value is not None}
    for name in ("concurrency", "retention"):
        config[name].pop("enabled")
    # Values of a tag's limit are Dagster's own spelling.
    config["concurrency"]["runs"]["tag_concurrency_limits"] = VALUES["concurrency"]["runs"]["tagConcurrencyLimits"]
    config |= VALUES["additionalInstanceConfig"]
    checked = process_config(dagster_instance_config_schema(), config)
    assert checked.success, checked.errors
    assert config["run_monitoring"]["free_slots_after_run_end_seconds"] > 0


def test_the_run_launcher_accepts_its_configuration() -> None:
    """What the chart hands to K8sRunLauncher passes its own configuration, and runs are cleaned away."""
    config = {
        "dagster_home": "/opt/dagster/dagster_home",
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": VALUES["global"]["postgresqlSecretName"],
        "service_account_name": VALUES["serviceAccount"]["name"],
        "run_k8s_config": {snake(key): value for key, value in LAUNCHER["runK8sConfig"].items()},
        **{snake(key): value for key, value in LAUNCHER.items() if key != "runK8sConfig"},
    }
    checked = process_config(K8sRunLauncher.config_type(), config)  # type: ignore[no-untyped-call]
    assert checked.success, checked.errors
    assert LAUNCHER["runK8sConfig"]["jobSpecConfig"]["ttlSecondsAfterFinished"] > 0


def test_runs_have_another_identity_than_the_webserver() -> None:
    """Code server and runs act as the runner, webserver and daemon as the control plane; secrets go to the former alone."""
    runner = VALUES["dagster-user-deployments"]["serviceAccount"]
    control = VALUES["serviceAccount"]
    for account in (runner, control):
        assert account["annotations"]["iam.gke.io/gcp-service-account"].startswith(f"{account['name']}@")
    assert runner["name"] != control["name"]
    assert VALUES["global"]["serviceAccountName"] == ""
    assert CODE["includeConfigInLaunchedRuns"] == {"enabled": True}
    assert CODE["envSecrets"]
    assert not VALUES["dagsterWebserver"].get("envSecrets")
    assert not VALUES["dagsterDaemon"].get("envSecrets")


def test_no_secret_stands_in_it() -> None:
    """No value under a name of a secret is one: only names of secrets that exist in the cluster."""
    for path, value in leaves(VALUES):
        if path[-1] != "key":  # of a tag
            assert not SECRET_NAME.search(path[-1]) or path[-1].endswith("SecretName") or value is False, path
    assert VALUES["generatePostgresqlPasswordSecret"] is False
    assert "postgresqlPassword" not in VALUES["postgresql"]


def test_the_code_server_s_arguments_are_its_program_s() -> None:
    """The chart's `dagster code-server start` takes them, and the location has the name it has everywhere."""
    asked = parse(["dagster", "code-server", "start", "--host", "0.0.0.0", "--port", str(CODE["port"]), *CODE["codeServerArgs"]])  # noqa: S104
    assert asked["port"] == CODE["port"]
    (server,) = VALUES["dagsterWebserver"]["workspace"]["servers"]
    (compose,) = load("workspace.yaml")["load_from"]
    assert server == {"host": CODE["name"], "port": CODE["port"], "name": compose["grpc_server"]["location_name"]}


def _at(path: str) -> Any:  # noqa: ANN401 - as `load`
    found = VALUES
    for key in path.split("."):
        found = found[key]
    return found
