"""An API of readings by the day, in pages that follow each other, which counts who asks at once; and what reads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandera.pandas as pandera

from integration_assets.feed import Feed, open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import Cursor, Json, Limits, Partitions, Source, Stream, Token
from integration_assets.spec.contract import Int64, Timestamp, column
from integration_assets.stores import Stores
from integration_assets.sync import merge

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PAGES = 3
_EACH = 4


class Reading(pandera.DataFrameModel):
    """A reading of a meter."""

    id: Int64 = column(nullable=False)
    amount: Int64 = column(nullable=False, ge=0)
    at: Timestamp = column(nullable=False)


@dataclass
class Days:
    """Twelve readings on each of `days` days, in three pages a day.

    on_ask : called with the day and the page before each answer; an int that it returns is answered as a status.
    asked  : requests by day; `most` is how many were answered at once at the most.
    """

    folder: Path
    days: int = 12
    on_ask: Callable[[str, int], int | None] = lambda _day, _page: None
    asked: Counter[str] = field(default_factory=Counter)
    flying: int = 0
    most: int = 0
    limits: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    _lock: Lock = field(default_factory=Lock)

    @property
    def readings(self) -> list[dict[str, Any]]:
        """All readings of all days."""
        every = DAY / (PAGES * _EACH)
        return [
            {"id": number, "amount": number % 7, "at": (START + number * every).isoformat()}
            for number in range(self.days * PAGES * _EACH)
        ]

    def keys(self) -> list[str]:
        """The days' partition keys."""
        return [f"{START + number * DAY:%Y-%m-%d}" for number in range(self.days)]

    @property
    def requests(self) -> int:
        """How many requests for readings there were."""
        return sum(self.asked.values())

    def stream(self, **changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
        """The readings by day."""
        described = Stream(
            name="readings",
            path="/readings",
            contract="integration_assets_tests.flow.days:Reading",
            key=("id",),
            format=Json(records="data"),
            paging=Token(path="next", param="after"),
            cursor=Cursor(field="at", start=START, start_param="since", end_param="before"),
            partitions=Partitions(every="day", start=date(2024, 3, 1)),
        )
        return described.changed(**changes)

    def in_steps(self) -> Stream:
        """The same without partitions, in steps of a day."""
        cursor = Cursor(field="at", start=START, start_param="since", end_param="before", step=DAY)
        return self.stream(partitions=None, cursor=cursor)

    def source(self, stream: Stream | None = None) -> Source:
        """The API with one stream, quick to give up."""
        limits = Limits(**{"attempts": 3, "wait_initial": 0, "wait_max": 0, **self.limits})
        return Source(name="meters", base_url=self.url, streams=(stream or self.stream(),), limits=limits)

    @property
    def environ(self) -> dict[str, str]:
        """The environment that puts everything into the folder."""
        return {
            "INTEGRATION_LAKE_URI": str(self.folder / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(self.folder / "warehouse.duckdb"),
            "INTEGRATION_LIMITS_URI": str(self.folder / "limits"),
        }

    @contextmanager
    def feed(self, stream: Stream | None = None) -> Iterator[Feed]:
        """The stream, opened over this API's lake."""
        settings = Settings.from_environ(self.environ)
        with open_feeds(self.source(stream), Stores.from_settings(settings), settings) as (feed,):
            yield feed

    def merged(self, stream: Stream | None = None) -> list[tuple[int, int]]:
        """The warehouse's rows after a merge."""
        settings = Settings.from_environ(self.environ)
        stores = Stores.from_settings(settings)
        with open_feeds(self.source(stream), stores, settings) as (feed,):
            merge(feed, stores, "merge")
        rows = stores.warehouse.query("select id, amount from meters.readings order by id").to_pylist()
        return [(row["id"], row["amount"]) for row in rows]

    def truth(self, days: int | None = None) -> list[tuple[int, int]]:
        """The rows that the warehouse should have of the first `days` days."""
        most = (self.days if days is None else days) * PAGES * _EACH
        return [(one["id"], one["amount"]) for one in self.readings[:most]]

    def answer(self, query: dict[str, str]) -> tuple[int, Any]:
        """One page."""
        since, page = datetime.fromisoformat(query["since"]), int(query.get("after", 0))
        before = datetime.fromisoformat(query["before"])
        with self._lock:
            self.asked[f"{since:%Y-%m-%d}"] += 1
            self.flying += 1
            self.most = max(self.most, self.flying)
        try:
            status = self.on_ask(f"{since:%Y-%m-%d}", page)
        finally:
            with self._lock:
                self.flying -= 1
        if status:
            return status, {}
        found = [one for one in self.readings if since <= datetime.fromisoformat(one["at"]) < before]
        mine = found[page * _EACH : (page + 1) * _EACH]
        more = len(found) > (page + 1) * _EACH
        return 200, {"data": mine, "next": str(page + 1) if more else None}

    @contextmanager
    def served(self) -> Iterator[Days]:
        """Answer requests while the context is open."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                status, body = api.answer(query)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that is killed hangs up."""

        with Server(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            try:
                yield self
            finally:
                server.shutdown()
