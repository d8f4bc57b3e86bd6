"""What differs between a laptop and the cloud, and nothing else does: where data lands.

Secrets are never resource configuration: they stay in the environment and are looked up by name when a run needs them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from integration_assets.settings import Settings

if TYPE_CHECKING:
    from integration_assets.stores import Say, Stores


class StoresResource(dg.ConfigurableResource["StoresResource"]):
    """Lake and warehouse. A value left out is taken from the settings when a run begins, not when definitions load."""

    lake_uri: str | None = Field(default=None, description="Where the lake is; INTEGRATION_LAKE_URI when left out.")
    warehouse_uri: str | None = Field(
        default=None, description="Where the warehouse is; INTEGRATION_WAREHOUSE_URI when left out."
    )

    def settings(self) -> Settings:
        """The settings of this process with the addresses given here. Raises `SpecError` for a wrong variable."""
        found = Settings.from_environ()
        return replace(found, lake_uri=self.lake_uri or found.lake_uri, warehouse_uri=self.warehouse_uri or found.warehouse_uri)

    def stores(self, say: Say | None = None, wait: float | None = None) -> Stores:
        """Lake, quarantine and warehouse; nothing is opened yet.

        say  : told of waits for other runs.
        wait : seconds that such a wait may last at most, where that is less than the settings allow.
        """
        from integration_assets.stores import Stores

        found = self.settings()
        limit = found.warehouse_wait if wait is None else min(wait, found.warehouse_wait)
        return Stores.from_settings(replace(found, warehouse_wait=limit), say, _bigquery, _storage)


def _bigquery(project: str, location: str) -> AbstractContextManager[Any]:
    """A BigQuery client as dagster-gcp opens it, except for an emulator without credentials: that resource wants some."""
    from integration_assets.land.bigquery_client import is_open, open_client

    if is_open():
        return open_client(project, location)
    from dagster_gcp import BigQueryResource

    return BigQueryResource(project=project, location=location).get_client()


def _storage() -> AbstractContextManager[Any]:
    """A client of Cloud Storage as dagster-gcp opens it."""
    from dagster_gcp import GCSResource

    client: AbstractContextManager[Any] = GCSResource().get_client()
    return client
