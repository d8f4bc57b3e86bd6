"""A number for each row, equal for equal rows: how a record that was seen before is told from one that changed."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy.typing as npt
import pyarrow as pa


def row_hashes(table: pa.Table) -> npt.NDArray[Any]:
    """64-bit hashes of whole rows, nested values included, in the table's order. Comparable within one process."""
    # One thread: the rows' order must be the table's, and the other core has pages to decode.
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        con.register("rows_to_hash", table)
        hashed = con.sql("SELECT hash(r) AS h FROM rows_to_hash AS r").to_arrow_table()
        found: npt.NDArray[Any] = hashed.column("h").to_numpy()
    return found
