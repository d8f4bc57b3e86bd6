"""A number for each row, equal for equal rows: how a record that was seen before is told from one that changed."""

from __future__ import annotations

from threading import local
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    import duckdb


def row_hashes(table: pa.Table) -> npt.NDArray[Any]:
    """64-bit hashes of whole rows, nested values included, in the table's order. Comparable within one process."""
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in table.column_names)
    con = _connection()
    con.register("rows_to_hash", table)
    try:
        hashed = con.sql(f"SELECT hash({columns}) AS h FROM rows_to_hash").to_arrow_table()
    finally:
        con.unregister("rows_to_hash")
    found: npt.NDArray[Any] = hashed.column("h").to_numpy()
    return found


_open = local()


def _connection() -> duckdb.DuckDBPyConnection:
    """One a thread: opening it costs as much as hashing twenty thousand rows.

    It works with one thread: the rows' order must be the table's, and the other core has pages to decode.
    """
    if not hasattr(_open, "connection"):
        import duckdb  # with the first row: a sync that finds nothing new does without

        _open.connection = duckdb.connect(":memory:", config={"threads": 1})
    connection: duckdb.DuckDBPyConnection = _open.connection
    return connection
