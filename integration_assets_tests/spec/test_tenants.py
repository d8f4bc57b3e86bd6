"""What a stream may say of its tenants, and the algebra of slices that are each one tenant's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandera.pandas as pandera
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration_assets.errors import SpecError
from integration_assets.spec import Cursor, Listing, Source, Stream, Tenants
from integration_assets.spec.contract import Float64, Int64, String, check_stream, column
from integration_assets.spec.cursor import Slice, finish, gaps, of, plan, watermark
from integration_assets.spec.tenants import for_tenant

NOW = datetime(2024, 5, 1, tzinfo=UTC)
PATH = "/accounts/{account}/orders"


class Order(pandera.DataFrameModel):
    """An order of an account."""

    account: String = column(nullable=False)
    number: Int64 = column(nullable=False)
    share: Float64 = column()


def stream(**changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
    """A stream of two accounts."""
    settings: dict[str, Any] = {
        "name": "orders",
        "path": PATH,
        "contract": f"{__name__}:Order",
        "key": ("account", "number"),
        "version": "number",
        "tenants": Tenants(column="account", keys=("eu", "us")),
    }
    return Stream(**{**settings, **changes})


slices = st.tuples(st.sampled_from(["eu", "us", None]), st.integers(0, 20), st.integers(1, 5)).map(
    lambda drawn: Slice(drawn[1], drawn[1] + drawn[2], drawn[0])
)


@given(st.lists(slices, max_size=20))
def test_each_tenant_is_as_if_it_were_alone(done: list[Slice]) -> None:
    """Whatever finishes in whatever order, a tenant's ranges, watermark and gaps are those of its own slices alone."""
    together: tuple[Slice, ...] = ()
    alone: dict[str | None, tuple[Slice, ...]] = {"eu": (), "us": (), None: ()}
    for one in done:
        together = finish(together, one)
        alone[one.tenant] = finish(alone[one.tenant], one)
    for tenant, finished in alone.items():
        assert of(together, tenant) == finished
        assert watermark(together, 0, tenant) == watermark(finished, 0, tenant)
        assert gaps(together, 0, tenant) == gaps(finished, 0, tenant)
        assert all(hole.tenant == tenant for hole in gaps(together, 0, tenant))
        ahead = plan(Cursor(field="n", kind="integer", lookback=2), together, 0, NOW, tenant)
        assert ahead == plan(Cursor(field="n", kind="integer", lookback=2), finished, 0, NOW, tenant)
        assert ahead.tenant == tenant


@given(slices, slices)
def test_slices_of_different_tenants_have_nothing_to_do_with_each_other(one: Slice, other: Slice) -> None:
    """They neither touch, overlap nor cover; those of one tenant do as their points say."""
    points, others = set(range(one.start, one.end)), set(range(other.start, other.end))  # type: ignore[arg-type]
    same = one.tenant == other.tenant
    assert one.overlaps(other) == (same and bool(points & others))
    assert one.covers(other) == (same and points >= others)
    assert one.touches(other) == (same and bool({*points, one.end} & {*others, other.end}))


def test_open_sides_overlap_what_lies_beyond() -> None:
    """A slice without an end overlaps all that comes after its start, and only that."""
    assert Slice(5).overlaps(Slice(7, 9))
    assert Slice(5).overlaps(Slice())
    assert not Slice(5).overlaps(Slice(None, 5))


def test_a_slice_says_whose_it_is() -> None:
    """Messages and logs name the tenant."""
    assert str(Slice(1, 2, "eu")) == "[1, 2) of eu"
    assert Slice.from_json(Slice(1, 2, "2024-01-01").to_json(), "2024-01-01") == Slice(1, 2, "2024-01-01")


