"""A sync that finds nothing new: one request, no commit, and nothing imported that only rows need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from integration_assets.feed import Feed, open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import Cursor, Freshness, Slice, Source, Stream
from integration_assets.spec.receipt import Receipt
from integration_assets.stores import Stores
from integration_assets.sync import sync

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SYNC = """
import json, sys
from datetime import UTC, datetime, timedelta
from integration_assets.settings import Settings
from integration_assets.spec import Cursor, Source, Stream
from integration_assets.feed import open_feeds
from integration_assets.stores import Stores
from integration_assets.sync import sync
start = datetime(2026, 3, 1, tzinfo=UTC)
cursor = Cursor(field="at", start=start, start_param="since", end_param="until")
stream = Stream(name="events", path="/", contract="integration_assets_tests.flow.idle:Event", key=("id",), cursor=cursor)
settings = Settings.from_environ()
source = Source(name="quiet", base_url=sys.argv[1], streams=(stream,))
with open_feeds(source, Stores.from_settings(settings), settings) as (feed,):
    (receipt,) = sync(feed, "run")
heavy = [name for name in ("pandas", "pandera", "dagster") if name in sys.modules]
print(json.dumps({"heavy": heavy, "outcome": receipt.outcome, "requests": receipt.requests, "version": receipt.version}))
"""


class Api:
    """`GET /?since=…&until=…` with what happened then."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.asked = 0
        self.url = ""

    def happened(self, number: int, at: datetime, **other: object) -> None:
        """Let something have happened."""
        self.events.append({"id": number, "at": at.isoformat(), **other})

    @contextmanager
    def served(self) -> Iterator[Api]:
        """Answer while the context is open."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                since, until = (datetime.fromisoformat(query[name]) for name in ("since", "until"))
                api.asked += 1
                found = [event for event in api.events if since <= datetime.fromisoformat(event["at"]) < until]
                body = json.dumps({"data": found}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = Thread(target=server.serve_forever, daemon=True)
            thread.start()
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            try:
                yield self
            finally:
                server.shutdown()
                thread.join(10)


@pytest.fixture
def api() -> Iterator[Api]:
    """The API, served."""
    with Api().served() as served:
        yield served


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A lake, a warehouse and a cache of the test's own."""
    return {
        "INTEGRATION_LAKE_URI": str(tmp_path / "lake"),
        "INTEGRATION_WAREHOUSE_URI": str(tmp_path / "warehouse.duckdb"),
        "INTEGRATION_LIMITS_URI": str(tmp_path / "limits"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


@contextmanager
def opened(api: Api, environ: dict[str, str], **changes: Any) -> Iterator[Feed]:  # noqa: ANN401 - any setting of a stream
    """The stream, with a lookback of ten minutes."""
    cursor = Cursor(
        field="at",
        start=NOON - HOUR,
        start_param="since",
        end_param="until",
        lookback=timedelta(minutes=10),
        safety_lag=timedelta(0),
    )
    stream = Stream(name="events", path="/", contract="integration_assets_tests.flow.idle:Event", key=("id",), cursor=cursor)
    settings = Settings.from_environ(environ)
    source = Source(name="quiet", base_url=api.url, streams=(stream.changed(**changes),))
    with open_feeds(source, Stores.from_settings(settings), settings) as (feed,):
        yield feed


def pull(feed: Feed, now: datetime) -> Receipt:
    """Sync as if it were `now`; the one receipt."""
    (receipt,) = sync(feed, "run", now=now)
    return receipt


def test_idle_api_costs_one_request_and_imports_nothing_for_rows(api: Api, environ: dict[str, str]) -> None:
    """The second process finds nothing, writes nothing, and is over before pandas and pandera are imported."""
    api.happened(1, NOON)
    found = []
    for _ in range(2):
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-c", SYNC, api.url],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    first, second = found
    assert first["outcome"] == "committed"
    assert second == {"heavy": [], "outcome": "empty", "requests": 1, "version": None}
    assert api.asked == 2


def test_frontier_of_an_idle_stream_follows_within_the_hour(api: Api, environ: dict[str, str]) -> None:
    """Syncs that find nothing, or only what the lookback has again, commit once the frontier would be an hour behind."""
    api.happened(1, NOON - timedelta(minutes=5))
    with opened(api, environ) as feed:
        assert pull(feed, NOON).version is not None
        for minutes in (5, 20, 60):
            receipt = pull(feed, NOON + timedelta(minutes=minutes))
            assert (receipt.outcome, receipt.version, receipt.watermark_after) == ("empty", None, "2026-03-01T12:00:00Z")
        assert pull(feed, NOON + timedelta(minutes=61)).watermark_after == "2026-03-01T13:01:00Z"
        api.happened(2, NOON + timedelta(minutes=65))
        assert pull(feed, NOON + timedelta(minutes=70)).accepted == 1


def test_frontier_follows_as_closely_as_the_stream_must_be_fresh(api: Api, environ: dict[str, str]) -> None:
    """A stream that is late after twenty minutes has its frontier moved every five."""
    api.happened(1, NOON - timedelta(minutes=5))
    fresh = Freshness(warn_after=timedelta(minutes=20), fail_after=HOUR)
    with opened(api, environ, freshness=fresh) as feed:
        assert pull(feed, NOON).version is not None
        assert pull(feed, NOON + timedelta(minutes=5)).version is None
        assert pull(feed, NOON + timedelta(minutes=6)).version is not None


def test_rejects_are_on_a_receipt_of_the_lake_though_no_row_came(api: Api, environ: dict[str, str]) -> None:
    """A slice of which only rejects came, within what is tolerated, is committed: the account of it must not be lost."""
    api.happened(1, NOON - timedelta(minutes=5))
    with opened(api, environ, reject_threshold=1.0) as feed:
        assert pull(feed, NOON).version is not None
        api.happened(-1, NOON + timedelta(minutes=1))
        receipt = pull(feed, NOON + timedelta(minutes=5))
        assert (receipt.rejected, receipt.outcome) == (1, "empty")
        assert receipt.version is not None


def test_a_step_without_a_record_leaves_no_gap_before_the_next_one(api: Api, environ: dict[str, str]) -> None:
    """Steps shorter than the idle hour: empty ones are committed too, or the frontier would stay before them."""
    half = timedelta(minutes=30)
    cursor = Cursor(field="at", start=NOON - HOUR, start_param="since", end_param="until", step=half)
    api.happened(1, NOON - timedelta(minutes=5))
    with opened(api, environ, cursor=cursor) as feed:
        list(sync(feed, "run", now=NOON))
        api.happened(2, NOON + timedelta(minutes=100))
        receipts = list(sync(feed, "run", now=NOON + 2 * HOUR))
        assert len(receipts) == 4
        assert feed.table.state().finished == (Slice(NOON - HOUR, NOON + 2 * HOUR),)
        asked = api.asked
        assert pull(feed, NOON + 2 * HOUR + half / 2).version is None
        assert api.asked == asked + 1
