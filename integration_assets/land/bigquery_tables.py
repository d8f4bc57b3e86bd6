"""The tables of the BigQuery warehouse: made from the contract, grown with it, and what is remembered of merges.

Dataset `integration_assets` holds `ledger`, one row a merge, only ever added to, and `merged-<source>-<stream>`, one row:
the lake version that the stream's table has reached. BigQuery finds two transactions in conflict by table, and only when
they change rows that are there; so the row that a merge updates must be in a table of the stream's own, or streams would
hinder each other, while two additions to one ledger would both succeed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa
from google.api_core.exceptions import NotFound
from google.cloud.bigquery import Client, Dataset, QueryJobConfig, SchemaField, Table, TimePartitioning

from integration_assets.errors import WarehouseError
from integration_assets.land.bigquery_types import column, spelled
from integration_assets.land.merging import Recorded
from integration_assets.land.warehouse import (
    COMMENTS,
    DELETED_AT,
    EXTRACTED_AT,
    IS_CURRENT,
    RUN_ID,
    VALID_FROM,
    VALID_TO,
    Target,
    own_columns,
    view,
)

_STAGING_KEPT = timedelta(days=1)
_CLUSTERED = 4
_CLUSTER_TYPES = {"BIGNUMERIC", "BOOL", "DATE", "DATETIME", "INT64", "NUMERIC", "STRING", "TIMESTAMP"}
_MERGED = (SchemaField("lake", "STRING"), SchemaField("lake_version", "INT64"))
_LEDGER = (
    SchemaField("source", "STRING", "REQUIRED"),
    SchemaField("stream", "STRING", "REQUIRED"),
    SchemaField("lake_version", "INT64", "REQUIRED"),
    SchemaField("merged_at", "TIMESTAMP", "REQUIRED"),
    SchemaField("run_id", "STRING"),
    SchemaField("rows_read", "INT64"),
    SchemaField("inserted", "INT64"),
    SchemaField("updated", "INT64"),
    SchemaField("deleted", "INT64"),
    SchemaField("lake", "STRING"),
)
_TYPES = {DELETED_AT: "TIMESTAMP", EXTRACTED_AT: "TIMESTAMP", RUN_ID: "STRING", IS_CURRENT: "BOOL"}


@dataclass(frozen=True)
class Names:
    """Where things are: `project`, `location`, and what every dataset's name begins with."""

    project: str
    location: str
    prefix: str = ""

    @property
    def own(self) -> str:
        """The dataset of ledger and merged versions."""
        return f"{self.project}.{self.prefix}integration_assets"

    @property
    def staging(self) -> str:
        """The dataset of tables that live for one merge."""
        return f"{self.own}_staging"

    @property
    def ledger(self) -> str:
        """The ledger."""
        return f"{self.own}.ledger"

    def dataset(self, source: str) -> str:
        """A source's dataset."""
        return f"{self.project}.{self.prefix}{source}"

    def table(self, target: Target) -> str:
        """A stream's table."""
        return f"{self.dataset(target.source)}.{target.stream}"

    def merged(self, source: str, stream: str) -> str:
        """The table whose one row says how far a stream is merged."""
        return f"{self.own}.merged-{source}-{stream}"

    def gone(self, target: Target) -> str:
        """The table of a history's tombstones: a deletion ends a row's range and is no row itself, but has to be remembered."""
        return f"{self.own}.gone-{target.source}-{target.stream}"


def quote(name: str) -> str:
    """A name, with its dots, as an SQL identifier."""
    return f"`{name}`"


def label(value: str) -> str:
    """A value as a label takes it: lower case letters, digits, dash and underscore, 63 at most."""
    return re.sub(r"[^a-z0-9_-]", "-", value.lower())[:63]


def partition_column(target: Target) -> str | None:
    """The column that the table is partitioned by: the target's choice, else its version where that is a date or time."""
    name = target.partition_by or target.version
    if name is None:
        return None
    type_ = target.contract_schema.field(name).type
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return name
    if target.partition_by:
        raise WarehouseError(f"the table cannot be partitioned by a {type_}", field=name, remedy="Name a date or a timestamp.")
    return None


