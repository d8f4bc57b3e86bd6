"""A child that is described wrongly is refused when it loads, saying where and what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from integration_assets.errors import SpecError
from integration_assets.spec import Cursor, Parent, Partitions, Source, Stream, Sweep, Tenants
from integration_assets.spec.contract import check_stream
from integration_assets.spec.parent import parents_first
from integration_assets_tests.fanout.orders import HERE, START, items, orders

COLUMNS = {"order_id": "id", "order_changed_at": "changed_at"}


def source(*streams: Stream) -> Source:
    """The streams, of an API that is not asked."""
    return Source(name="shop", base_url="https://shop.example", streams=streams)


def parent(**changes: Any) -> Parent:  # noqa: ANN401 - any setting of a parent
    """The orders."""
    return Parent(stream="orders", keys={"order_id": "id"}, columns=COLUMNS).changed(**changes)


def cursor(**changes: Any) -> Cursor:  # noqa: ANN401 - any setting of a cursor
    """The items' own."""
    return Cursor(field="order_changed_at", start=START, lookback=timedelta(hours=1)).changed(**changes)


@pytest.mark.parametrize(
    ("field", "said", "described"),
    [
        ("parent.stream", "no stream 'shops'", lambda: source(orders(), items(parent=parent(stream="shops")))),
        ("parent.stream", "items is a child of items", lambda: source(orders(), items(parent=parent(stream="items")))),
        ("parent.stream", "has no cursor", lambda: source(orders(cursor=None, tombstone=None), items())),
        ("parent.stream", "has tenants", lambda: source(_by_region(), items())),
        ("path", "{order} is none of the parent's keys", lambda: items(path="/orders/{order}/items/{order_id}")),
        ("parent.keys", "names {order_id}", lambda: items(path="/items")),
        ("cursor", "along their parent's cursor", lambda: items(cursor=None)),
        ("cursor", "and not for a range", lambda: items(cursor=cursor(start_param="since"))),
        ("parent.columns", "is not copied", lambda: items(parent=parent(columns={"order_id": "id"}))),
        ("cursor.field", "is not the parent's", lambda: source(orders(), items(cursor=cursor(field="order_id")))),
        ("cursor.lookback", "shorter", lambda: source(orders(), items(cursor=cursor(lookback=timedelta(0))))),
        ("key", "overwrite", lambda: source(orders(), items(key=("id",)))),
        ("partitions", "not those of orders", lambda: source(orders(), items(partitions=_days()))),
        ("sweep.path", "no one address", lambda: items(sweep=Sweep(total_path="total"))),
        ("tenants", "has no tenants", lambda: items(tenants=Tenants(column="order_id", keys=("a",)))),
    ],
)
def test_what_does_not_fit_is_refused(field: str, said: str, described: Callable[[], object]) -> None:
    """Each mistake names its setting and has a remedy."""
    with pytest.raises(SpecError, match=said) as refused:
        described()
    assert (refused.value.field, bool(refused.value.remedy)) == (field, True)


def test_columns_are_checked_against_both_contracts() -> None:
    """A type that differs, a column that is not there and a personal key are refused before anything is asked."""
    for broken, said in (
        (parent(keys={"order_id": "number"}), "'number' is no column of Order"),
        (parent(columns={**COLUMNS, "pieces": "state"}), "'pieces' has the type int64, the parent's 'state' has string"),
        (parent(keys={"order_id": "changed_at"}), "has the type timestamp"),
    ):
        described = source(orders(), items(parent=broken))
        with pytest.raises(SpecError, match=said):
            check_stream(described, described.stream("items"))
    personal = source(orders(contract=f"{HERE}:PersonalOrder"), items())
    with pytest.raises(SpecError, match="which is personal"):
        check_stream(personal, personal.stream("items"))


def test_parents_come_first() -> None:
    """Whatever the order in the spec, a stream comes after the one that it is asked by; others stay where they are."""
    parts = items(name="parts", path="/x/{order_id}", parent=parent(stream="items"))
    streams = (parts, items(), orders(name="other"), orders())
    assert [stream.name for stream in parents_first(streams)] == ["orders", "items", "parts", "other"]


def _by_region() -> Stream:
    return orders(path="/{id}/orders", tenants=Tenants(column="id", keys=("eu",)))


def _days() -> Partitions:
    return Partitions(every="day", start=date(2024, 3, 1))
