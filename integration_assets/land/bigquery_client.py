"""A BigQuery client with the environment's own credentials, or an emulator's, which needs none."""

from __future__ import annotations

import os

from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client


def is_open() -> bool:
    """Whether `BIGQUERY_EMULATOR_HOST`, Google's own variable, points at an emulator, and no credentials are given for it."""
    return bool(os.environ.get("BIGQUERY_EMULATOR_HOST")) and not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")


def open_client(project: str, location: str) -> Client:
    """A client, to be used as a context. Credentials that are given are used, for an emulator too."""
    credentials = AnonymousCredentials() if is_open() else None  # type: ignore[no-untyped-call]
    return Client(project=project, location=location, credentials=credentials)
