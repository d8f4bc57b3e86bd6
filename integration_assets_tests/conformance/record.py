"""Make a recording of a live API: `python -m integration_assets_tests.conformance.record SOURCE STREAM --page-size 40`.

One sync runs through a proxy on loopback that keeps what the API answered; it lands in a folder that is thrown away. The
credential is looked up in the environment as ever and is not kept. The answers are the API's own: read the file, and
replace what is personal or too much, before it is committed.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlsplit
from urllib.request import Request, urlopen

from integration_assets.settings import Settings
from integration_assets.sources import load_source
from integration_assets.spec import Slice, Source, Stream
from integration_assets.spec.cursor import CursorValue
from integration_assets.spec.values import cursor_value
from integration_assets.stores import Stores
from integration_assets_tests.conformance.fixtures import fixture_path
from integration_assets_tests.conformance.harness import changed, live_and_deleted, recorded, run, settings_for, warehouse_rows

_KEPT = {"content-type", "etag", "link"}


@dataclass
class Tape:
    """What went through the proxy: exchanges in the form of a fixture, and the API's newest `Date`."""

    source: Source
    url: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    exchanges: list[dict[str, Any]] = field(default_factory=list)

    def telling(self, query: dict[str, str]) -> dict[str, str]:
        """The parameters that tell one page from another: not the credential, nor what the spec sends every time."""
        left_out = {getattr(self.source.auth, "param", None)}
        for stream in self.source.streams:
            sizes = {getattr(stream.paging, "limit_param", None), getattr(stream.paging, "size_param", None)}
            window = {stream.cursor.start_param, stream.cursor.end_param} if stream.cursor else set()
            left_out |= {*stream.params, *sizes, *window}
        return {name: value for name, value in query.items() if name not in left_out}

    def finish(self) -> list[dict[str, Any]]:
        """The exchanges, each saying also which of the others' parameters it does not have."""
        names = {name for exchange in self.exchanges for name in exchange["request"]["query"]}
        for exchange in self.exchanges:
            exchange["request"]["query"] = {name: exchange["request"]["query"].get(name) for name in sorted(names)}
        return self.exchanges


@contextmanager
def proxy(source: Source) -> Iterator[Tape]:
    """A proxy on loopback in front of the source's base URL."""
    tape, base = Tape(source), source.base_url.rstrip("/")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "accept-encoding"}}
            target = Request(base + self.path, headers=headers, method=self.command)  # noqa: S310 - http(s), by the spec
            try:
                answer = urlopen(target, timeout=300)  # noqa: S310
            except HTTPError as refused:
                answer = refused
            with answer:
                text, status = answer.read().decode(), answer.status or 0
                kept = {
                    name: value.replace(base, "{base_url}") for name, value in answer.headers.items() if name.lower() in _KEPT
                }
                date = answer.headers.get("Date")
            if date:
                tape.now = parsedate_to_datetime(date)
            text = text.replace(base, "{base_url}")
            if self.command == "GET" and parts.path != source.clock_path:
                request = {"path": parts.path, "query": tape.telling(dict(parse_qsl(parts.query, keep_blank_values=True)))}
                body = _body(text, answer.headers.get("Content-Type") or "")
                tape.exchanges.append({"request": request, "response": {"status": status, "headers": kept, "body": body}})
            content = text.replace("{base_url}", tape.url).encode()
            self.send_response_only(status)
            for name, value in {**kept, "Date": date or "", "Content-Length": str(len(content))}.items():
                self.send_header(name, value.replace("{base_url}", tape.url))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:
            """Say nothing: a URL may hold the credential."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    tape.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield tape
    finally:
        server.shutdown()
        server.server_close()


def _body(text: str, content_type: str) -> object:
    """JSON as it is, so that a recording can be read and changed by hand; anything else, several documents too, as text."""
    if "json" not in content_type.lower():
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def record(source: Source, stream: Stream, page_size: int | None, since: CursorValue | None) -> dict[str, Any]:
    """One sync's recording, as the content of a fixture file; `since` leaves out what is older on the stream's cursor."""
    made = recorded(source, stream, page_size)
    # One request after the other, so that a recording made again is the same.
    made = changed(made, limits=changed(made.limits, max_connections=1))
    with TemporaryDirectory() as folder, proxy(made) as tape:
        settings = settings_for(made, tape.url, Path(folder), dict(os.environ))
        stores = Stores.from_settings(settings)
        receipts = run(made, stores, settings, None if since is None else Slice(since))
        if not any(receipt.accepted for receipt in receipts):
            message = f"nothing of {source.name}.{stream.name} landed: begin earlier with --since, there is nothing to record"
            raise SystemExit(message)
        live, deleted = live_and_deleted(warehouse_rows(made, stores))
    return {
        "note": f"Recorded from {source.base_url} at {tape.now.isoformat()}.",
        **({"page_size": page_size} if page_size else {}),
        "now": tape.now.isoformat(),
        "exchanges": tape.finish(),
        "expect": {"rows": live, "rejected": sum(receipt.rejected for receipt in receipts), "deleted": deleted},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Record a stream into its fixture file."""
    options = argparse.ArgumentParser(prog="record", description=__doc__.partition("\n")[0] if __doc__ else None)
    options.add_argument("source")
    options.add_argument("stream")
    options.add_argument("--page-size", type=int, help="records a page, to have several small pages")
    options.add_argument("--since", help="where on the cursor to begin: ISO 8601, or an integer for an integer cursor")
    given = options.parse_args(argv)
    source = Settings.from_environ().locate(load_source(given.source))
    stream = source.stream(given.stream)
    since = cursor_value(source, stream, given.since, "--since") if given.since else None
    content = record(source, stream, given.page_size, since)
    path = fixture_path(source, stream)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path}: {len(content['exchanges'])} pages, {content['expect']}. Read it before you commit it.")  # noqa: T201


if __name__ == "__main__":
    main()
