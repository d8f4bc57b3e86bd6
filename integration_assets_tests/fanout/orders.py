"""An API of orders and of each order's items, which a test changes between syncs, and everything to pull both."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pandera.pandas as pandera

from integration_assets.feed import Feed, open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import Cursor, Json, Limits, Offset, Parent, Partitions, Slice, Source, Stream, Tombstone
from integration_assets.spec.contract import Int64, String, Timestamp, column
from integration_assets.spec.receipt import Receipt
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync

HERE = "integration_assets_tests.fanout.orders"
START = datetime(2024, 3, 1, tzinfo=UTC)
LIMITS = Limits(attempts=4, wait_initial=0, wait_max=0, max_connections=4, breaker=None)


class Order(pandera.DataFrameModel):
    """An order, as it stands."""

    id: String = column(nullable=False, description="The order.")
    changed_at: Timestamp = column(nullable=False, description="When it last changed.")
    state: String = column(description="How far it is.")


class FirstOrder(Order):
    """An order that cannot have gone far."""

    state: String = column(isin=["s1"], description="How far it is.")


class PersonalOrder(Order):
    """An order that is called by whom it is for."""

    id: String = column(nullable=False, pii="partial", description="The customer's address.")


class Note(pandera.DataFrameModel):
    """A numbered note on an item, the only one of the item."""

    order_id: String = column(nullable=False, description="Whose item it is.")
    item: Int64 = column(nullable=False, description="Which item it is of.")
    id: Int64 = column(nullable=False, description="Its number.")
    order_changed_at: Timestamp = column(nullable=False, description="When the order had last changed.")


class NumberedOrder(pandera.DataFrameModel):
    """An order with a number that grows."""

    id: String = column(nullable=False, description="The order.")
    seq: Int64 = column(nullable=False, description="Its number.")


class NumberedItem(pandera.DataFrameModel):
    """An item of such an order."""

    order_id: String = column(nullable=False, description="Whose it is.")
    id: Int64 = column(nullable=False, description="Its number within the order.")
    pieces: Int64 = column(ge=0, description="How many.")
    seq: Int64 = column(nullable=False, description="The order's number.")


class Item(pandera.DataFrameModel):
    """An order's item."""

    order_id: String = column(nullable=False, description="Whose it is.")
    id: Int64 = column(nullable=False, description="Its number within the order.")
    pieces: Int64 = column(ge=0, description="How many.")
    order_changed_at: Timestamp = column(nullable=False, description="When the order had last changed.")


def at(hours: float) -> datetime:
    """So many hours after the API's first day began."""
    return START + timedelta(hours=hours)


