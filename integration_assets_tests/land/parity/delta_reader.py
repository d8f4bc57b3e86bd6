"""A second reader of Delta tables, of the protocol's text and nothing of deltalake: the JSON log replayed, its Parquet read.

It knows what this project writes: no partitions, no deletion vectors, no renamed columns. What it does not know it refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

KNOWN = {"appendOnly", "invariants", "timestampNtz"}


@dataclass(frozen=True)
class Folder:
    """A table's folder: its files' paths, all of them, and a file's bytes by its path."""

    paths: Callable[[], Iterable[str]]
    read: Callable[[str], bytes]


def read_delta(folder: Folder) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of the table at its newest version. Raises `ValueError` for a table that needs more than is known here."""
    active: dict[str, dict[str, Any]] = {}
    columns: list[str] = []
    for action in _actions(folder):
        if "protocol" in action:
            _check(action["protocol"])
        if "metaData" in action:
            columns = _columns(action["metaData"])
        if "remove" in action:
            active.pop(action["remove"]["path"], None)
        if "add" in action:
            if action["add"].get("deletionVector") or action["add"]["partitionValues"]:
                raise ValueError("a deletion vector or a partition")
            active[action["add"]["path"]] = action["add"]
    rows: list[dict[str, Any]] = []
    for path, add in active.items():
        table = pq.read_table(pa.BufferReader(folder.read(unquote(path))))
        if table.num_rows != json.loads(add["stats"])["numRecords"]:
            raise ValueError(f"{path} has {table.num_rows} rows")
        rows += [dict.fromkeys(columns) | row for row in table.to_pylist()]
    return columns, rows


def _actions(folder: Folder) -> Iterator[dict[str, Any]]:
    """The log's actions in order; every version from the first must be there."""
    log = sorted(path for path in folder.paths() if path.startswith("_delta_log/") and path.endswith(".json"))
    for version, path in enumerate(log):
        if path != f"_delta_log/{version:020}.json":
            raise ValueError(f"version {version} is missing")
        for line in folder.read(path).decode().splitlines():
            yield json.loads(line)


def _check(protocol: dict[str, Any]) -> None:
    unknown = set(protocol.get("readerFeatures") or ()) - KNOWN
    if protocol["minReaderVersion"] not in {1, 3} or unknown:
        raise ValueError(f"the protocol asks for reader {protocol['minReaderVersion']} with {sorted(unknown)}")


def _columns(metadata: dict[str, Any]) -> list[str]:
    if metadata["partitionColumns"] or "delta.columnMapping.mode" in metadata["configuration"]:
        raise ValueError("partitions or renamed columns")
    return [field["name"] for field in json.loads(metadata["schemaString"])["fields"]]
