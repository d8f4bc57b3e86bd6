"""Whose a record is: written in where the API does not send it, checked where it does."""

from __future__ import annotations

import json
from typing import Any

import pandera.pandas as pandera
import pytest

from integration_assets.extract.decode import DecodedPage, decoder_for
from integration_assets.extract.json_decode import JsonReader
from integration_assets.extract.plan import plan_for
from integration_assets.spec import Csv, Format, Json, Ndjson, Tenants, Tombstone, Xml
from integration_assets.spec.contract import Boolean, Int64, String, column, load_contract
from integration_assets.spec.records import DELETED
from integration_assets_tests.extract.models import source, stream


class Named(pandera.DataFrameModel):
    """A record of an account that has a name."""

    account: String = column("owner.name", nullable=False)
    id: Int64 = column(nullable=False)
    ok: Boolean = column()


class Numbered(pandera.DataFrameModel):
    """A record of an account that has a number."""

    account: Int64 = column(nullable=False)
    id: Int64 = column(nullable=False)


def described(model: type, format_: Format, **settings: Any):  # noqa: ANN201, ANN401
    """A stream of two accounts."""
    return stream(
        model,
        path="/{account}/things",
        format=format_,
        tenants=Tenants(column="account", keys=("7", "8")),
        contract=f"{__name__}:{model.__name__}",
        **settings,
    )


def decode(body: object, model: type, format_: Format | None = None, **settings: Any) -> DecodedPage:  # noqa: ANN401
    """One page of account 7."""
    text = body if isinstance(body, str) else json.dumps({"data": body})
    chosen = described(model, format_ or Json(records="data"), **settings)
    return decoder_for(source("http://127.0.0.1", chosen), chosen, load_contract(chosen.contract), "7").page(text.encode())


def whose(page: DecodedPage) -> list[Any]:
    """The tenants' column."""
    return list(page.batch.table.column("account").to_pylist())


@pytest.mark.parametrize("odd", [{}, {"ok": "yes"}], ids=["quick", "strict"])
def test_a_record_without_the_column_gets_it(odd: dict[str, Any]) -> None:
    """Absent and null become the tenant's key by either way of reading, and neither counts as a field that is missing."""
    records = [{"id": 1}, {"id": 2, "owner": {"name": None}}, {"id": 3, "owner": {"name": "7"}}, {"id": 4, **odd}]
    page = decode(records, Named)
    assert whose(page) == ["7"] * (3 if odd else 4)
    assert not page.drift.missing.keys() & {"owner.name"}
    assert not page.drift.new
    page = decode([{"id": 1}, {"id": 2, **odd}], Named)
    assert whose(page) == ["7"] * (1 if odd else 2)
    assert not page.drift.missing.keys() & {"owner.name"}


def test_a_record_of_another_tenant_is_rejected_alone() -> None:
    """It says what it should have been; the others land."""
    page = decode([{"id": 1, "owner": {"name": "7"}}, {"id": 2, "owner": {"name": "8"}}, {"id": 3}], Named)
    assert page.batch.table.column("id").to_pylist() == [1, 3]
    (reject,) = page.batch.rejects
    assert reject.reasons == ("owner.name: is not the tenant that was asked for, got '8'",)
    assert json.loads(reject.payload)["id"] == 2


def test_a_number_is_a_number() -> None:
    """A whole-number column gets the key as one, and compares it as one."""
    page = decode([{"id": 1}, {"id": 2, "account": 7}, {"id": 3, "account": 8}, {"id": 4, "account": "7"}], Numbered)
    assert whose(page) == [7, 7]
    assert [reject.reasons[0].partition(",")[0] for reject in page.batch.rejects] == [
        "account: is not the tenant that was asked for",
        "account: expected int64",
    ]


@pytest.mark.parametrize(
    ("body", "format_"),
    [
        ("id\n1\n", Csv()),
        ("id,account\n1,\n2,7\n", Csv()),
        ('{"id": 1}\n{"id": 2, "account": 7}\n', Ndjson()),
        ("<r><x><id>1</id></x><x><id>2</id><account>7</account></x></r>", Xml(record="x")),
    ],
)
def test_every_format_gets_it(body: str, format_: Format) -> None:
    """CSV, NDJSON and XML as well."""
    assert set(whose(decode(body, Numbered, format_))) == {7}


def test_another_tenants_row_in_a_csv() -> None:
    """Text is compared as what it means."""
    page = decode("id,account\n1,+7\n2,8\n", Numbered, Csv())
    assert (whose(page), len(page.batch.rejects)) == ([7], 1)


def test_a_tombstone_gets_it_too() -> None:
    """A deletion that names no account deletes the tenant's record, so it needs the tenant's key."""
    page = decode([{"id": 1, "gone": True}], Numbered, tombstone=Tombstone(path="gone"))
    assert page.batch.table.to_pylist() == [{"account": 7, "id": 1, DELETED: True}]


def test_the_quick_way_reads_what_is_as_it_should_be() -> None:
    """A page whose records come with the right key, or with none, is not read record by record."""
    chosen = described(Named, Json(records="data"))
    reader = JsonReader(plan_for(chosen, load_contract(chosen.contract), "7"), "data")
    assert reader._quickly([json.dumps([{"id": 1, "owner": {"name": "7"}}, {"id": 2}]).encode()]) is not None
    assert reader._quickly([json.dumps([{"id": 1, "owner": {"name": "8"}}]).encode()]) is None