def orders(**changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
    """The parents."""
    cursor = Cursor(field="changed_at", start=START, start_param="since", end_param="until", lookback=timedelta(hours=1))
    described = Stream(
        name="orders",
        path="/orders",
        contract=f"{HERE}:Order",
        key=("id",),
        format=Json(records="data"),
        cursor=cursor,
        tombstone=Tombstone(path="gone"),
    )
    return described.changed(**changes)


def items(**changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
    """The children, two a page."""
    described = Stream(
        name="items",
        path="/orders/{order_id}/items",
        contract=f"{HERE}:Item",
        key=("order_id", "id"),
        format=Json(records="data"),
        paging=Offset(limit=2, limit_param="limit", param="offset"),
        cursor=Cursor(field="order_changed_at", start=START, lookback=timedelta(hours=1)),
        parent=Parent(
            stream="orders",
            keys={"order_id": "id"},
            columns={"order_id": "id", "order_changed_at": "changed_at"},
        ),
    )
    return described.changed(**changes)


DAYS = Partitions(every="day", start=date(2024, 3, 1))


def by_day() -> tuple[Stream, Stream]:
    """Parents and children, a partition a day."""
    return orders(partitions=DAYS), items(partitions=DAYS)


@dataclass
class Api:
    """What the API has. Each answer takes `latency` seconds.

    failing : orders that answer 500 for their items; gone : those that answer 404, as all of the API does when it is `closed`.
    """

    folder: Path
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    items: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    latency: float = 0.0
    asked: list[str] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    streams: tuple[Stream, ...] = field(default_factory=lambda: (orders(), items()))
    limits: Limits = LIMITS
    clock: datetime | None = None
    closed: bool = False
    at_once: int = 0
    held: Event = field(default_factory=Event)
    _holding: str | None = None
    _released: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def put(self, order: str, hours: float, *pieces: int, gone: bool = False) -> None:
        """An order as it stands since then, with items of so many pieces."""
        self.orders[order] = {"id": order, "changed_at": at(hours).isoformat(), "state": f"s{hours}", "gone": gone}
        self.items[order] = [{"id": number, "pieces": each} for number, each in enumerate(pieces)]

    def hold(self, order: str) -> None:
        """Let the answer to that order's items wait until `release`; `held` is set when it is asked for."""
        self._holding = order

    def release(self) -> None:
        """Let all answers go."""
        self._holding = None
        self._released.set()

    @property
    def source(self) -> Source:
        """The spec over this server."""
        clock = "/clock" if self.clock else None
        return Source(name="shop", base_url=self.url, streams=self.streams, limits=self.limits, clock_path=clock)

    @property
    def environ(self) -> dict[str, str]:
        """Where the data lands."""
        return {
            "INTEGRATION_LAKE_URI": str(self.folder / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(self.folder / "warehouse.duckdb"),
            "INTEGRATION_SHOP_BASE_URL": self.url,
        }

    @contextmanager
    def feed(self, stream: str) -> Iterator[tuple[Feed, Stores]]:
        """One stream, opened."""
        settings = Settings.from_environ(self.environ)
        stores = Stores.from_settings(settings)
        with open_feeds(self.source, stores, settings, [self.source.stream(stream)]) as (feed,):
            yield feed, stores

    def pull(
        self, stream: str, now: float, partitions: Sequence[str] | None = None, span: Slice | None = None, run_id: str = "run"
    ) -> list[Receipt]:
        """Sync a stream as so many hours after the start, and merge it if it has parents; the receipts."""
        with self.feed(stream) as (feed, stores):
            receipts = list(sync(feed, run_id, partitions=partitions, span=span, now=at(now)))
            if feed.parents:
                merge(feed, stores, "run")
            return receipts

    def both(self, now: float, partitions: Sequence[str] | None = None) -> tuple[Receipt, ...]:
        """Sync parents, then children; the receipts of the children."""
        self.pull("orders", now, partitions)
        return tuple(self.pull("items", now, partitions))

    def watermark(self, stream: str) -> Slice | None:
        """The last finished range of a stream's lake table."""
        with self.feed(stream) as (feed, _):
            return next(reversed(feed.table.state().finished), None)

    def rows(self) -> set[tuple[str, int, int]]:
        """The children in the warehouse."""
        with self.feed("items") as (_, stores):
            found = stores.warehouse.query("select order_id, id, pieces from shop.items")
        return {(row["order_id"], row["id"], row["pieces"]) for row in found.to_pylist()}

    def truth(self) -> set[tuple[str, int, int]]:
        """The children that the API has, of orders that it shows as living."""
        return {
            (order, item["id"], item["pieces"])
            for order, all_ in self.items.items()
            if not self.orders[order]["gone"]
            for item in all_
        }

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Status and body of one request."""
        if self.closed:
            return 404, {"error": "closed"}
        if path == "/orders":
            return 200, {"data": self._orders(query)}
        _, _, order, *rest = path.split("/")
        # Each item has one note.
        return (200, {"data": [{"id": 1}]}) if rest[1:] else self._items(unquote(order), query)

    def _orders(self, query: dict[str, str]) -> list[dict[str, Any]]:
        since, until = query["since"], query.get("until")
        if since.isdigit():
            return [one for one in self.orders.values() if one["seq"] >= int(since)]
        start, end = datetime.fromisoformat(since), datetime.fromisoformat(until) if until else None
        moments = ((datetime.fromisoformat(one["changed_at"]), one) for one in self.orders.values())
        return [one for moment, one in moments if moment >= start and (end is None or moment < end)]

    def _items(self, order: str, query: dict[str, str]) -> tuple[int, Any]:
        if query["offset"] == "0":
            self.asked.append(order)
        if order == self._holding:
            self.held.set()
            self._released.wait(60)
        if order in self.failing:
            return 500, {"error": "broken"}
        if order in self.gone or order not in self.items:
            return 404, {"error": "no such order"}
        offset, limit = int(query["offset"]), int(query["limit"])
        return 200, {"data": self.items[order][offset : offset + limit]}

    @contextmanager
    def served(self) -> Iterator[Api]:
        """Answer requests while the context is open."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def date_time_string(self, timestamp: float | None = None) -> str:
                return format_datetime(api.clock or datetime.now(UTC), usegmt=True)

            def do_GET(self) -> None:
                with api._lock:
                    api.at_once += 1
                    api.most_at_once = max(api.most_at_once, api.at_once)
                url = urlsplit(self.path)
                time.sleep(api.latency)
                status, body = api.answer(url.path, {name: values[0] for name, values in parse_qs(url.query).items()})
                with api._lock:
                    api.at_once -= 1
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 64

        with Server(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            self.url = f"http://127.0.0.1:{server.server_port}"
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            try:
                yield self
            finally:
                server.shutdown()
