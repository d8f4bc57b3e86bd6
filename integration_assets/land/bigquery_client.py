"""A BigQuery client with the environment's own credentials, or an emulator's."""

from __future__ import annotations

import os

from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client


def open_client(project: str, location: str) -> Client:
    """A client, to be used as a context. `BIGQUERY_EMULATOR_HOST`, Google's own variable, points it at an emulator."""
    emulated = bool(os.environ.get("BIGQUERY_EMULATOR_HOST"))
    credentials = AnonymousCredentials() if emulated else None  # type: ignore[no-untyped-call]
    return Client(project=project, location=location, credentials=credentials)
