"""Where data lands, as the settings say: a folder or a bucket for the lake, a DuckDB file or BigQuery for the warehouse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from integration_assets.errors import SpecError
from integration_assets.land.duckdb import DuckDBWarehouse
from integration_assets.land.gcs import StorageClients, check_location, is_bucket, storage_options
from integration_assets.land.lake import Lake, LakeTable
from integration_assets.land.quarantine import Quarantine
from integration_assets.land.warehouse import Warehouse
from integration_assets.settings import Settings
from integration_assets.spec.source import Source, Stream

Say = Callable[[str], None]
"""Where a sentence for people goes: the terminal, or the run's log."""
BigQueryClients = Callable[[str, str], AbstractContextManager[Any]]
"""Opens a `google.cloud.bigquery.Client` for a project and a location; only `land` knows that type."""

_BIGQUERY = "bigquery://"
_OPTIONS = {"location", "prefix", "maximum_bytes_billed", "partition"}


@dataclass(frozen=True)
class Stores:
    """Where data lands: the lake, its quarantine, the warehouse; `location` is where BigQuery's datasets are.

    storage : opens the clients that a bucket is looked at with; Google's own when None.
    """

    lake: Lake
    quarantine: Quarantine
    warehouse: Warehouse
    location: str | None = None
    storage: StorageClients | None = None

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        say: Say | None = None,
        clients: BigQueryClients | None = None,
        storage: StorageClients | None = None,
    ) -> Stores:
        """The stores that the settings name; nothing is opened or written yet.

        say     : told of waits for other runs.
        clients : opens BigQuery's clients; Google's own with the environment's credentials when None.
        storage : the same of Cloud Storage, for looking at the bucket before a run.
        Raises `SpecError` naming the setting that is wrong.
        """
        options = storage_options(settings.lake_uri, settings.environ)
        lake, quarantine = Lake(settings.lake_uri, options), Quarantine(settings.lake_uri, options)
        if settings.warehouse_uri.startswith(_BIGQUERY):
            location, warehouse = _bigquery(settings, clients or _plain_client)
            return cls(lake, quarantine, warehouse, location, storage)
        local = DuckDBWarehouse(settings.warehouse_uri, wait_seconds=settings.warehouse_wait, on_wait=say)
        return cls(lake, quarantine, local, storage=storage)

    def check(self) -> None:
        """See that the lake can be written, and read by the warehouse, before any request to an API is spent.

        Raises `LakeError`, or `RescheduleError` when the bucket does not answer.
        """
        self.lake.check(self.storage)
        if self.location is not None:
            check_location(self.lake.uri, self.location, self.storage)

    def table(self, source: Source, stream: Stream) -> LakeTable:
        """The stream's lake table, whether or not it is there yet."""
        return self.lake.table(source.name, stream.name)


def _bigquery(settings: Settings, clients: BigQueryClients) -> tuple[str, Warehouse]:
    """Location and warehouse of `bigquery://PROJECT?location=EU`; its load jobs read the lake's files, so that is in a bucket."""
    from integration_assets.land.bigquery import BigQueryWarehouse

    address = urlsplit(settings.warehouse_uri)
    options = dict(parse_qsl(address.query))
    unknown = sorted(options.keys() - _OPTIONS)
    if not address.netloc or not options.get("location") or unknown:
        raise _wrong(
            f"{settings.warehouse_uri} {f'has the unknown option {unknown[0]}' if unknown else 'lacks project or location'}"
        )
    if not is_bucket(settings.lake_uri):
        raise SpecError(
            f"BigQuery cannot read the lake at {settings.lake_uri}",
            field="INTEGRATION_LAKE_URI",
            remedy="Put the lake in a bucket: gs://BUCKET/PREFIX, in the dataset's location.",
        )
    project, location = address.netloc, options["location"]
    most = options.get("maximum_bytes_billed")
    if most is not None and not most.isdigit():
        raise _wrong(f"maximum_bytes_billed={most} is no number of bytes")
    rest: dict[str, Any] = {"partition": options["partition"]} if "partition" in options else {}
    warehouse = BigQueryWarehouse(
        project,
        location,
        lambda: clients(project, location),
        options.get("prefix", ""),
        maximum_bytes_billed=int(most) if most else None,
        **rest,
    )
    return location, warehouse


def _wrong(what: str) -> SpecError:
    remedy = "Write bigquery://PROJECT?location=EU; prefix, partition and maximum_bytes_billed may follow."
    return SpecError(what, field="INTEGRATION_WAREHOUSE_URI", remedy=remedy)


def _plain_client(project: str, location: str) -> AbstractContextManager[Any]:
    from integration_assets.land.bigquery_client import open_client

    return open_client(project, location)
