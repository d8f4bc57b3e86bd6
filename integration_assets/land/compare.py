"""Two tables of the same records beside each other: keys that only one of them has, and columns that differ by more than allowed.

Both are on this machine's disk, so DuckDB reads their Parquet; what does not fit into a gigabyte goes to a folder beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import pyarrow as pa

from integration_assets.land.duckdb_tables import quote
from integration_assets.land.warehouse import DELETED

if TYPE_CHECKING:
    from integration_assets.land.lake import LakeTable
    from integration_assets.spec.candidate import Tolerance

_MEMORY = "1GB"
_OLD, _NEW = "_old", "_new"
_ONLY_OLD, _ONLY_NEW = "_only_old", "_only_new"
Place = Literal["changed", "only in old", "only in new"]


@dataclass(frozen=True)
class Rules:
    """How two tables are compared.

    key      : the columns by which a row is found on both sides; without any, rows are only equal or not.
    newest   : of several rows with one key, the one with the greatest value of this column counts; the last that came for None.
    columns  : those that are compared, with their types; the same on both sides.
    allowed  : by column, how far values may be apart.
    examples : rows to show of each kind of difference.
    """

    key: tuple[str, ...]
    newest: str | None
    columns: Mapping[str, pa.DataType]
    allowed: Mapping[str, Tolerance]
    examples: int


@dataclass(frozen=True)
class Example:
    """A row that differs: its key, and the columns that do, as they are on each side. Values are as they are stored."""

    place: Place
    key: Mapping[str, Any]
    columns: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Comparison:
    """What was found.

    old, new           : rows of each side, a key counted once.
    only_old, only_new : rows, or without a key row contents, that one side alone has.
    changed            : rows with the same key that differ; `columns` has how many by column, `_deleted` among them.
    """

    old: int
    new: int
    only_old: int
    only_new: int
    changed: int
    columns: Mapping[str, int]
    examples: tuple[Example, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs by more than allowed."""
        return not (self.only_old or self.only_new or self.changed)


def compare(old: LakeTable, new: LakeTable, rules: Rules, scratch: Path) -> Comparison:
    """Compare two tables in folders of this machine. `scratch` is where DuckDB may spill."""
    with duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": str(scratch)}) as con:
        con.execute("SET TimeZone = 'UTC'")
        for name, table in ((_OLD, old), (_NEW, new)):
            con.execute(f"CREATE TEMP TABLE {name} AS {_rows(table, rules)}")
        return _by_key(con, rules) if rules.key else _whole(con, rules)


def _rows(table: LakeTable, rules: Rules) -> str:
    """The rows of a side that count, in SQL."""
    names = [*rules.key, *rules.columns, DELETED]
    files = [f"{table.uri}/{file.path}" for file in table.snapshot_files()]
    if not files:
        types = {field.name: field.type for field in table.schema()}
        return f"SELECT {', '.join(f'CAST(NULL AS {_type(types[name])}) AS {quote(name)}' for name in names)} WHERE FALSE"
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    read = f"SELECT {_listed(names)} FROM read_parquet([{listed}], filename = true, file_row_number = true)"
    if not rules.key:
        return read
    order = [*([f"{quote(rules.newest)} DESC NULLS LAST"] if rules.newest else []), "filename DESC", "file_row_number DESC"]
    return f"{read} QUALIFY row_number() OVER (PARTITION BY {_listed(rules.key)} ORDER BY {', '.join(order)}) = 1"


def _type(type_: pa.DataType) -> str:
    """DuckDB's name of an Arrow type."""
    with duckdb.connect() as con:
        con.register("nothing", pa.table({"x": pa.nulls(0, type_)}))
        return str(con.execute("DESCRIBE nothing").fetchall()[0][1])


def _by_key(con: duckdb.DuckDBPyConnection, rules: Rules) -> Comparison:
    _join(con, rules)
    names = [*rules.columns, DELETED]
    counts = [f"count(*) FILTER ({_flag(number)})" for number in range(len(names))]
    only = [f"count(*) FILTER ({name})" for name in (_ONLY_OLD, _ONLY_NEW)]
    found = con.execute(f"SELECT count(*), {', '.join([*only, *counts])} FROM _found").fetchall()[0]
    total, only_old, only_new = found[:3]
    columns = {name: count for name, count in zip(names, found[3:], strict=True) if count}
    old, new = _count(con, _OLD), _count(con, _NEW)
    return Comparison(old, new, only_old, only_new, total - only_old - only_new, columns, tuple(_examples(con, rules, names)))


