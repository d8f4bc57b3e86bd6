"""deploy/terraform.

Proven: the files parse, and what they grant, keep and delete is what the page promises, read as data. Not proven: that the
provider accepts every argument (it cannot be had here), and what Google makes of the grants.
"""

from __future__ import annotations

import re

import hcl2
import pytest

from integration_assets.settings import TABLE
from integration_assets.sources import load_sources
from integration_assets.spec.auth import secret_names
from integration_assets_tests.deploy.reading import DEPLOY, load
from integration_assets_tests.deploy.terraform import FILES, Resource, named, resources

ALLOWED = {
    ("google_storage_bucket_iam_member", "runner", "lake"): {"roles/storage.objectUser", "roles/storage.legacyBucketReader"},
    ("google_storage_bucket_iam_member", "runner", "logs"): {"roles/storage.objectUser", "roles/storage.legacyBucketReader"},
    ("google_storage_bucket_iam_member", "control", "logs"): {"roles/storage.objectViewer", "roles/storage.legacyBucketReader"},
    ("google_bigquery_dataset_iam_member", "runner", "warehouse"): {"roles/bigquery.dataEditor"},
    ("google_project_iam_member", "runner", "project"): {"roles/bigquery.jobUser"},
    ("google_secret_manager_secret_iam_member", "runner", "source"): {"roles/secretmanager.secretAccessor"},
    ("google_service_account_iam_member", "kubernetes", "runner"): {"roles/iam.workloadIdentityUser"},
    ("google_service_account_iam_member", "kubernetes", "control"): {"roles/iam.workloadIdentityUser"},
    ("google_kms_crypto_key_iam_member", "google", "key"): {"roles/cloudkms.cryptoKeyEncrypterDecrypter"},
}
"""Everything that is granted: by kind of grant, to whom, on what. Whatever is not here is a finding."""


def grant(resource: Resource) -> tuple[str, str, str]:
    """Kind of grant, to whom, on what."""
    body = resource.body
    member = str(body["member"])
    who = re.search(r"google_service_account\.(\w+)\.member", member)
    to = who[1] if who else "kubernetes" if "svc.id.goog" in member else "google" if "data.google_" in member else member
    text = " ".join(str(body.get(key, "")) for key in ("bucket", "for_each", "service_account_id", "crypto_key_id"))
    what = re.search(r"google_\w+\.(\w+)", text)
    return resource.type, to, what[1] if what else "key" if "kms_key" in text else "project"


def test_every_file_parses() -> None:
    """Each file is HCL, and nothing was left out by the parser."""
    assert len(FILES) == 8
    for file in FILES:
        assert hcl2.loads(file.read_text(encoding="utf-8")), file.name


def test_what_is_granted_is_exactly_the_table() -> None:
    """Nobody gets a role that the table does not list, and every row of the table is granted."""
    granted: dict[tuple[str, str, str], set[str]] = {}
    for resource in resources("_iam_"):
        granted.setdefault(grant(resource), set()).add(resource.body["role"])
    assert granted == ALLOWED


def test_grants_only_add() -> None:
    """No authoritative binding or policy, which would take away what others granted; no custom role with hidden permissions."""
    assert {resource.type.rsplit("_", 1)[1] for resource in resources("_iam_")} == {"member"}
    assert resources("custom_role") == []


@pytest.mark.parametrize(
    "word",
    ["roles/owner", "roles/editor", "roles/viewer", "storage.admin", "bigquery.admin", "allUsers", "allAuthenticatedUsers"],
)
def test_words_that_may_stand_nowhere(word: str) -> None:
    """No file grants the world or hands out a role over everything."""
    assert not [file.name for file in FILES if word in file.read_text(encoding="utf-8")]


def test_no_role_over_data_is_the_project_s() -> None:
    """The one grant over the project is the right to run jobs, which shows no data by itself."""
    assert [resource.body["role"] for resource in resources("google_project_iam")] == ["roles/bigquery.jobUser"]


def test_no_key_files() -> None:
    """No service account gets a key: there is nothing to leak."""
    assert resources("google_service_account_key") == []


def test_no_secret_s_value_is_known_to_terraform() -> None:
    """Secrets are made by name; a version, which holds the value, is not, and no variable takes one."""
    assert resources("secret_version") == []
    assert not [name for name in named("variable") if re.search("password|token|value", name)]


