"""An API in two versions that give the same orders in different shapes, until a test changes what one of them gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandera.pandas as pandera

from integration_assets.settings import Settings
from integration_assets.shadow import Outcome, shadow
from integration_assets.spec import (
    Bearer,
    Candidate,
    Cursor,
    Json,
    Limits,
    PageNumber,
    Partitions,
    Single,
    Source,
    Stream,
    Tenants,
    Tolerance,
)
from integration_assets.spec.contract import Float64, Int64, String, Timestamp, column
from integration_assets.stores import Stores
from integration_assets_tests.extract.serving import Answer, Asked, Serving, page, serve

HERE = "integration_assets_tests.shadow.versions"
KEY = "versions-secret-key-1"
START = datetime(2024, 3, 1, tzinfo=UTC)


class Order(pandera.DataFrameModel):
    """An order as the first version spells it."""

    id: Int64 = column(nullable=False)
    amount: Float64 = column(ge=0)
    email: String = column(pii="redact")
    seen_at: Timestamp = column()
    note: String = column()
    updated_at: Timestamp = column(nullable=False)


class NewOrder(pandera.DataFrameModel):
    """The same order as the second version spells it."""

    id: Int64 = column("order.number", nullable=False)
    amount: Float64 = column("order.total", ge=0)
    email: String = column("customer.email", pii="redact")
    seen_at: Timestamp = column("seen")
    note: String = column("remark")
    updated_at: Timestamp = column("changed", nullable=False)


class NarrowOrder(pandera.DataFrameModel):
    """A second version that has no note, and an amount of another type."""

    id: Int64 = column("order.number", nullable=False)
    amount: Int64 = column("order.number")
    email: String = column("customer.email", pii="redact")
    seen_at: Timestamp = column("seen")
    updated_at: Timestamp = column("changed", nullable=False)


class ShopOrder(Order):
    """An order of a shop."""

    shop: String = column(nullable=False)


class NewShopOrder(NewOrder):
    """The same of the second version."""

    shop: String = column(nullable=False)


Row = dict[str, Any]


def orders(days: int = 3, each: int = 4) -> list[Row]:
    """So many orders a day, from the first of March."""
    made = [(START + timedelta(days=day, hours=hour), day * each + hour) for day in range(days) for hour in range(each)]
    return [
        {
            "id": number,
            "amount": 10.0 * number,
            "email": f"person{number}@private.example",
            "seen_at": moment.isoformat(),
            "note": f"note {number}",
            "updated_at": moment.isoformat(),
        }
        for moment, number in made
    ]


@dataclass
class Versions:
    """`/v1/orders` asked by `since` and `before`; `/v2/orders` by `from` and `until`, in pages of three.

    old, new : the orders that each gives.
    clock : what the API says that it is now.
    """

    folder: Path
    old: list[Row] = field(default_factory=orders)
    new: list[Row] = field(default_factory=orders)
    clock: datetime = datetime(2024, 3, 3, 12, tzinfo=UTC)
    environ: dict[str, str] = field(default_factory=dict)
    server: Serving | None = None
    other: Serving | None = None

    def candidate(self, **changes: Any) -> Candidate:  # noqa: ANN401 - any setting
        """The second version."""
        described: dict[str, Any] = {
            "path": "/v2/orders",
            "contract": f"{HERE}:NewOrder",
            "format": Json(records="items"),
            "paging": PageNumber(size=3),
            "cursor": self.cursor("from", "until"),
            "tolerances": {"amount": Tolerance(absolute=0.01), "seen_at": Tolerance(within=timedelta(seconds=1))},
            "uncompared": ("note",),
        }
        return Candidate(**described | changes)

    def cursor(self, start: str, end: str) -> Cursor:
        """By the moment of the last change."""
        return Cursor(field="updated_at", start=START, start_param=start, end_param=end, lookback=timedelta(hours=1))

    def stream(self, **changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
        """The orders of the first version."""
        described: dict[str, Any] = {
            "name": "orders",
            "path": "/v1/orders",
            "contract": f"{HERE}:Order",
            "key": ("id",),
            "format": Json(records="data"),
            "paging": Single(),
            "cursor": self.cursor("since", "before"),
            "partitions": Partitions(start=START.date()),
            "candidate": self.candidate(),
        }
        return Stream(**described | changes)

    def by_shop(self) -> Stream:
        """The orders of two shops, each under a path of its own."""
        return self.stream(
            path="/v1/{shop}/orders",
            contract=f"{HERE}:ShopOrder",
            key=("shop", "id"),
            tenants=Tenants(column="shop", keys=("north", "south")),
            candidate=self.candidate(path="/v2/{shop}/orders", contract=f"{HERE}:NewShopOrder"),
        )

    def source(self, stream: Stream | None = None) -> Source:
        """The API."""
        assert self.server is not None
        return Source(
            name="shop",
            base_url=self.server.url,
            auth=Bearer(secret="SHOP_KEY"),
            streams=(stream or self.stream(),),
            limits=Limits(attempts=2, wait_initial=0),
            clock_path="/clock",
        )

    @property
    def settings(self) -> Settings:
        """Everything in the test's folder."""
        return Settings.from_environ(
            {
                "INTEGRATION_LAKE_URI": str(self.folder / "lake"),
                "INTEGRATION_WAREHOUSE_URI": str(self.folder / "warehouse.duckdb"),
                "INTEGRATION_LIMITS_URI": str(self.folder / "limits"),
                "SHOP_KEY": KEY,
                **self.environ,
            }
        )

    def compare(self, stream: Stream | None = None, **how: Any) -> Outcome:  # noqa: ANN401 - any option of a shadow run
        """A shadow run of the stream as it is in force."""
        source = self.settings.in_force(self.source(stream))
        return shadow(source, source.streams[0], Stores.from_settings(self.settings), self.settings, **how)

    def answer(self, asked: Asked) -> Answer:
        """What either version says."""
        if asked.path == "/clock":
            return page({}, Date=self.clock.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        version, *shop, _ = asked.path.strip("/").split("/")
        first = version == "v1"
        names = ("since", "before") if first else ("from", "until")
        rows = self._between(self.old if first else self.new, *(asked.query.get(name) for name in names))
        rows = [{**row, **({"shop": shop[0]} if shop else {})} for row in rows]
        if first:
            return page({"data": rows})
        at = 3 * (int(asked.query["page"]) - 1)
        return page({"items": [_second(row) for row in rows[at : at + 3]]})

    def _between(self, rows: Sequence[Row], start: str | None, end: str | None) -> list[Row]:
        first = datetime.fromisoformat(start) if start else START
        last = datetime.fromisoformat(end) if end else datetime.max.replace(tzinfo=UTC)
        return [row for row in rows if first <= datetime.fromisoformat(row["updated_at"]) < last]

    @contextmanager
    def served(self) -> Iterator[Versions]:
        """Answer requests, on two ports."""
        with ExitStack() as stack:
            self.server = stack.enter_context(serve(self.answer))
            self.other = stack.enter_context(serve(self.answer))
            yield self


def _second(row: Mapping[str, Any]) -> Row:
    """A row as the second version spells it."""
    return {
        "order": {"number": row["id"], "total": row["amount"]},
        "customer": {"email": row["email"]},
        "seen": row["seen_at"],
        "remark": row["note"],
        "changed": row["updated_at"],
        **({"shop": row["shop"]} if "shop" in row else {}),
    }


def files(folder: Path) -> list[str]:
    """Every file in a folder but those of the limits."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(str(path) for path in found if path.parts[0] != "limits")
