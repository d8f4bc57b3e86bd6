"""deploy/kubernetes/inbox.yaml.

Proven: it fits Kubernetes' own models, its command is one that the command line takes, what refers to what is there, and its pods
have the webhooks' secrets alone. Not proven: a cluster's admission, and what leads to the service from outside.
"""

from __future__ import annotations

import re
from typing import Any

import kubernetes.client as k8s  # type: ignore[import-untyped]
import pytest
import yaml
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict

from integration_assets.inbox.serving import GRACE
from integration_assets.settings import TABLE
from integration_assets_tests.deploy.reading import DEPLOY, SECRET_NAME, leaves, load, parse

DEPLOYMENT, SERVICE, BUDGET = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "inbox.yaml").read_text(encoding="utf-8")))
POD: dict[str, Any] = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


@pytest.mark.parametrize(
    ("document", "model"),
    [(DEPLOYMENT, k8s.V1Deployment), (SERVICE, k8s.V1Service), (BUDGET, k8s.V1PodDisruptionBudget)],
    ids=["deployment", "service", "budget"],
)
def test_it_fits_kubernetes_models(document: dict[str, Any], model: type) -> None:
    """Every key is Kubernetes' own; a misspelt one is refused."""
    k8s_model_from_dict(model, k8s_snake_case_dict(model, document))
    with pytest.raises(Exception, match="Unexpected keys"):
        k8s_model_from_dict(model, {**k8s_snake_case_dict(model, document), "no_such_key": 1})


def test_its_command_is_the_command_line_s() -> None:
    """The words of the container parse, and it listens where probes and service look for it."""
    asked = parse([*CONTAINER["command"], *CONTAINER["args"]])
    assert (asked["host"], asked["port"]) == ("0.0.0.0", CONTAINER["ports"][0]["containerPort"])  # noqa: S104 - in a pod
    name = CONTAINER["ports"][0]["name"]
    assert SERVICE["spec"]["ports"][0]["targetPort"] == name
    assert CONTAINER["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": name}
    assert CONTAINER["livenessProbe"]["tcpSocket"] == {"port": name}


def test_service_budget_and_deployment_mean_the_same_pods() -> None:
    """What selects selects these pods, of which there are enough to lose one."""
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert labels == DEPLOYMENT["spec"]["selector"]["matchLabels"] == SERVICE["spec"]["selector"]
    assert labels == BUDGET["spec"]["selector"]["matchLabels"]
    assert DEPLOYMENT["spec"]["replicas"] > BUDGET["spec"]["minAvailable"]


def test_deliveries_under_way_are_waited_for() -> None:
    """The pod is given longer to end than the receiver takes to finish."""
    assert POD["terminationGracePeriodSeconds"] > GRACE
    assert int(re.sub(r"\D", "", load("compose.yaml")["services"]["inbox"]["stop_grace_period"])) > GRACE


def test_it_has_no_privilege_and_no_identity() -> None:
    """No root, no write to the image, no token of the cluster, no identity of Google's."""
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in POD


def test_its_secrets_come_by_reference_and_are_not_the_sources() -> None:
    """No value under a name of a secret; each setting is documented; the sources' keys are another secret."""
    given = {entry["name"] for entry in CONTAINER["env"]}
    assert given - {"HOME", "PGUSER"} <= {name for name, *_ in TABLE}
    assert not [path for path, value in leaves(CONTAINER) if SECRET_NAME.search(path[-1]) and value]
    names = {reference["secretRef"]["name"] for reference in CONTAINER["envFrom"]}
    assert names == {"integration-inbox", "integration-webhooks"}
    (code,) = load("kubernetes/values.yaml")["dagster-user-deployments"]["deployments"]
    assert not names & {secret["name"] for secret in code["envSecrets"]}
