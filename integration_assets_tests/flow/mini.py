"""An API of one endpoint whose records a test sets and changes, and everything to sync it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandera.pandas as pandera

from integration_assets.feed import Feed, open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import Bearer, Cursor, Json, Limits, Slice, Source, Stream, Tombstone
from integration_assets.spec.contract import Int64, String, column
from integration_assets.spec.receipt import Receipt
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync

KEY = "mini-secret-key-77"
HERE = "integration_assets_tests.flow.mini"


class Item(pandera.DataFrameModel):
    """A numbered item."""

    id: Int64 = column(nullable=False)
    seq: Int64 = column(nullable=False)
    value: Int64 = column(ge=0)


class WiderItem(Item):
    """The same with one more column."""

    note: String = column()


class Code(pandera.DataFrameModel):
    """A code of a short list."""

    code: String = column(nullable=False)


class WiderCode(Code):
    """The same with one more column."""

    name: String = column()


@dataclass
class Mini:
    """Answers `GET /items?since=…` with the records whose `seq` is at or after it, and `/codes` whole with an ETag."""

    folder: Path
    records: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    on_ask: Callable[[], object] = lambda: None
    echo_key: bool = False
    url: str = ""

    def stream(self, **changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
        """The items by integer cursor, with a lookback of ten."""
        cursor = Cursor(field="seq", kind="integer", start=0, start_param="since", lookback=10)
        described = Stream(
            name="items", path="/items", contract=f"{HERE}:Item", key=("id",), cursor=cursor, tombstone=Tombstone(path="gone")
        )
        return described.changed(**changes)

    def codes(self, **changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
        """The short list, whole, with an ETag."""
        described = Stream(
            name="codes",
            path="/codes",
            contract=f"{HERE}:Code",
            key=("code",),
            format=Json(records="data"),
            disposition="replace",
            conditional=True,
            reject_threshold=0.9,
        )
        return described.changed(**changes)

    @contextmanager
    def feed(self, stream: Stream) -> Iterator[tuple[Feed, Stores]]:
        """The stream, opened over this API's lake and warehouse."""
        limits = Limits(attempts=2, wait_initial=0)
        source = Source(name="mini", base_url=self.url, auth=Bearer(secret="MINI_KEY"), streams=(stream,), limits=limits)
        settings = Settings.from_environ(
            {
                "INTEGRATION_LAKE_URI": str(self.folder / "lake"),
                "INTEGRATION_WAREHOUSE_URI": str(self.folder / "warehouse.duckdb"),
                "MINI_KEY": KEY,
            }
        )
        stores = Stores.from_settings(settings)
        with open_feeds(source, stores, settings) as feeds:
            yield feeds[0], stores

    def pull(self, stream: Stream | None = None, span: Slice | None = None) -> list[Receipt]:
        """Sync and merge; the receipts."""
        with self.feed(stream or self.stream()) as (feed, stores):
            receipts = list(sync(feed, "run", span=span))
            merge(feed, stores, "run")
            return receipts

    def rows(self, columns: str = "id, value", stream: Stream | None = None) -> list[tuple[Any, ...]]:
        """The warehouse's live rows."""
        described = stream or self.stream()
        live = "where _deleted_at is null" if described.disposition == "merge" else ""
        with self.feed(described) as (_, stores):
            found = stores.warehouse.query(f"select {columns} from mini.{described.name} {live} order by 1")
        return [tuple(row.values()) for row in found.to_pylist()]

    def answer(self, path: str, query: dict[str, str], headers: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: ANN401 - a Message
        """Status, headers and body of one request."""
        self.asked.append(query)
        self.on_ask()
        if path == "/items":
            records = [one for one in self.records if one["seq"] >= int(query.get("since", 0))]
            if self.echo_key:
                records = [{**one, "value": headers["Authorization"]} for one in records]
            return 200, {}, json.dumps({"data": records}).encode()
        body = json.dumps({"data": self.records}).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'
        if headers.get("If-None-Match") == etag:
            return 304, {"ETag": etag}, b""
        return 200, {"ETag": etag}, body

    @contextmanager
    def served(self) -> Iterator[Mini]:
        """Answer requests while the context is open."""
        mini = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                status, headers, body = mini.answer(url.path, query, self.headers)
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                if status != 304:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

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
