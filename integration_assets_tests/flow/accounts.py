"""An API that keeps the orders of its accounts apart, lists the accounts, and can fail for one of them; and what reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pandera.pandas as pandera

from integration_assets.feed import Feed, open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import Cursor, Json, Limits, Listing, PageNumber, Partitions, Slice, Source, Stream, Tenants
from integration_assets.spec.contract import Int64, String, Timestamp, column
from integration_assets.spec.receipt import Receipt
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync

HERE = "integration_assets_tests.flow.accounts"
START = datetime(2024, 3, 1, tzinfo=UTC)
KEYS = ("eu", "us", "a/p 1")


class Order(pandera.DataFrameModel):
    """An order of an account. Numbers begin at one in each."""

    account: String = column(nullable=False, description="Whose it is; the API does not send it.")
    id: Int64 = column(nullable=False, description="The order's number.")
    amount: Int64 = column(nullable=False, ge=0, description="Cents.")
    updated_at: Timestamp = column(nullable=False, description="When this version was made.")


class Plain(pandera.DataFrameModel):
    """An order, before there were accounts."""

    id: Int64 = column(nullable=False)
    amount: Int64 = column(nullable=False, ge=0)
    updated_at: Timestamp = column(nullable=False)


@dataclass
class Accounts:
    """The API's data by account, what it answers instead for some, and its clock.

    asked : what was asked of each account, in order.
    slices : so many accounts are pulled at once.
    """

    folder: Path
    orders: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    now: datetime = START + timedelta(days=10)
    on_ask: Callable[[str], object] = lambda _: None
    slices: int = 4
    url: str = ""

    def fill(self, keys: Sequence[str] = KEYS, days: int = 10) -> None:
        """One order a day and account, at noon, with the same numbers in each account."""
        for key in keys:
            self.orders[key] = [self.order(key, day) for day in range(days)]

    def order(self, key: str, day: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
        """An account's order of a day."""
        made = START + timedelta(days=day, hours=12)
        return {"id": day + 1, "amount": 100 * day + len(key), "updated_at": made.isoformat(), **changes}

    def stream(self, **changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
        """The orders of three accounts, each under a path of its own."""
        described = Stream(
            name="orders",
            path="/accounts/{account}/orders",
            contract=f"{HERE}:Order",
            key=("account", "id"),
            format=Json(records="data"),
            cursor=Cursor(field="updated_at", start=START, start_param="since", end_param="before", lookback=timedelta(hours=1)),
            tenants=Tenants(column="account", keys=KEYS),
        )
        return described.changed(**changes)

    def listed(self, **changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
        """The same for the accounts that the API lists, two a page."""
        listing = Listing(
            name="accounts", path="/accounts", records="data", field="key", paging=PageNumber(size_param="size", size=2)
        )
        return self.stream(tenants=Tenants(column="account", listing=listing)).changed(**changes)

    def daily(self, **changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
        """The orders by day and account."""
        return self.stream(partitions=Partitions(every="day", start=date(2024, 3, 1)), **changes)

    def source(self, *streams: Stream) -> Source:
        """The API with the streams, quick to give up."""
        return Source(
            name="accounts",
            base_url=self.url,
            clock_path="/clock",
            streams=streams or (self.stream(),),
            limits=Limits(attempts=2, wait_initial=0, wait_max=0, slices=self.slices),
        )

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment that puts everything into the folder."""
        return {
            "INTEGRATION_LAKE_URI": str(self.folder / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(self.folder / "warehouse.duckdb"),
        }

    @contextmanager
    def feed(self, stream: Stream | None = None) -> Iterator[tuple[Feed, Stores]]:
        """The stream, opened over this API's lake and warehouse."""
        settings = Settings.from_environ(self.environ)
        stores = Stores.from_settings(settings)
        with open_feeds(self.source(stream or self.stream()), stores, settings) as (feed,):
            yield feed, stores

    def pull(self, stream: Stream | None = None, **wanted: Any) -> list[Receipt]:  # noqa: ANN401 - what sync takes
        """Sync and merge; the receipts of what landed, also when an error comes after it."""
        receipts: list[Receipt] = []
        with self.feed(stream) as (feed, stores):
            try:
                receipts.extend(sync(feed, "run", **wanted))
            finally:
                merge(feed, stores, "run")
        return receipts

    def finished(self, stream: Stream | None = None) -> tuple[Slice, ...]:
        """What the lake says is finished."""
        with self.feed(stream) as (feed, _):
            return feed.table.state().finished

    def rows(self, columns: str = "account, id, amount") -> list[tuple[Any, ...]]:
        """The warehouse's live rows."""
        with self.feed() as (_, stores):
            found = stores.warehouse.query(f"select {columns} from accounts.orders where _deleted_at is null order by 1, 2")
        return [tuple(row.values()) for row in found.to_pylist()]

    def truth(self, *keys: str) -> list[tuple[Any, ...]]:
        """The rows that the warehouse should have of these accounts."""
        return sorted((key, one["id"], one["amount"]) for key in keys or self.orders for one in self.orders[key])

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Status and body of one request."""
        if path == "/clock":
            return 200, {}
        if path == "/accounts":
            page, size = int(query["page"]), int(query["size"])
            return 200, {"data": [{"key": key} for key in list(self.orders)[(page - 1) * size : page * size]]}
        key = unquote(path.split("/")[2]) if path.startswith("/accounts/") else query.get("account", "")
        self.asked.append((key, query))
        self.on_ask(key)
        if key in self.broken:
            return self.broken[key], {"error": "out of order"}
        if key not in self.orders:
            return 404, {"error": "no such account"}
        since = datetime.fromisoformat(query["since"]) if "since" in query else START
        before = datetime.fromisoformat(query["before"]) if "before" in query else self.now
        return 200, {"data": [o for o in self.orders[key] if since <= datetime.fromisoformat(o["updated_at"]) < before]}

    @contextmanager
    def served(self) -> Iterator[Accounts]:
        """Answer requests while the context is open."""
        accounts = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                """A page, or its headers alone."""
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                if "account" not in query and self.headers.get("X-Account"):
                    query["account"] = str(self.headers["X-Account"])
                status, body = accounts.answer(url.path, query)
                content = json.dumps(body).encode()
                self.send_response_only(status)
                self.send_header("Date", f"{accounts.now:%a, %d %b %Y %H:%M:%S GMT}")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            do_HEAD = do_GET  # noqa: N815 - as the library names it

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            self.url = f"http://127.0.0.1:{server.server_port}"
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            try:
                yield self
            finally:
                server.shutdown()
