"""Whether a warehouse's table has the rows that the lake says it must have: a count and a hash of both, taken alike on each side.

What must be there follows from the disposition:

- merge: a row a key, of its newest version; whether that is a tombstone counts.
- append: a row for each key and version; without a key, as many rows as the lake has.
- replace: the rows of the newest snapshot.
- history: a row for each key and version that is no tombstone.

The hash is over key, version and deletion, not over all columns: a merge takes or leaves a row whole. It is the XOR of 60 bits
of each row's MD5, so neither order nor engine matters. `since` narrows both sides to rows whose version is at or after it. That
is exact too: a key whose newest version is older than `since` has no row on either side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.land.scratch import scratch
from integration_assets.land.warehouse import DELETED, EXTRACTED_AT, Target
from integration_assets.spec.cursor import CursorValue, Slice

if TYPE_CHECKING:
    from integration_assets.land.lake import LakeTable

ARRIVAL = "_arrival"
GONE = "_gone"
_ROWS = "_rows"
_MEMORY = "1GB"


@dataclass(frozen=True)
class Fingerprint:
    """How many rows there are, how many of them are not deleted, and the XOR of their hashes; None where rows have no key."""

    rows: int
    live: int
    digest: int | None

    def __str__(self) -> str:
        """`1,234 rows (hash 0123456789abcde)`."""
        return f"{self.rows:,} rows" + ("" if self.digest is None else f" (hash {self.digest:015x})")


def place(target: Target) -> str | None:
    """The column that orders a record's versions in the table; None where a merge goes by the time of extraction alone."""
    return target.version or (EXTRACTED_AT if target.disposition == "history" else None)


def hashed(target: Target) -> dict[str, pa.DataType]:
    """The columns that go into a row's hash, with their types: key and version, of types that every engine spells alike."""
    names = dict.fromkeys(name for name in (*target.key, place(target)) if name)
    types = {name: _type(target, name) for name in names}
    return {name: type_ for name, type_ in types.items() if _spelled_alike(type_)}


def _type(target: Target, name: str) -> pa.DataType:
    return pa.timestamp("us", "UTC") if name == EXTRACTED_AT else target.contract_schema.field(name).type


def _spelled_alike(type_: pa.DataType) -> bool:
    same = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean, pa.types.is_date)
    return pa.types.is_timestamp(type_) or any(one(type_) for one in same)


def recent(target: Target, lake_table: LakeTable, window: Callable[[datetime], datetime]) -> CursorValue | None:
    """From where on to compare what changed lately; None for everything.

    window : how far to go back from the newest version there is, where versions are times. Where they are numbers, the rows
             of the newest file are what changed lately.
    """
    column = place(target)
    if column is None or not target.key or target.disposition == "replace":
        return None
    found = lake_table.bounds(column)
    if not found or any(low is None or high is None for low, high in found):
        return None
    newest = max(high for _, high in found if high is not None)
    if isinstance(newest, datetime):
        # A time without zone, as a date, is another type to each engine: then everything is compared.
        return window(newest) if newest.tzinfo and pa.types.is_timestamp(_type(target, column)) else None
    return found[-1][0] if isinstance(newest, int) else None


def lake_fingerprint(target: Target, lake_table: LakeTable, since: CursorValue | None = None) -> Fingerprint:
    """What the warehouse's table must have by the lake's, which may be one `at` a version that is past.

    Reads key, version and technical columns of the files that can hold such rows; needs memory for the keys, up to a
    gigabyte, and a temporary folder beyond that.
    """
    if target.disposition == "append" and not target.key:
        rows = lake_table.count()
        return Fingerprint(rows, rows, None)
    with scratch(_MEMORY) as con:
        _load(con, target, _wanted(target, lake_table, since))
        count, gone, digest = con.execute(
            f"SELECT count(*), count(*) FILTER (WHERE {GONE}), bit_xor({duckdb_hash(target)}) FROM ({_must_be(target)})"
        ).fetchall()[0]
    return Fingerprint(count, count - gone, (digest or 0) if target.key else None)