def last_merge(client: Client, names: Names, source: str, stream: str) -> Recorded | None:
    """How far the stream is merged; None if it never was. Reads the row without a query, which costs nothing."""
    try:
        rows = list(client.list_rows(Table(names.merged(source, stream), schema=_MERGED), max_results=1))
    except NotFound:
        return None
    return Recorded(rows[0]["lake_version"], rows[0]["lake"]) if rows and rows[0]["lake_version"] is not None else None


def find(client: Client, names: Names, target: Target) -> Table | None:
    """The stream's table as it is; None if there is none."""
    try:
        return client.get_table(names.table(target))
    except NotFound:
        return None


def ensure_own(client: Client, names: Names) -> None:
    """Make the datasets and the ledger of the warehouse's own. Raises `WarehouseError` when they are in another location."""
    dataset(client, names.own, names.location)
    dataset(client, names.staging, names.location, expiration=_STAGING_KEPT)
    ledger = Table(names.ledger, schema=_LEDGER)
    ledger.time_partitioning = TimePartitioning(type_="MONTH", field="merged_at")
    ledger.clustering_fields = ["source", "stream"]
    client.create_table(ledger, exists_ok=True)


def dataset(client: Client, name: str, location: str, expiration: timedelta | None = None) -> None:
    """Make a dataset, unless it is there. Raises `WarehouseError` when it is in another location."""
    try:
        found = client.get_dataset(name)
    except NotFound:
        wanted = Dataset(name)
        wanted.location = location
        if expiration:
            wanted.default_table_expiration_ms = int(expiration / timedelta(milliseconds=1))
        found = client.create_dataset(wanted, exists_ok=True)
    if found.location and found.location.upper() != location.upper():
        raise WarehouseError(
            f"the dataset {name} is in {found.location}, and the warehouse's location is {location}",
            remedy="Set the warehouse's location to the dataset's; a query cannot span locations.",
        )


def wanted_columns(target: Target) -> dict[str, SchemaField]:
    """The table's columns by name: the contract's, then the project's own."""
    found = {
        field.name: column(
            field,
            required=field.name in target.key,
            json=field.name in target.json,
            description=target.descriptions.get(field.name, ""),
        )
        for field in target.contract_schema
    }
    span = found[target.version].field_type if target.version else "TIMESTAMP"
    types = _TYPES | {VALID_FROM: span, VALID_TO: span}
    return found | {name: SchemaField(name, types[name], description=COMMENTS[name]) for name in own_columns(target)}


def ensure(client: Client, names: Names, target: Target, table: Table | None, partition: str) -> dict[str, SchemaField]:
    """Make the stream's table, or grow it by the contract's new columns; returns its columns.

    table     : the table as it is, None if there is none.
    partition : DAY, MONTH or YEAR.
    Raises `WarehouseError` when a type changed.
    """
    wanted = wanted_columns(target)
    if table is None:
        ensure_own(client, names)
        dataset(client, names.dataset(target.source), names.location)
        # Before the table: whoever finds the table then finds the row as well.
        _merged_row(client, names, target)
        if target.disposition == "history":
            client.create_table(_gone_table(names, target, wanted), exists_ok=True)
        table = client.create_table(_new_table(names, target, wanted, partition), exists_ok=True)
    if _grow(table, wanted, target):
        table.labels = {**table.labels, **_labels(target)}
        table = client.update_table(table, ["schema", "labels"])
    _view(client, names, target, table)
    return {field.name: field for field in table.schema}


def _new_table(names: Names, target: Target, wanted: dict[str, SchemaField], partition: str) -> Table:
    table = Table(names.table(target), schema=list(wanted.values()))
    by = partition_column(target)
    if by:
        table.time_partitioning = TimePartitioning(type_=partition, field=by)
    table.clustering_fields = _clusters(target.cluster_by or target.key, wanted)
    table.labels = _labels(target)
    return table


