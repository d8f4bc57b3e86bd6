"""A real HTTP server on loopback that answers from a recording, asks for the credential and tells the recording's time."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

from integration_assets.spec.auth import ApiKeyHeader, ApiKeyQuery, Auth, Basic, Bearer, NoAuth
from integration_assets.spec.source import Source
from integration_assets_tests.conformance.fixtures import Exchange, Phase


@dataclass(frozen=True)
class Seen:
    """A request as it arrived, credential and all."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass
class Replay:
    """What the server answers now, and what it was asked. A test may change phase, secrets or redirect between requests.

    redirect   : an address that every request but the clock's is sent on to, or None.
    complaints : requests that no exchange answers; a test that leaves one fails.
    """

    source: Source
    phase: Phase
    secrets: Mapping[str, str]
    url: str = ""
    redirect: str | None = None
    requests: list[Seen] = field(default_factory=list)
    used: list[Exchange] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def reply(self, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a request."""
        self.requests.append(seen)
        path = seen.path.removeprefix(urlsplit(self.source.base_url).path.rstrip("/"))
        found = [exchange for exchange in self.phase.exchanges if exchange.answers(path, seen.query)]
        if path == self.source.clock_path and not found:
            return 200, {"Content-Type": "text/plain"}, b"only the Date header counts"
        if self.redirect:
            return 302, {"Location": self.redirect}, b""
        if not presents(self.source.auth, self.secrets, seen):
            return 401, {"Content-Type": "text/plain"}, b"the credential is missing or wrong"
        if found:
            return self._recorded(max(found, key=lambda exchange: len(exchange.query)), seen)
        self.complaints.append(f"{seen.method} {path} {dict(seen.query)}")
        return 501, {"Content-Type": "text/plain"}, b"the fixture has no such exchange"

    def _recorded(self, exchange: Exchange, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        self.used.append(exchange)
        headers = {name: value.replace("{base_url}", self.url) for name, value in exchange.headers.items()}
        lower = {name.lower(): value for name, value in headers.items()}
        if lower.get("etag") and seen.headers.get("if-none-match") == lower["etag"]:
            return 304, {"ETag": lower["etag"]}, b""
        return exchange.status, headers, exchange.body.replace("{base_url}", self.url).encode()


def presents(auth: Auth, secrets: Mapping[str, str], seen: Seen) -> bool:
    """Whether a request carries the credential that the source's spec describes."""
    match auth:
        case NoAuth():
            return True
        case Bearer(secret=name):
            return seen.headers.get("authorization") == f"Bearer {secrets[name]}"
        case ApiKeyHeader(secret=name, header=header):
            return seen.headers.get(header.lower()) == secrets[name]
        case ApiKeyQuery(secret=name, param=param):
            return seen.query.get(param) == secrets[name]
        case Basic(username_secret=user, password_secret=password):
            token = base64.b64encode(f"{secrets[user]}:{secrets[password]}".encode()).decode()
            return seen.headers.get("authorization") == f"Basic {token}"


@contextmanager
def serving(source: Source, phase: Phase, secrets: Mapping[str, str]) -> Iterator[Replay]:
    """A running server; `url` is the source's base URL on it. Fails at the end if something unrecorded was asked for."""
    replay = Replay(source, phase, secrets)
    with _listening(replay) as origin:
        replay.url = origin + urlsplit(source.base_url).path.rstrip("/")
        try:
            yield replay
        finally:
            # Also when the 501 made the sync fail: this says why.
            assert not replay.complaints, (
                f"{source.name} asked for what its fixtures do not have: {replay.complaints}. Record these exchanges, or name"
                " fewer parameters in those there are."
            )


@contextmanager
def trap(source: Source, phase: Phase) -> Iterator[Replay]:
    """Another host, which answers anything and must never be asked."""
    replay = Replay(source, phase, {}, redirect="/")
    with _listening(replay) as origin:
        replay.url = origin.replace("127.0.0.1", "localhost")
        yield replay


@contextmanager
def _listening(replay: Replay) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = Seen(self.command, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers)
            status, answer, body = replay.reply(seen)
            self.send_response(status)
            for name, value in answer.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD" and status != 304:
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def date_time_string(self, timestamp: float | None = None) -> str:
            moment = replay.phase.now if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
            return format_datetime(moment.astimezone(UTC), usegmt=True)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