def _join(con: duckdb.DuckDBPyConnection, rules: Rules) -> None:
    """Make the table of rows that differ: the key, where they are, a flag a column, and both sides' values."""
    # A key has no nulls: the gate turned such records away. So a null tells that the side has no such row.
    first = quote(rules.key[0])
    gone = f"(o.{DELETED} OR n.{DELETED})"
    differ = {name: f"NOT {gone} AND {_differs(name, type_, rules)}" for name, type_ in rules.columns.items()}
    differ[DELETED] = f"o.{DELETED} IS DISTINCT FROM n.{DELETED}"
    both = f"o.{first} IS NOT NULL AND n.{first} IS NOT NULL"
    flags = [f"coalesce({both} AND {condition}, FALSE)" for condition in differ.values()]
    selected = [
        *(f"coalesce(o.{quote(name)}, n.{quote(name)}) AS _k{number}" for number, name in enumerate(rules.key)),
        f"n.{first} IS NULL AS {_ONLY_OLD}",
        f"o.{first} IS NULL AS {_ONLY_NEW}",
        *(f"{flag} AS {_flag(number)}" for number, flag in enumerate(flags)),
        *(f"o.{quote(name)} AS _o{number}, n.{quote(name)} AS _n{number}" for number, name in enumerate(differ)),
    ]
    on = " AND ".join(f"o.{quote(name)} = n.{quote(name)}" for name in rules.key)
    any_ = " OR ".join([_ONLY_OLD, _ONLY_NEW, *(_flag(number) for number in range(len(flags)))])
    joined = f"SELECT {', '.join(selected)} FROM {_OLD} AS o FULL JOIN {_NEW} AS n ON {on}"
    con.execute(f"CREATE TEMP TABLE _found AS SELECT * FROM ({joined}) WHERE {any_}")


def _differs(name: str, type_: pa.DataType, rules: Rules) -> str:
    """Whether a column's two values differ by more than is allowed, in SQL; null is equal to null alone."""
    o, n = f"o.{quote(name)}", f"n.{quote(name)}"
    apart, allowed = f"{o} IS DISTINCT FROM {n}", rules.allowed.get(name)
    if allowed is None:
        return apart
    if pa.types.is_temporal(type_):
        micros = allowed.within // timedelta(microseconds=1)
        a, b = (f"CAST({side} AS TIMESTAMP)" if pa.types.is_date(type_) else side for side in (o, n))
        near = f"abs(epoch_us({a}) - epoch_us({b})) <= {micros}"
    else:
        # A double each: a difference of large integers overflows.
        a, b = f"CAST({o} AS DOUBLE)", f"CAST({n} AS DOUBLE)"
        near = (
            f"(abs({a} - {b}) <= {allowed.absolute!r}::DOUBLE + {allowed.relative!r}::DOUBLE * abs({a}) AND isfinite({a} - {b}))"
        )
    return f"({apart} AND NOT coalesce({near}, FALSE))"


def _examples(con: duckdb.DuckDBPyConnection, rules: Rules, names: Sequence[str]) -> list[Example]:
    keys = [f"_k{number}" for number in range(len(rules.key))]
    places: tuple[tuple[Place, str], ...] = (
        ("changed", f"NOT {_ONLY_OLD} AND NOT {_ONLY_NEW}"),
        ("only in old", _ONLY_OLD),
        ("only in new", _ONLY_NEW),
    )
    found = []
    for place, condition in places:
        order = f"ORDER BY {', '.join(keys)} LIMIT {int(rules.examples)}"
        for row in _rows_of(con, f"SELECT * FROM _found WHERE {condition} {order}"):
            key = {name: row[one] for name, one in zip(rules.key, keys, strict=True)}
            other = {name: (row[f"_o{at}"], row[f"_n{at}"]) for at, name in enumerate(names) if row[_flag(at)]}
            found.append(Example(place, key, other))
    return found


def _whole(con: duckdb.DuckDBPyConnection, rules: Rules) -> Comparison:
    """Rows without a key: as often as a row is on one side, it must be on the other."""
    names = [*rules.columns, DELETED]
    examples: list[Example] = []
    counts = []
    sides: tuple[tuple[Place, str, str], ...] = (("only in old", _OLD, _NEW), ("only in new", _NEW, _OLD))
    for place, this, other in sides:
        missing = f"SELECT {_listed(names)} FROM {this} EXCEPT ALL SELECT {_listed(names)} FROM {other}"
        con.execute(f"CREATE OR REPLACE TEMP TABLE _found AS {missing}")
        counts.append(_count(con, "_found"))
        rows = _rows_of(con, f"SELECT {_listed(rules.columns)} FROM _found LIMIT {int(rules.examples)}")
        examples += [Example(place, row, {}) for row in rows]
    return Comparison(_count(con, _OLD), _count(con, _NEW), counts[0], counts[1], 0, {}, tuple(examples))


def _rows_of(con: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = con.sql(sql).to_arrow_table().to_pylist()
    return rows


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _flag(number: int) -> str:
    return f"_differs{number}"


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(quote(name) for name in names)