def duckdb_hash(target: Target) -> str:
    """A row's 60 bits in DuckDB's SQL, of a relation that has the hashed columns and `_gone`."""
    texts = [_text(name, type_) for name, type_ in hashed(target).items()]
    parts = " || '|' || ".join([*(f"coalesce({text}, '~')" for text in texts), f"CASE WHEN {GONE} THEN '1' ELSE '0' END"])
    return f"CAST('0x' || substr(md5({parts}), 1, 15) AS BIGINT)"


def _text(name: str, type_: pa.DataType) -> str:
    column = '"' + name.replace('"', '""') + '"'
    return f"CAST({f'epoch_us({column})' if pa.types.is_timestamp(type_) else column} AS VARCHAR)"


def _wanted(target: Target, lake_table: LakeTable, since: CursorValue | None) -> Iterator[pa.Table]:
    """The lake's rows that matter, in their order of arrival."""
    columns = list(dict.fromkeys([*target.key, *([target.version] if target.version else []), DELETED, EXTRACTED_AT]))
    if target.disposition == "replace":
        pulled = _newest_pull(lake_table)
        return lake_table.known(columns, EXTRACTED_AT, Slice(pulled)) if pulled else iter(())
    column = place(target)
    if since is None or column is None:
        return lake_table.known(columns, EXTRACTED_AT, Slice())
    return lake_table.known(columns, column, Slice(since))


def _newest_pull(lake_table: LakeTable) -> datetime | None:
    """When the newest full snapshot was pulled; None when it had no record."""
    receipt = lake_table.state().receipt
    if receipt and receipt.started_at:
        return datetime.fromisoformat(receipt.started_at) if receipt.accepted else None
    moments = [pc.max(rows.column(0)).as_py() for rows in lake_table.known([EXTRACTED_AT], EXTRACTED_AT, Slice())]
    return max((moment for moment in moments if moment is not None), default=None)


def _load(con: duckdb.DuckDBPyConnection, target: Target, tables: Iterator[pa.Table]) -> None:
    schema = pa.schema(
        [
            *(
                target.contract_schema.field(name)
                for name in dict.fromkeys([*target.key, *([target.version] if target.version else [])])
            ),
            pa.field(DELETED, pa.bool_()),
            pa.field(EXTRACTED_AT, pa.timestamp("us", "UTC")),
        ]
    )
    rows = 0
    for number, table in enumerate(_and_one(tables, schema.empty_table())):
        numbered = table.append_column(ARRIVAL, pa.array(range(rows, rows + table.num_rows), pa.int64()))
        con.register("arriving", numbered)
        con.execute(f"{f'INSERT INTO {_ROWS}' if number else f'CREATE TABLE {_ROWS} AS'} SELECT * FROM arriving")
        con.unregister("arriving")
        rows += table.num_rows


def _and_one(tables: Iterator[pa.Table], first: pa.Table) -> Iterator[pa.Table]:
    yield first
    yield from tables


def _must_be(target: Target) -> str:
    """The rows that the table must have, of those loaded."""
    quoted = ['"' + name.replace('"', '""') + '"' for name in target.key]
    moment = ['"' + (place(target) or "").replace('"', '""') + '"'] if place(target) else []
    if target.key and target.disposition in {"merge", "replace"}:
        order = ", ".join(f"{name} DESC NULLS LAST" for name in [*moment, EXTRACTED_AT, ARRIVAL])
        newest = f"row_number() OVER (PARTITION BY {', '.join(quoted)} ORDER BY {order}) = 1"
        gone = f"{DELETED} IS TRUE" if target.disposition == "merge" else "FALSE"
        return f"SELECT *, {gone} AS {GONE} FROM {_ROWS} QUALIFY {newest}"
    if not target.key:
        return f"SELECT *, FALSE AS {GONE} FROM {_ROWS}"
    live = f" WHERE {DELETED} IS NOT TRUE" if target.disposition == "history" else ""
    return f"SELECT DISTINCT {', '.join(dict.fromkeys([*quoted, *moment]))}, FALSE AS {GONE} FROM {_ROWS}{live}"
