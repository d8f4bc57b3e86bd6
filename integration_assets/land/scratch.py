"""A DuckDB for what has to be sorted or joined on the way, in memory and beyond it in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from integration_assets.errors import LakeError


@contextmanager
def scratch(memory: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database that goes, with its folder, at the end.

    memory : what it may use before it waits on the disk, as DuckDB writes it.
    Raises `LakeError` where that disk is full, fails, or cannot be written at all.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="integration-") as folder, duckdb.connect(config={"memory_limit": memory}) as con:
            con.execute("SET temp_directory = ?", [folder])
            con.execute("SET TimeZone = 'UTC'")
            yield con
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise LakeError(
            f"rows of the lake cannot be sorted on this machine: {str(error).splitlines()[0]}",
            remedy="Free space in the folder for temporary files, or name another one (TMPDIR).",
        ) from error
