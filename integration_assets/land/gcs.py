"""A lake in a bucket of Google Cloud Storage: how its store is reached, and whether it can be used at all.

Credentials are the environment's (application default: a service-account file, workload identity, a developer's login) and are
never a setting of ours. `STORAGE_EMULATOR_HOST`, Google's own variable, points everything at an emulator.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

from integration_assets.errors import LakeError, RescheduleError

NEEDED = ("storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list")
PATIENCE = 30.0
"""Seconds that the bucket may take to answer."""
_SCHEME = "gs://"
StorageClients = Callable[[], AbstractContextManager[Any]]
"""Opens a `google.cloud.storage.Client`."""


def is_bucket(uri: str) -> bool:
    """Whether `uri` is in a bucket."""
    return uri.startswith(_SCHEME)


def storage_options(uri: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What the object store needs to reach `uri`; nothing for a folder, and nothing for Google itself."""
    host = environ.get("STORAGE_EMULATOR_HOST")
    if not is_bucket(uri) or not host:
        return {}
    account = {"gcs_base_url": host, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    return {"google_service_account_key": json.dumps(account), "allow_http": "true", "google_skip_signature": "true"}


def check_bucket(uri: str, clients: StorageClients | None = None) -> None:
    """Ask Google whether the bucket is there and we may read and write it. One request; needs no permission itself.

    clients : opens the client that asks; Google's own with the environment's credentials when None.
    Raises `LakeError` naming the bucket and what is missing, `RescheduleError` when Google does not answer.
    """
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage import Client
    from google.cloud.storage.retry import DEFAULT_RETRY
    from requests.exceptions import ConnectionError as UnreachableError

    bucket = urlsplit(uri).netloc
    try:
        with (clients or Client)() as client:
            granted = client.bucket(bucket).test_iam_permissions(
                list(NEEDED), timeout=PATIENCE, retry=DEFAULT_RETRY.with_timeout(PATIENCE)
            )
    except GoogleAuthError as error:
        raise LakeError(
            f"no credentials for gs://{bucket}: {error}",
            field="INTEGRATION_LAKE_URI",
            remedy="Run as a service account, or log in with gcloud auth application-default login.",
        ) from None
    except NotFound:
        raise LakeError(
            f"there is no bucket {bucket}", field="INTEGRATION_LAKE_URI", remedy="Create it (docs/gcp.md), or mend the name."
        ) from None
    except (Forbidden, Unauthorized):
        raise _denied(bucket, NEEDED) from None
    except (GoogleAPIError, UnreachableError) as error:
        raise RescheduleError(f"gs://{bucket} does not answer: {error}", remedy="A later run goes on from here.") from None
    missing = [permission for permission in NEEDED if permission not in granted]
    if missing:
        raise _denied(bucket, missing)


def check_location(uri: str, dataset_location: str, clients: StorageClients | None = None) -> None:
    """See that the datasets can load from the bucket: both in one place, or the dataset in the US, which loads from anywhere.

    Raises `LakeError` naming both places. An account that may not read the bucket's description is not held up by it.
    """
    from google.api_core.exceptions import Forbidden
    from google.cloud.storage import Client
    from google.cloud.storage.retry import DEFAULT_RETRY

    name = urlsplit(uri).netloc
    try:
        with (clients or Client)() as client:
            bucket = client.get_bucket(name, timeout=PATIENCE, retry=DEFAULT_RETRY.with_timeout(PATIENCE))
    except Forbidden:
        return
    here, there = str(bucket.location).upper(), dataset_location.upper()
    if not _loads_from(there, here):
        raise LakeError(
            f"gs://{name} is in {here} and BigQuery's datasets are in {there}, which cannot load from there",
            field="INTEGRATION_WAREHOUSE_URI",
            remedy="Put bucket and datasets in one location.",
        )


def _loads_from(dataset: str, bucket: str) -> bool:
    """Only what is certainly refused is: two regions, or a European dataset and a bucket elsewhere."""
    if dataset in {"US", bucket}:
        return True
    if dataset == "EU":
        return bucket.startswith("EUR")
    return bucket in {"US", "EU", "ASIA"} or bucket.count("-") == 0


def _denied(bucket: str, missing: tuple[str, ...] | list[str]) -> LakeError:
    return LakeError(
        f"this account lacks {', '.join(missing)} on gs://{bucket}",
        field="INTEGRATION_LAKE_URI",
        remedy="Grant it roles/storage.objectUser on that bucket.",
    )
