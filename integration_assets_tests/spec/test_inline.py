"""A contract that is written in the spec itself is the same contract as a pandera model that says the same."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Annotated, Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from integration_assets.errors import SpecError
from integration_assets.spec import Cursor, Source, Stream
from integration_assets.spec.contract import (
    Boolean,
    Date,
    Float64,
    Int64,
    String,
    Timestamp,
    check_stream,
    column,
    load_contract,
)
from integration_assets.spec.inline import Checks, InlineColumn, InlineContract

Money = Annotated[pd.ArrowDtype, pa.decimal128(18, 2)]
Tags = Annotated[pd.ArrowDtype, pa.list_(pa.string())]
Place = Annotated[pd.ArrowDtype, pa.struct([("city", pa.string()), ("tags", pa.list_(pa.int64()))])]
NEW_YEAR = "2024-01-01T00:00:00Z"


class Everything(pandera.DataFrameModel):
    """A row with a column of each kind."""

    id: String = column(nullable=False, str_length={"min_value": 3}, str_matches="[a-z]+", description="Its name.")
    size: Int64 = column("a.b[0].size", ge=0, lt=10, isin=[1, 2])
    share: Float64 = column(in_range={"min_value": 0, "max_value": 1, "include_min": True, "include_max": False})
    open: Boolean = column(eq=True)
    day: Date = column(format="%d.%m.%Y")
    at: Timestamp = column("@at", format="epoch_ms", nullable=False, gt=pd.Timestamp(NEW_YEAR))
    raw: String = column(format="json", pii="redact")
    total: Money = column(ge=0)
    tags: Tags = column()
    place: Place = column()


EVERYTHING: dict[str, Any] = {
    "description": "A row with a column of each kind.",
    "columns": {
        "id": {
            "type": "string",
            "nullable": False,
            "checks": {"str_length": {"min_value": 3}, "str_matches": "[a-z]+"},
            "description": "Its name.",
        },
        "size": {"type": "int64", "path": "a.b[0].size", "checks": {"ge": 0, "lt": 10, "isin": [1, 2]}},
        "share": {"type": "float64", "checks": {"in_range": {"min_value": 0, "max_value": 1, "include_max": False}}},
        "open": {"type": "boolean", "checks": {"eq": True}},
        "day": {"type": "date", "format": "%d.%m.%Y"},
        "at": {"type": "timestamp", "path": "@at", "format": "epoch_ms", "nullable": False, "checks": {"gt": NEW_YEAR}},
        "raw": {"type": "string", "format": "json", "pii": "redact"},
        "total": {"type": "decimal(18, 2)", "checks": {"ge": 0}},
        "tags": {"type": "list<string>"},
        "place": {"type": "struct<city: string, tags: list<int64>>"},
    },
}


def stream(**settings: Any) -> Stream:  # noqa: ANN401 - the spec validates them
    """A stream with that contract."""
    return Stream(**{"name": "things", "path": "/things", "contract": InlineContract(**EVERYTHING), "key": ("id",)} | settings)


def test_it_is_the_same_contract_as_the_model() -> None:
    """Columns, types, paths, checks and so the hash are those of the pandera model: moving it into the spec changes nothing."""
    inline, imported = load_contract(InlineContract(**EVERYTHING)), load_contract(f"{__name__}:Everything")
    assert inline.columns == imported.columns
    assert inline.arrow_schema.equals(imported.arrow_schema, check_metadata=True)
    assert inline.description == imported.description
    assert inline.hash == imported.hash


def test_a_column_says_in_a_spec_what_it_says_in_a_model() -> None:
    """Whatever `column(…)` takes is a setting of a column in a spec too, and the other way round."""
    in_model = {name for name, given in inspect.signature(column).parameters.items() if given.kind is not given.VAR_KEYWORD}
    assert in_model == set(InlineColumn.model_fields) - {"type", "checks"}
    pandera_s = set(inspect.signature(pandera.Field).parameters)
    assert set(Checks.model_fields) <= pandera_s


def test_it_rejects_what_the_model_rejects() -> None:
    """The same rows fail, for the same checks, times included."""
    contracts = [load_contract(InlineContract(**EVERYTHING)), load_contract(f"{__name__}:Everything")]
    table = pa.table(
        {
            "id": ["ab", "abc"],
            "size": [3, 1],
            "share": [1.0, 0.0],
            "open": [False, True],
            "day": [None, None],
            "at": [pd.Timestamp("2023-12-31", tz="UTC"), pd.Timestamp("2024-01-02", tz="UTC")],
            "raw": [None, None],
            "total": [None, None],
            "tags": [None, None],
            "place": [None, None],
        }
    )
    found = []
    for contract in contracts:
        frame = table.cast(contract.arrow_schema).to_pandas(types_mapper=pd.ArrowDtype)
        with pytest.raises(pandera.errors.SchemaErrors) as error:
            contract.schema.validate(frame, lazy=True)
        cases = error.value.failure_cases
        found.append(sorted(zip(cases["column"], cases["check"].astype(str), cases["index"], strict=True)))
    assert found[0] == found[1]
    assert {(name, row) for name, _, row in found[0]} == {(name, 0) for name in ("id", "size", "share", "open", "at")}


@pytest.mark.parametrize(
    ("settings", "field", "said"),
    [
        ({"type": "strng"}, "type", "no type 'strng'"),
        ({"type": "decimal(2, 3)"}, "type", "no type"),
        ({"type": "list<string"}, "type", "no type"),
        ({"type": "string", "path": "a..b"}, "path", "not a path"),
        ({"type": "timestamp", "format": "epoch"}, "format", "no format 'epoch'"),
        ({"type": "int64", "format": "json"}, "format", "kept as a string"),
        ({"type": "int64", "checks": {"str_length": {"min_value": 1}}}, "checks.str_length", "cannot be checked by str_length"),
        ({"type": "boolean", "checks": {"ge": 0}}, "checks.ge", "cannot be checked by ge"),
        ({"type": "string", "checks": {"str_matches": "["}}, "checks.str_matches", "not a regular expression"),
        ({"type": "timestamp", "checks": {"ge": "2024"}}, "checks.ge", "no timestamp"),
        ({"type": "timestamp", "checks": {"ge": "2024-01-01T00:00:00"}}, "checks.ge", "no time zone"),
        ({"type": "string", "nullabel": False}, "nullabel", "no setting 'nullabel'"),
    ],
)
def test_a_mistake_in_a_column_is_found_while_loading(settings: dict[str, Any], field: str, said: str) -> None:
    """A wrong type, path, format or check is an error that names it, before pandera is imported."""
    with pytest.raises(SpecError, match="(?i)" + said.replace("(", r"\(")) as error:
        InlineContract(columns={"a": settings})
    assert error.value.field == field


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"key": ("idd",)}, "key"),
        ({"version": "changed"}, "version"),
        ({"cursor": Cursor(field="when")}, "cursor.field"),
        ({"cursor": Cursor(field="size")}, "cursor.kind"),
    ],
)
def test_key_version_and_cursor_are_columns_of_it(settings: dict[str, Any], field: str) -> None:
    """What only the first run would find for an imported contract is found while loading."""
    with pytest.raises(SpecError) as error:
        stream(**settings)
    assert error.value.field == field


def test_a_stream_with_it_is_checked_as_any_other() -> None:
    """The spec's own check takes it, and says of receipts and metadata that the contract is in the spec."""
    mine = stream(cursor=Cursor(field="at"))
    source = Source(name="shop", base_url="https://shop.example", streams=(mine,))
    assert check_stream(source, mine).column("at").path == ("@at",)
    assert mine.contract_name == "in the spec"


def test_writing_it_loads_nothing_heavy() -> None:
    """A spec with a contract in it is made without pandas, pandera or pyarrow."""
    script = (
        "import sys; from integration_assets.spec.inline import Checks, InlineColumn, InlineContract;"
        "InlineContract(columns={'id': {'type': 'string'}});"
        "print([name for name in ('pandas', 'pandera', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"
