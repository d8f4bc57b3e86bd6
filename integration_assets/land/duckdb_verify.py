"""The count and the hash of a DuckDB table's rows."""

from __future__ import annotations

import duckdb

from integration_assets.land.duckdb_tables import columns, first, qualified, quote
from integration_assets.land.fingerprint import GONE, Fingerprint, duckdb_hash, place
from integration_assets.land.warehouse import DELETED_AT, Target
from integration_assets.spec.cursor import CursorValue


def fingerprint(con: duckdb.DuckDBPyConnection, target: Target, since: CursorValue | None) -> Fingerprint:
    """Of the rows whose version is at or after `since`, or of all; no rows where there is no table."""
    if not columns(con, target):
        return Fingerprint(0, 0, 0 if target.key else None)
    gone = f"{DELETED_AT} IS NOT NULL" if target.disposition == "merge" else "FALSE"
    column = place(target)
    where, values = (f"WHERE {quote(column)} >= ?", [since]) if since is not None and column else ("", [])
    found = first(
        con,
        f"""SELECT count(*), count(*) FILTER (WHERE {GONE}), bit_xor({duckdb_hash(target)})
            FROM (SELECT *, {gone} AS {GONE} FROM {qualified(con, target)} {where})""",
        values,
    )
    assert found is not None  # noqa: S101 - an aggregate has one row
    return Fingerprint(found[0], found[0] - found[1], (found[2] or 0) if target.key else None)
