"""The gate splits good rows from bad ones, with every reason."""

import gc
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest

from integration_assets.errors import SpecError
from integration_assets.spec.contract import load_contract
from integration_assets.spec.records import DELETED, Batch, Reject
from integration_assets.validate.gate import Gate

NOW = datetime(2024, 5, 1, tzinfo=UTC)
HERE = "integration_assets_tests.validate.contracts"


def batch(model: str, *rows: dict[str, object]) -> Batch:
    """Make a batch of the model's rows; `gone=True` makes a tombstone; the raw record is the row's number."""
    schema = load_contract(f"{HERE}:{model}").arrow_schema
    table = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)
    table = table.append_column(DELETED, pa.array([bool(row.get("gone")) for row in rows], pa.bool_()))
    return Batch(table, [str(number).encode() for number in range(len(rows))], (), len(rows))


def order(id_: str | None, amount: int | None = 1, discount: int | None = 0, at: datetime | None = NOW) -> dict[str, object]:
    """Make one order."""
    return {"id": id_, "amount": amount, "discount": discount, "at": at}


ORDERS = Gate(load_contract(f"{HERE}:Order"), required=("id", "at"), key=("id",))


def test_a_bad_row_is_rejected_alone_with_every_reason() -> None:
    """Neighbours pass; the bad row is kept whole with all that is wrong with it, and its key."""
    accepted, rejects = ORDERS.check(batch("Order", order("a"), order("b", amount=-5, discount=3), order("c")))
    assert accepted.column("id").to_pylist() == ["a", "c"]
    assert rejects == [
        Reject(b"1", ("amount: must be greater_than_or_equal_to(0), got -5", "row: discount is not above amount"), "b")
    ]


def test_a_null_key_or_cursor_rejects_the_record() -> None:
    """A record without its key or its cursor cannot be placed, and says so once."""
    _, rejects = ORDERS.check(batch("Order", order(None), order("b", at=None)))
    assert [reject.reasons for reject in rejects] == [("id: is null",), ("at: is null",)]
    assert [reject.key for reject in rejects] == [None, "b"]


def test_a_tombstone_needs_only_its_key_and_cursor() -> None:
    """What is gone is not held against the contract, but must say what and when."""
    gone = {"id": "a", "at": NOW, "gone": True}
    accepted, rejects = ORDERS.check(batch("Order", gone, {"at": NOW, "gone": True}))
    assert accepted.num_rows == 1
    assert [reject.reasons for reject in rejects] == [("id: is null",)]


def test_absent_values_pass_the_checks_of_a_nullable_column() -> None:
    """A null is not compared with the limits of a column that may be null."""
    accepted, rejects = ORDERS.check(batch("Order", order("a", amount=None, discount=None)))
    assert (accepted.num_rows, rejects) == (1, [])


def test_a_check_that_breaks_on_some_rows_rejects_only_those() -> None:
    """A row that a check cannot even be evaluated on is narrowed down to, and its neighbours pass."""
    rows = [{"id": str(number * 2)} for number in range(50)]
    rows[17] = {"id": "odd"}
    accepted, rejects = Gate(load_contract(f"{HERE}:Fragile")).check(batch("Fragile", *rows))
    assert accepted.num_rows == 49
    assert [reject.payload for reject in rejects] == [b"17"]


@pytest.mark.parametrize("bad", [{3, 4}, {0, 99}, {0, 50, 99}, set(range(40, 60))])
def test_rows_are_never_blamed_for_their_neighbours(bad: set[int]) -> None:
    """Wherever the rows are that a check breaks on, exactly those are rejected."""
    rows = [{"id": "odd" if number in bad else str(number * 2)} for number in range(100)]
    accepted, rejects = Gate(load_contract(f"{HERE}:Fragile")).check(batch("Fragile", *rows))
    assert accepted.num_rows == 100 - len(bad)
    assert {int(reject.payload) for reject in rejects} == bad


def test_a_check_that_never_works_rejects_with_its_error() -> None:
    """When a check raises on every row, every row is rejected with the error, and the slice's threshold does the rest."""
    accepted, rejects = Gate(load_contract(f"{HERE}:Broken")).check(
        batch("Broken", *({"id": str(number)} for number in range(9)))
    )
    assert accepted.num_rows == 0
    assert all("boom" in reject.reasons[0] or "impossible" in reject.reasons[0] for reject in rejects)


def test_rejects_of_the_decoder_are_passed_on() -> None:
    """What did not decode is part of the same account."""
    given = batch("Order", order("a"))
    early = Reject(b"{", ("not JSON",))
    _, rejects = ORDERS.check(Batch(given.table, given.raw, (early,), 2))
    assert rejects == [early]


def test_no_batch_outlives_its_check() -> None:
    """Memory does not grow with the number of batches: what pandera looked at is free when the gate is done with it."""

    def alive() -> int:
        return sum(isinstance(found, pd.DataFrame) for found in gc.get_objects())

    some = batch("Order", *(order(str(number)) for number in range(100)))
    ORDERS.check(some)
    gc.collect()
    before = alive()
    gc.disable()  # else it would depend on what else was made meanwhile
    try:
        for _ in range(3):
            ORDERS.check(some)
        assert alive() == before
    finally:
        gc.enable()


def test_a_model_that_cannot_be_loaded_is_told_by_the_first_check() -> None:
    """What goes wrong while the gate is loaded beside the first pages is raised where rows are checked, with its reason."""

    def broken() -> None:
        raise SpecError("the contract's module is gone")

    gate = Gate(replace(load_contract(f"{HERE}:Order"), model=broken), key=("id",))
    gate.warm_up()
    with pytest.raises(SpecError, match="module is gone"):
        gate.check(batch("Order", order("a")))
