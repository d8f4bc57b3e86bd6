"""A number for each row, equal for equal rows: how a record that was seen before is told from one that changed."""

from __future__ import annotations

import duckdb
import pyarrow as pa


def row_hashes(table: pa.Table) -> list[int]:
    """64-bit hashes of whole rows, nested values included, in the table's order. Comparable within one process."""
    with duckdb.connect(":memory:") as con:
        con.register("rows_to_hash", table)
        hashed = con.sql("SELECT hash(r) AS h FROM rows_to_hash AS r").to_arrow_table()
        found: list[int] = hashed.column("h").to_pylist()
    return found