@pytest.mark.parametrize("name", ["lake", "logs"])
def test_buckets_are_private(name: str) -> None:
    """Uniform access, no public access, and Terraform may not destroy what is in them."""
    (body,) = [resource.body for resource in resources("google_storage_bucket") if resource.name == name]
    assert body["uniform_bucket_level_access"] is True
    assert body["public_access_prevention"] == "enforced"
    assert body["force_destroy"] is False


def test_no_lifecycle_rule_can_delete_a_lake_file() -> None:
    """The lake's rules abort half uploads and delete copies that were replaced; none touches a live object, however old."""
    (lake,) = [resource.body for resource in resources("google_storage_bucket") if resource.name == "lake"]
    rules = [(rule["action"][0]["type"], rule["condition"][0]) for rule in lake["lifecycle_rule"]]
    assert {kind for kind, _ in rules} == {"AbortIncompleteMultipartUpload", "Delete"}
    for kind, condition in rules:
        if kind == "Delete":
            assert condition["with_state"] == "ARCHIVED"
            assert "age" not in condition
    assert lake["lifecycle"] == [{"prevent_destroy": True}]
    assert lake["soft_delete_policy"]


def test_lake_and_warehouse_are_in_one_place() -> None:
    """Buckets and datasets have the same location: BigQuery loads from no other. A key of one's own covers all of them."""
    kept = [resource.body for kind in ("google_storage_bucket", "google_bigquery_dataset") for resource in resources(kind)]
    kept = [body for body in kept if "location" in body]
    assert {body["location"] for body in kept} == {"${var.location}"}
    for body in kept:
        assert {"encryption", "default_encryption_configuration"} & {name for block in body["dynamic"] for name in block}


def test_every_variable_is_described_typed_and_checked() -> None:
    """A wrong value is refused with a sentence before anything is made."""
    for name, body in named("variable").items():
        assert body["description"], name
        assert body["type"], name
        assert body["validation"][0]["error_message"].endswith("."), name


def test_outputs_are_the_settings() -> None:
    """The outputs bear the names that the settings and deploy/dagster.yaml read."""
    outputs = named("output")
    assert set(outputs["environment"]["value"]) <= {name for name, *_ in TABLE}
    assert outputs["environment"]["value"]["INTEGRATION_LAKE_URI"].startswith("gs://")
    assert outputs["environment"]["value"]["INTEGRATION_WAREHOUSE_URI"] == "bigquery://${var.project}?location=${var.location}"
    bucket = load("dagster.yaml")["compute_logs"]["config"]["bucket"]["env"]
    assert set(outputs["instance_environment"]["value"]) == {bucket}


def test_the_example_names_what_there_is() -> None:
    """The example sets variables that exist, all that have no default, and the project's own sources and secrets."""
    text = (DEPLOY / "terraform" / "terraform.tfvars.example").read_text(encoding="utf-8")
    given = dict(re.findall(r"^(\w+)\s*= (.+)$", text, re.MULTILINE))
    variables = named("variable")
    assert {name for name, body in variables.items() if "default" not in body} <= set(given) <= set(variables)
    sources = load_sources()
    assert set(re.findall(r'"(\w+)"', given["sources"])) <= {source.name for source in sources}
    assert set(re.findall(r'"(\w+)"', given["secrets"])) == {name for source in sources for name in secret_names(source.auth)}


def test_identities_are_those_of_the_other_overlays() -> None:
    """Kubernetes' and Cloud Run's identities are accounts made here, bound to the chart's service accounts by their names."""
    accounts = {resource.body["account_id"] for resource in resources("google_service_account") if "account_id" in resource.body}
    values = load("kubernetes/values.yaml")
    charts = {values["serviceAccount"]["name"], values["dagster-user-deployments"]["serviceAccount"]["name"]}
    bound = {
        re.search(r"/([\w-]+)\]", resource.body["member"])[1]  # type: ignore[index]  # or it fails, as it should
        for resource in resources("google_service_account_iam_member")
    }
    task = load("cloud-run/job.yaml")["spec"]["template"]["spec"]["template"]["spec"]
    assert accounts == charts == bound
    assert task["serviceAccountName"].split("@")[0] in accounts
