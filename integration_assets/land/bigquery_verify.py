"""The count and the hash of a BigQuery table's rows, as SQL. It reads key, version and deletion, of the days that can matter."""

from __future__ import annotations

import pyarrow as pa

from integration_assets.land.bigquery_tables import quote
from integration_assets.land.fingerprint import GONE, hashed, place
from integration_assets.land.warehouse import DELETED_AT, Target


def fingerprint(target: Target, table: str, *, narrowed: bool) -> str:
    """Columns `n`, `gone` and `digest`; with `narrowed`, of the rows whose version is at or after the parameter `since`."""
    gone = f"{DELETED_AT} IS NOT NULL" if target.disposition == "merge" else "FALSE"
    column = place(target)
    where = f"WHERE {quote(column)} >= @since" if narrowed and column else ""
    if not target.key:
        return f"SELECT COUNT(*) AS n, 0 AS gone, 0 AS digest FROM {table}"
    return f"""SELECT COUNT(*) AS n, COUNTIF({GONE}) AS gone, BIT_XOR({_hash(target)}) AS digest
FROM (SELECT *, {gone} AS {GONE} FROM {table} {where})"""


def _hash(target: Target) -> str:
    """A row's 60 bits, as `fingerprint.duckdb_hash` makes them."""
    texts = [_text(name, type_) for name, type_ in hashed(target).items()]
    parts = ", '|', ".join([*(f"IFNULL({text}, '~')" for text in texts), f"IF({GONE}, '1', '0')"])
    return f"CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(CONCAT({parts}))), 1, 15)) AS INT64)"


def _text(name: str, type_: pa.DataType) -> str:
    column = quote(name)
    if pa.types.is_timestamp(type_):
        column = f"UNIX_MICROS({column if type_.tz else f'TIMESTAMP({column})'})"
    return f"CAST({column} AS STRING)"
