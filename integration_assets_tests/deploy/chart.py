"""What the chart dagster/dagster 1.13 knows, as far as the overlay uses it; read from the schema that the chart ships.

True stands for what the chart hands on to Kubernetes or to Dagster as it is: that is checked by their own models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_IMAGE = {"repository": True, "tag": True, "pullPolicy": True}
_ACCOUNT = {"create": True, "name": True, "annotations": True}
_POD: dict[str, Any] = dict.fromkeys(
    (
        *("env", "envConfigMaps", "envSecrets", "labels", "annotations", "nodeSelector", "affinity", "tolerations"),
        *("podSecurityContext", "securityContext", "resources", "volumes", "volumeMounts", "schedulerName"),
        *("readinessProbe", "livenessProbe", "startupProbe", "initContainerResources"),
    ),
    True,
) | {"image": _IMAGE}
_CORE = {"deploymentLabels": True, "checkDbReadyInitContainer": True}
_THREADS = {"useThreads": True, "numWorkers": True, "numSubmitWorkers": True}
_LIMIT = {"key": True, "value": True, "limit": True}
_PURGE = {"purgeAfterDays": {"skipped": True, "success": True, "failure": True, "started": True}}
_SWITCH = {"enabled": True}

KNOWN: dict[str, Any] = {
    "global": dict.fromkeys(
        ("postgresqlSecretName", "dagsterHome", "serviceAccountName", "celeryConfigSecretName", "dagsterInstanceConfigMap"), True
    ),
    "generatePostgresqlPasswordSecret": True,
    "rbacEnabled": True,
    "serviceAccount": _ACCOUNT,
    "imagePullSecrets": True,
    "dagster-user-deployments": {
        "enabled": True,
        "enableSubchart": True,
        "imagePullSecrets": True,
        "serviceAccount": _ACCOUNT,
        "deployments": _POD
        | dict.fromkeys(("name", "port", "replicaCount", "codeServerArgs", "dagsterApiGrpcArgs", "deploymentStrategy"), True)
        | {"includeConfigInLaunchedRuns": _SWITCH},
    },
    "dagsterWebserver": _POD
    | _CORE
    | dict.fromkeys(("replicaCount", "nameOverride", "pathPrefix", "enableReadOnly", "logLevel", "logFormat"), True)
    | dict.fromkeys(("dbStatementTimeout", "dbPoolRecycle"), True)
    | {
        "service": {"type": True, "port": True, "annotations": True},
        "workspace": {
            "enabled": True,
            "servers": {"host": True, "port": True, "name": True, "ssl": True},
            "externalConfigmap": True,
        },
    },
    "dagsterDaemon": _POD
    | _CORE
    | {
        "enabled": True,
        "heartbeatTolerance": True,
        "logFormat": True,
        "runCoordinator": {"enabled": True, "type": True, "config": {"queuedRunCoordinator": {}}},
        "runMonitoring": dict.fromkeys(
            (
                *("enabled", "startTimeoutSeconds", "cancelTimeoutSeconds", "maxResumeRunAttempts"),
                *("pollIntervalSeconds", "freeSlotsAfterRunEndSeconds"),
            ),
            True,
        ),
        "runRetries": {"enabled": True, "maxRetries": True, "retryOnAssetOrOpFailure": True},
        "sensors": _THREADS,
        "schedules": _THREADS,
        "backfills": _THREADS,
    },
    "runLauncher": {
        "type": True,
        "config": {
            "k8sRunLauncher": dict.fromkeys(
                (
                    *("image", "imagePullPolicy", "jobNamespace", "loadInclusterConfig", "kubeconfigFile", "envConfigMaps"),
                    *("envSecrets", "envVars", "volumeMounts", "volumes", "labels", "failPodOnRunFailure", "resources"),
                    *("schedulerName", "securityContext"),
                ),
                True,
            )
            | {
                "runK8sConfig": dict.fromkeys(
                    ("containerConfig", "podSpecConfig", "podTemplateSpecMetadata", "jobSpecConfig", "jobMetadata"), True
                )
            },
        },
    },
    "computeLogManager": {
        "type": True,
        "config": {
            "gcsComputeLogManager": dict.fromkeys(
                ("bucket", "localDir", "prefix", "jsonCredentialsEnvvar", "uploadInterval"), True
            )
        },
    },
    "concurrency": {
        "enabled": True,
        "pools": {"defaultLimit": True, "granularity": True, "opGranularityRunBuffer": True},
        "runs": {"maxConcurrentRuns": True, "tagConcurrencyLimits": _LIMIT},
    },
    "postgresql": dict.fromkeys(
        (
            *("enabled", "postgresqlHost", "postgresqlUsername", "postgresqlDatabase", "postgresqlParams", "postgresqlScheme"),
            *("image", "service"),
        ),
        True,
    ),
    "retention": {"enabled": True, "schedule": {"purgeAfterDays": True}, "sensor": _PURGE},
    "telemetry": _SWITCH,
    "rabbitmq": _SWITCH,
    "redis": _SWITCH,
    "flower": _SWITCH,
    "ingress": _SWITCH,
    "additionalInstanceConfig": True,
}
"""Keys by section. `dagsterDaemon` has none for replicas: the chart makes exactly one."""

INSTANCE = {
    "run_monitoring": "dagsterDaemon.runMonitoring",
    "run_retries": "dagsterDaemon.runRetries",
    "schedules": "dagsterDaemon.schedules",
    "sensors": "dagsterDaemon.sensors",
    "telemetry": "telemetry",
    "concurrency": "concurrency",
    "retention": "retention",
}
"""Sections of the instance's configuration, and the values that the chart writes them from."""


def snake(tree: Any) -> Any:  # noqa: ANN401 - trees of YAML
    """Keys (or one key) spelt as Dagster spells them, which is how the chart translates them."""
    if isinstance(tree, Mapping):
        return {snake(key): snake(value) if isinstance(value, Mapping | list) else value for key, value in tree.items()}
    if isinstance(tree, list):
        return [snake(item) if isinstance(item, Mapping | list) else item for item in tree]
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", tree)
