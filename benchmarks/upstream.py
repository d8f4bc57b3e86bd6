"""The upstream of all contenders: `GET /orders`, paged by token or by offset, filtered by `updated_at`.

    python -m benchmarks.upstream --rows 200000     prints its address, and goes on until its input ends

What it has is set by `PUT /feed?rows=…&changed=…&bad=…&latency=…`; `GET /feed` also tells requests and bytes since then.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from dataclasses import asdict
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from benchmarks.records import Feed, Pages

_MOST = 10_000
_KEPT = 3 * 2**30


class Upstream(ThreadingHTTPServer):
    """A server on a free loopback port; `feed` is what it has, `latency` seconds are waited before each answer."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, feed: Feed) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.feed, self.latency, self.pages = feed, 0.0, Pages()
        self.requests = self.sent = 0
        self.lock = threading.Lock()
        self._kept: dict[tuple[Feed, int, int, int], bytes] = {}
        self._weight = 0

    def body(self, first: int, last: int, low: int, high: int) -> bytes:
        """A page, kept while there is room: the second contender should not find a quicker upstream than the first."""
        name = (self.feed, first, last, high - low)
        if name not in self._kept:
            token = str(last) if last < high else None
            made = self.pages.body(self.feed, first, last, token, max(high - low, 0))
            if self._weight + len(made) > _KEPT:
                return made
            self._kept[name] = made
            self._weight += len(made)
        return self._kept[name]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        if url.path == "/feed":
            known = {**asdict(self.server.feed), "requests": self.server.requests, "bytes": self.server.sent}
            return self._answer(json.dumps(known).encode())
        if url.path != "/orders":
            return self._answer(b'{"error":"no such path"}', 404)
        if self.server.latency:
            time.sleep(self.server.latency)
        body = self._page(query)
        with self.server.lock:
            self.server.requests += 1
            self.server.sent += len(body)
        return self._answer(body)

    def do_PUT(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        self.server.feed = Feed(int(query["rows"]), int(query.get("changed", 0)), float(query.get("bad", 0)))
        self.server.latency = float(query.get("latency", 0))
        with self.server.lock:
            self.server.requests = self.server.sent = 0
        self._answer(b"{}")

    def _page(self, query: dict[str, str]) -> bytes:
        feed = self.server.feed
        low = feed.first_at(datetime.fromisoformat(query["updated_since"])) if "updated_since" in query else 0
        high = feed.first_at(datetime.fromisoformat(query["updated_before"])) if "updated_before" in query else feed.versions
        size = min(int(query.get("limit", 1000)), _MOST)
        first = int(query["cursor"]) if "cursor" in query else low + int(query.get("offset", 0))
        last = max(min(first + size, high), first)
        return self.server.body(first, last, low, high)

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        """Nothing: a line a request costs more than the request."""


def main() -> None:
    """Serve until standard input is closed, so that no server outlives its benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    server = Upstream(Feed(parser.parse_args().rows))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
