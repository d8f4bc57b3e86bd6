"""The emulators, for the tests of what only BigQuery has."""

from __future__ import annotations

from integration_assets_tests.bigquery.fixtures import (
    bigquery_client,
    bigquery_emulator,
    bigquery_warehouse,
    gcs_for_bigquery,
    gcs_lake,
)

__all__ = ["bigquery_client", "bigquery_emulator", "bigquery_warehouse", "gcs_for_bigquery", "gcs_lake"]
