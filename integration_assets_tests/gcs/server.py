"""The HTTP server: a thread for each connection, so that no client waits for another one's."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from integration_assets_tests.gcs import batch, json_api, xml_api
from integration_assets_tests.gcs.errors import Refusal, not_emulated
from integration_assets_tests.gcs.faults import Faults
from integration_assets_tests.gcs.parts import Multiparts
from integration_assets_tests.gcs.store import Store
from integration_assets_tests.gcs.uploads import Sessions
from integration_assets_tests.gcs.wire import Answer, Request, Slice, json_answer

ADMIN = "_emulator"  # no bucket's name begins so
_CHUNK = 1 << 20
_JSON_ROOTS = frozenset({"storage", "upload", "download", "batch", ADMIN})


class Server(ThreadingHTTPServer):
    """A server over one folder; port 0 takes a free one."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        self.store = Store(folder)
        self.sessions: Sessions = {}
        self.multiparts: Multiparts = {}
        self.faults = Faults()
        super().__init__((host, port), Handler)

    def answer(self, request: Request) -> Answer:
        """Answer a request of either API or of the administration; raises `Refusal`."""
        root = request.parts[0]
        if root == ADMIN:
            return self._administer(request)
        if root == "batch" and request.method == "POST":
            return batch.answer(request, lambda one: json_api.answer(self.store, self.sessions, one))
        if root in _JSON_ROOTS:
            return json_api.answer(self.store, self.sessions, request)
        return xml_api.answer(self.store, self.multiparts, request)

    def _administer(self, request: Request) -> Answer:
        match request.method, *request.parts[1:]:
            case "PUT", "faults":
                self.faults.put(request.json()["rules"])
            case "GET", "faults":
                pass
            case "PUT", "denied", bucket:
                self.store.set_denied(bucket, to=True)
            case "DELETE", "denied", bucket:
                self.store.set_denied(bucket, to=False)
            case _:
                raise not_emulated(f"{request.method} /{'/'.join(request.parts)}")
        return json_answer({"fired": self.faults.fired()})


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    rbufsize = 1 << 18
    server: Server

    def _handle(self) -> None:
        """Answer, unless a fault says otherwise; then leave the connection ready for the next request."""
        url = urlsplit(self.path)
        body = self._body()
        request = Request(
            self.command,
            tuple(unquote(part) for part in url.path.lstrip("/").split("/")),
            _query(url.query),
            {name.lower(): value.encode("latin-1").decode(errors="replace") for name, value in self.headers.items()},
            body,
        )
        fault = None
        try:
            if request.parts[0] != ADMIN:
                fault = self.server.faults.strike(f"{self.command} {unquote(self.path)}")
            if fault == "reset":
                self._reset()
                return
            answer = self.server.answer(request)
        except Refusal as refusal:
            answer = _refused(refusal, as_json=request.parts[0] in _JSON_ROOTS)
        except ConnectionError:  # the client went away in the middle of its body
            self.close_connection = True
            return
        if fault == "lost":
            self._reset()
        elif self._drained(body):
            self._send(answer, cut=fault == "truncate")
        else:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    @staticmethod
    def _drained(body: Iterator[bytes]) -> bool:
        """Read what the answer did not need of the body; give False if the client went away."""
        try:
            for _ in body:
                pass
        except ConnectionError:
            return False
        return True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the tests speak."""

    def _body(self) -> Iterator[bytes]:
        """Read the body, of known length or chunked; raises `ConnectionError` if it ends too early."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while length := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield from self._read(length)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            yield from self._read(int(self.headers.get("Content-Length") or 0))

    def _read(self, left: int) -> Iterator[bytes]:
        while left:
            chunk = self.rfile.read(min(left, _CHUNK))
            if not chunk:
                raise ConnectionResetError
            left -= len(chunk)
            yield chunk

    def _send(self, answer: Answer, *, cut: bool) -> None:
        body = answer.body
        length = body.length if isinstance(body, Slice) else len(body)
        self.send_response(answer.status, "Client Closed Request" if answer.status == 499 else None)
        for name, value in answer.headers.items():
            self.send_header(name, value.encode().decode("latin-1").replace("\r", "").replace("\n", ""))
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        try:
            self._send_body(body, 0 if self.command == "HEAD" else length // 2 if cut else length)
        except ConnectionError:  # a reader of ranges has seen enough and hung up
            self.close_connection = True
        finally:
            if isinstance(body, Slice):
                body.file.close()
        if cut:
            self._reset()

    def _send_body(self, body: bytes | Slice, length: int) -> None:
        if isinstance(body, bytes):
            self.wfile.write(body[:length])
            self.wfile.flush()
            return
        self.wfile.flush()
        if length:
            self.connection.sendfile(body.file, body.offset, length)

    def _reset(self) -> None:
        """Cut the connection so that the client sees a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


def _refused(refusal: Refusal, *, as_json: bool) -> Answer:
    kind = "application/json; charset=UTF-8" if as_json else "application/xml; charset=UTF-8"
    return Answer(refusal.status, refusal.as_json() if as_json else refusal.as_xml(), {"Content-Type": kind, **refusal.headers})


def _query(text: str) -> dict[str, str]:
    """Give each parameter once; the values of a repeated one are joined by commas."""
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return {name: ",".join(several) for name, several in values.items()}
