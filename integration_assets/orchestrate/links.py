"""Where a person looks on: Google's console for what is in a bucket or in BigQuery."""

from __future__ import annotations

from typing import Any

import dagster as dg

_CONSOLE = "https://console.cloud.google.com"


def folder_link(name: str, uri: str) -> dict[str, dg.MetadataValue[Any]]:
    """`{name: address}` of a folder in the console, where it is in a bucket; nothing for one of this machine."""
    if not uri.startswith("gs://"):
        return {}
    return {name: dg.MetadataValue.url(f"{_CONSOLE}/storage/browser/{uri.removeprefix('gs://').rstrip('/')}")}


def table_link(name: str, warehouse_uri: str, table: str) -> dict[str, dg.MetadataValue[Any]]:
    """`{name: address}` of a BigQuery table in the console; `table` is `` `project.dataset.table` ``. Nothing for DuckDB."""
    parts = table.strip("`").split(".")
    if not warehouse_uri.startswith("bigquery://") or len(parts) != 3:  # noqa: PLR2004 - project, dataset, table
        return {}
    project, dataset, name_ = parts
    place = f"!1m5!1m4!4m3!1s{project}!2s{dataset}!3s{name_}"
    return {name: dg.MetadataValue.url(f"{_CONSOLE}/bigquery?project={project}&ws={place}")}
