"""A shop's API on loopback that can be told to fail, and the source that describes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from integration_assets.spec import Bearer, Cursor, Json, Limits, Partitions, Source, Stream

KEY = "shop-test-key-6b1f"


@dataclass
class Shop:
    """The API's data and its moods.

    broken     : days of which every request is answered with this status.
    on_ask     : called at each request for orders.
    mend_after : refusals after which it works again; None for never.
    clock      : what its Date headers say; None is the real time.
    held       : days whose answers wait until the event is set, five minutes at most.
    """

    orders: list[dict[str, Any]] = field(default_factory=list)
    countries: list[dict[str, Any]] = field(default_factory=lambda: [{"code": "DE", "name": "Germany"}])
    broken: dict[str, int] = field(default_factory=dict)
    mend_after: int | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""
    on_ask: Callable[[], object] = lambda: None
    clock: datetime | None = None
    held: dict[str, Event] = field(default_factory=dict)

    def fill(self, start: date, days: int, each: int) -> None:
        """Put `each` orders into every day, one an hour."""
        for day in range(days):
            for number in range(each):
                at = datetime.combine(start + timedelta(days=day), datetime.min.time(), UTC) + timedelta(hours=number)
                self.orders.append({"id": f"{at:%m%d%H}", "amount": number, "note": "a|b", "updated_at": at.isoformat()})

    def answer(self, path: str, query: dict[str, str], key: str | None) -> tuple[int, dict[str, Any]]:
        """Status and body of one request."""
        if key != f"Bearer {KEY}":
            return 401, {"error": "who are you?"}
        if path == "/clock":
            return 200, {}
        if path == "/countries":
            return 200, {"data": self.countries}
        since, before = query.get("since", ""), query.get("before", "9")
        self.asked.append(since[:10])
        self.on_ask()
        if since[:10] in self.held:
            self.held[since[:10]].wait(300)
        if since[:10] in self.broken:
            return self._refuse(since[:10]), {"error": "out of order"}
        start, end = datetime.fromisoformat(since), datetime.fromisoformat(before)
        return 200, {"data": [o for o in self.orders if start <= datetime.fromisoformat(o["updated_at"]) < end]}

    def _refuse(self, day: str) -> int:
        status = self.broken[day]
        if self.mend_after is not None:
            self.mend_after -= 1
            if self.mend_after <= 0:
                self.broken.clear()
        return status

    @contextmanager
    def served(self) -> Iterator[Shop]:
        """Answer requests while the context is open."""
        shop = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                status, body = shop.answer(url.path, query, self.headers.get("Authorization"))
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def date_time_string(self, timestamp: float | None = None) -> str:
                return format_datetime(shop.clock, usegmt=True) if shop.clock else super().date_time_string(timestamp)

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


def source(url: str = "http://127.0.0.1:1", **changes: Any) -> Source:  # noqa: ANN401 - any setting of a Source
    """The shop: orders by daily partition, returns without partitions, countries as a whole."""
    contracts = "integration_assets_tests.orchestrate.contracts"
    cursor = Cursor(field="updated_at", start_param="since", end_param="before", start=datetime(2024, 3, 1, tzinfo=UTC))
    settings: dict[str, Any] = {
        "name": "shop",
        "base_url": url,
        "auth": Bearer(secret="SHOP_KEY"),
        "limits": Limits(attempts=1, wait_initial=0, wait_max=0, slices=1),  # most tests are about an order
        "owners": ("team:sales",),
        "docs_url": "https://shop.example/docs",
        "streams": (
            Stream(
                name="orders",
                path="/orders",
                contract=f"{contracts}:Order",
                key=("id",),
                format=Json(records="data"),
                cursor=cursor,
                partitions=Partitions(every="day", start=date(2024, 3, 1)),
                reject_threshold=0.5,
            ),
            Stream(
                name="returns",
                path="/orders",
                contract=f"{contracts}:Order",
                key=("id",),
                format=Json(records="data"),
                cursor=cursor.model_copy(update={"safety_lag": timedelta(days=1)}),
                disposition="append",
            ),
            Stream(
                name="countries",
                path="/countries",
                contract=f"{contracts}:Country",
                key=("code",),
                format=Json(records="data"),
                disposition="replace",
            ),
        ),
    }
    return Source(**{**settings, **changes})