def _gone_table(names: Names, target: Target, wanted: dict[str, SchemaField]) -> Table:
    columns = [*(wanted[name] for name in target.key), wanted[VALID_FROM], wanted[EXTRACTED_AT]]
    table = Table(names.gone(target), schema=[SchemaField(column.name, column.field_type) for column in columns])
    table.clustering_fields = _clusters(target.key, wanted)
    table.labels = _labels(target)
    return table


def _clusters(chosen: Sequence[str], wanted: dict[str, SchemaField]) -> list[str] | None:
    return [name for name in chosen if spelled(wanted[name]) in _CLUSTER_TYPES][:_CLUSTERED] or None


def _labels(target: Target) -> dict[str, str]:
    given = {"source": target.source, "stream": target.stream, "contract": target.contract_hash}
    return {name: label(value) for name, value in given.items() if value}


def _merged_row(client: Client, names: Names, target: Target) -> None:
    """The row that every merge of the stream updates, there exactly once however many runs make it."""
    name = quote(names.merged(target.source, target.stream))
    sql = f"CREATE TABLE IF NOT EXISTS {name} AS SELECT CAST(NULL AS STRING) AS lake, CAST(NULL AS INT64) AS lake_version"
    client.query(sql, location=names.location, project=names.project).result()


def _grow(table: Table, wanted: dict[str, SchemaField], target: Target) -> bool:
    """Add what is new to the table's schema; nothing is written yet. Returns whether it changed."""
    there = {field.name: field for field in table.schema}
    changed: list[SchemaField] = []
    for name, old in there.items():
        new = wanted.get(name)
        if new and spelled(new) != spelled(old):
            raise WarehouseError(
                f"the column is {spelled(old)} in the warehouse's table {target.source}.{target.stream} and {spelled(new)}"
                " in the contract",
                source=target.source,
                stream=target.stream,
                field=name,
                remedy="Give the new type a new column name, or convert the table yourself:"
                f" ALTER TABLE {quote(table.full_table_id.replace(':', '.'))} ALTER COLUMN {quote(name)} SET DATA TYPE"
                f" {spelled(new)} where BigQuery can widen it so.",
            )
        relaxed = "NULLABLE" if old.mode == "REQUIRED" and (new is None or new.mode != "REQUIRED") else old.mode
        description = (new.description if new else None) or old.description
        changed.append(SchemaField(name, old.field_type, relaxed, description=description, fields=old.fields))
    # BigQuery adds no REQUIRED column to a table that has rows.
    added = [
        SchemaField(name, new.field_type, "REPEATED" if new.mode == "REPEATED" else "NULLABLE", None, new.description, new.fields)
        for name, new in wanted.items()
        if name not in there
    ]
    if not added and all(_same(field, there[field.name]) for field in changed):
        return False
    table.schema = [*changed, *added]
    return True


def _same(one: SchemaField, other: SchemaField) -> bool:
    return one.mode == other.mode and (one.description or "") == (other.description or "")


def _view(client: Client, names: Names, target: Target, table: Table) -> None:
    """Show what is so now in a view, which names its columns and so is made again when there are more."""
    suffix, condition = view(target) or ("", "")
    shown = [field.name for field in table.schema if field.name not in COMMENTS]
    source, name = names.table(target), names.table(target) + suffix
    if not suffix or _shows(client, name) == shown:
        return
    listed = ", ".join(quote(column) for column in shown)
    sql = f"CREATE OR REPLACE VIEW {quote(name)} AS SELECT {listed} FROM {quote(source)} WHERE {condition}"
    config = QueryJobConfig(labels=_labels(target))
    client.query(sql, job_config=config, location=names.location, project=names.project).result()


def _shows(client: Client, name: str) -> list[str]:
    try:
        return [field.name for field in client.get_table(name).schema]
    except NotFound:
        return []
