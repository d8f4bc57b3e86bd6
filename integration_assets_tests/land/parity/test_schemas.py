"""Tables: made from the contract, grown with it, narrowed by nobody; and values that come back as they went."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from integration_assets.errors import WarehouseError
from integration_assets.land.warehouse import Target
from integration_assets_tests.land.helpers import CONTRACT, SCHEMA, TECHNICAL, day, days, land, row
from integration_assets_tests.land.parity.conftest import Pair
from integration_assets_tests.land.parity.test_merging import PLAIN, TARGET

PART = pa.struct([("code", pa.string()), ("sizes", pa.list_(pa.int64()))])


def test_the_table_grows_with_the_contract(pair: Pair) -> None:
    """A new column is added and shown in the live view; one gone from the contract stays, null in rows that are new."""
    table = pair.table()
    land(table, [row("a", 1, 1), row("c", 1, 3)], days(0, 2))
    pair.warehouse.merge(TARGET, table, "run")
    schema = pa.schema([*SCHEMA, ("part", PART)])
    new = {**row("b", 2, 2), "part": {"code": "x", "sizes": [1, 2]}}
    land(table, [new, {**row("c", 3, 9), "part": None}], days(2, 4), schema=schema)
    contract = pa.schema([field for field in [*CONTRACT, schema.field("part")] if field.name != "n"])
    pair.warehouse.merge(replace(TARGET, contract_schema=contract, descriptions={"part": "It's a part."}), table, "run")
    assert pair.rows(TARGET, "_live") == [
        {"id": "a", "n": 1, "at": day(1), "part": None},
        {"id": "b", "n": None, "at": day(2), "part": {"code": "x", "sizes": [1, 2]}},
        {"id": "c", "n": 3, "at": day(3), "part": None},
    ]


def test_a_changed_type_is_refused(pair: Pair) -> None:
    """A narrowed column names itself, both types and the remedy; the table and what is recorded stay as they were."""
    land(pair.table(), [row("a", 1, 1)], days(0, 2))
    pair.warehouse.merge(PLAIN, pair.table(), "run")
    land(pair.table(), [row("b", 1, 1)], days(2, 3))
    narrow = replace(PLAIN, contract_schema=CONTRACT.set(1, pa.field("n", pa.bool_())))
    with pytest.raises(
        WarehouseError, match=r"shop.orders \(n\): the column is (BIGINT|INT64) .* BOOL.* in the contract.*ALTER TABLE"
    ):
        pair.warehouse.merge(narrow, pair.table(), "run")
    assert pair.warehouse.version("shop", "orders") == 1
    assert set(pair.state(PLAIN, "n")) == {"a"}


def test_a_contract_ahead_of_the_lake_is_refused(pair: Pair) -> None:
    """A column that the lake does not have yet is named, with what to do."""
    land(pair.table(), [row("a", 1, 1)], days(0, 2))
    ahead = replace(PLAIN, contract_schema=pa.schema([*CONTRACT, ("note", pa.string())]))
    with pytest.raises(WarehouseError, match=r"note.*Sync the stream"):
        pair.warehouse.merge(ahead, pair.table(), "run")


def test_values_come_back_as_they_went(pair: Pair) -> None:
    """Every type of a contract, nested ones as they are, through the lake's file and the merge; and nulls as nulls."""
    contract = pa.schema(
        [
            ("id", pa.string()),
            ("at", pa.timestamp("us", "UTC")),
            ("whole", pa.int64()),
            ("half", pa.float64()),
            ("yes", pa.bool_()),
            ("on", pa.date32()),
            ("local", pa.timestamp("us")),
            ("price", pa.decimal128(12, 2)),
            ("exact", pa.decimal128(38, 9)),
            ("any", pa.string()),
            ("lines", pa.list_(pa.struct([("code", pa.string()), ("parts", pa.list_(PART))]))),
        ]
    )
    target = Target("shop", "orders", contract, {}, ("id",), "at", "merge", json=("any",))
    full: dict[str, Any] = {
        "id": "a",
        "at": datetime(2024, 1, 1, 12, 30, 15, 123456, tzinfo=day(0).tzinfo),
        "whole": 2**63 - 1,
        "half": 0.1,
        "yes": True,
        "on": date(1969, 12, 31),
        "local": datetime(2024, 1, 1, 12, 30, 15, 123456),  # noqa: DTZ001 - a local time is what is tested
        "price": Decimal("1234567890.12"),
        "exact": Decimal("12345678901234567890123456789.123456789"),
        "any": '{"a": [1, null, "ü"]}',
        "lines": [{"code": "x", "parts": [{"code": "y", "sizes": [1, 2]}]}, {"code": None, "parts": []}],
    }
    technical = {"_deleted": False, "_extracted_at": day(100), "_run_id": "run"}
    empty = dict.fromkeys(contract.names) | {"id": "b", "lines": []}
    land(pair.table(), [full | technical, empty | technical], days(0, 2), schema=pa.schema([*contract, *TECHNICAL]))
    pair.warehouse.merge(target, pair.table(), "run")
    one, two = ({name: found[name] for name in contract.names} for found in pair.rows(target))
    assert json.loads(one.pop("any")) == json.loads(full.pop("any"))
    assert one == full
    assert two == empty


def test_odd_names_are_quoted(pair: Pair) -> None:
    """A stream and columns named like SQL words, or like what the SQL itself names, work."""
    table = pair.lake.table("select", "group")
    names = ["s", "t", "days", "inserted", "version", "lake"]
    contract = pa.schema([("order", pa.string()), ("table", pa.timestamp("us", "UTC")), *[(name, pa.string()) for name in names]])
    values = {name: name for name in names}
    one = {"order": "a", "table": day(1), **values, "_deleted": False, "_extracted_at": day(1), "_run_id": "r"}
    land(table, [one], days(0, 2), schema=pa.schema([*contract, *TECHNICAL]))
    target = Target("select", "group", contract, {}, ("order",), "table", "merge", tombstones=True)
    pair.warehouse.merge(target, table, "run")
    assert pair.rows(target, "_live") == [{"order": "a", "table": day(1), **values}]


def test_queries_take_parameters_and_errors_are_ours(pair: Pair) -> None:
    """Values are parameters, and a wrong query is a WarehouseError."""
    pair.warehouse.check()
    assert pair.warehouse.query("SELECT ? AS a, ? AS b", [1, "it's"]).to_pylist() == [{"a": 1, "b": "it's"}]
    with pytest.raises(WarehouseError, match="nowhere"):
        pair.warehouse.query("SELECT * FROM nowhere.nothing")