def test_the_tenant_is_written_where_the_stream_says() -> None:
    """Its key stands in path, params and headers; in the path it is one segment, whatever is in it."""
    asked = for_tenant(stream(params={"a": "{account}", "n": 3}, headers={"X-Account": "id {account}"}), "a/b?c d")
    assert (asked.path, asked.params, asked.headers) == (
        "/accounts/a%2Fb%3Fc%20d/orders",
        {"a": "a/b?c d", "n": 3},
        {"X-Account": "id a/b?c d"},
    )
    with pytest.raises(SpecError, match="of which tenant"):
        for_tenant(stream(), None)
    with pytest.raises(SpecError, match="cannot be sent in a header"):
        for_tenant(stream(headers={"X-Account": "{account}"}), "münchen")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"path": "/orders"}, r"nothing that the API is asked names the tenant. Write \{account\} into path"),
        ({"path": "/{shop}/orders"}, r"\{shop\} is no tenant's key. Write \{account\}"),
        ({"tenants": None}, r"\{account\} is no tenant's key. Say in `tenants`"),
        ({"disposition": "replace"}, "cannot replace the whole table"),
        ({"conditional": True}, "each tenant has its own"),
    ],
)
def test_a_stream_that_cannot_be_asked_tenant_by_tenant_is_refused(changes: dict[str, Any], why: str) -> None:
    """Each mistake is found when the spec loads, and says what to write instead."""
    with pytest.raises(SpecError, match=why):
        stream(**changes)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "either fixed or listed"),
        ({"keys": ("eu",), "listing": Listing(name="a", path="/a", field="id")}, "either fixed or listed"),
        ({"keys": ("eu", "eu")}, "'eu' is there twice"),
        ({"keys": ("",)}, "is empty"),
        ({"keys": (" eu",)}, "white space"),
        ({"keys": ("e\nu",)}, "cannot be shown"),
        ({"keys": ("e|u",)}, r"holds '\|', which separates partition keys"),
        ({"keys": ("a...b",)}, r"holds '\.\.\.'"),
        ({"keys": ("..",)}, "step in a path"),
        ({"keys": ("x" * 101,)}, "longer than 100"),
    ],
)
def test_tenants_that_cannot_be_named_are_refused(settings: dict[str, Any], why: str) -> None:
    """A key is text that a path, a parameter and a partition key can hold."""
    with pytest.raises(SpecError, match=why):
        Tenants(column="account", **settings)


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"tenants": Tenants(column="shop", keys=("eu",)), "path": "/{shop}"}, "tenants.column", "'shop' is no column of Order"),
        ({"tenants": Tenants(column="share", keys=("1",)), "path": "/{share}"}, "tenants.column", "has the type double"),
        ({"key": ("number",)}, "key", r"overwrite each other. Write key=\('account', 'number'\)"),
        (
            {"tenants": Tenants(column="number", keys=("7", "x")), "path": "/{number}", "key": ("number",)},
            "tenants",
            "'x' is no int64",
        ),
        (
            {"tenants": Tenants(column="number", keys=("07",)), "path": "/{number}", "key": ("number",)},
            "tenants",
            "'07' is no int64",
        ),
    ],
)
def test_a_contract_that_does_not_fit_the_tenants_is_refused(changes: dict[str, Any], field: str, why: str) -> None:
    """The column is there, can hold the keys and is in the key, or the error says where and how to mend it."""
    described = stream(**changes)
    with pytest.raises(SpecError, match=why) as error:
        check_stream(Source(name="shop", base_url="https://shop.example", streams=(described,)), described)
    assert (error.value.source, error.value.stream, error.value.field) == ("shop", "orders", field)


def test_a_listing_has_one_meaning_in_a_source() -> None:
    """Streams share a listing by its name, so that two different ones may not have the same."""
    one, other = (
        stream(name=name, tenants=Tenants(column="account", listing=Listing(name="accounts", path=path, field="id")))
        for name, path in (("orders", "/accounts"), ("returns", "/v2/accounts"))
    )
    assert Source(name="shop", base_url="https://shop.example", streams=(one, one.changed(name="refunds")))
    with pytest.raises(SpecError, match="two listings of tenants are called 'accounts'"):
        Source(name="shop", base_url="https://shop.example", streams=(one, other))
