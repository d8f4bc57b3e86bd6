"""A sender of webhooks and the receiver's process that it sends to."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

SECRET = "stripe-test-secret-88aa"
ROOT = Path(__file__).parents[2]
_CHILD = """
import sys
from importlib import import_module
from integration_assets.cli.inbox import log_to_stderr
from integration_assets.inbox.serving import serve
from integration_assets.settings import Settings
module, _, name = sys.argv[1].partition(":")
log_to_stderr()
source = getattr(import_module(module), name)()
serve([source], Settings.from_environ(), "127.0.0.1", int(sys.argv[2]), int(sys.argv[3]), lambda url: print(url, flush=True))
"""


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Stripe's header for a body, sent now or at another time."""
    sent = int(time.time() if at is None else at)
    return {"Stripe-Signature": f"t={sent},v1={hmac.new(secret.encode(), b'%d.' % sent + body, hashlib.sha256).hexdigest()}"}


def event(id_: str, type_: str = "order.updated", at: float | None = None, **rest: Any) -> bytes:  # noqa: ANN401 - JSON
    """The body of an event as Stripe would send it."""
    return json.dumps({"id": id_, "type": type_, "created": int(time.time() if at is None else at), **rest}).encode()


class Receiver:
    """`serve` as a child process, whose log is kept; leaving the block stops it for certain."""

    def __init__(self, folder: Path, source: str, environ: Mapping[str, str], at_once: int = 128) -> None:
        self._folder, self._source, self._at_once = folder, source, at_once
        self._environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environ}
        self.child: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> Self:
        """Start it on a free port, or on the one it had before, and wait until it listens."""
        port = urlsplit(self.url).port or 0
        log = (self._folder / "receiver.log").open("a")
        command = [sys.executable, "-c", _CHILD, self._source, str(port), str(self._at_once)]
        with log:
            self.child = subprocess.Popen(  # noqa: S603 - our own interpreter and script
                command, cwd=ROOT, env=self._environ, stdout=subprocess.PIPE, stderr=log, text=True
            )
        alarm = threading.Timer(60, self.child.kill)
        alarm.start()
        assert self.child.stdout is not None
        self.url = self.child.stdout.readline().strip()
        alarm.cancel()
        assert self.url, self.log()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL, as the machine's end would be."""
        if self.child is not None:
            self.child.kill()
            self.ended()

    def ended(self) -> int:
        """Wait for the end; the exit status."""
        assert self.child is not None
        status = self.child.wait(60)
        assert self.child.stdout is not None
        self.child.stdout.close()
        return status

    def log(self) -> str:
        """What it logged so far."""
        return (self._folder / "receiver.log").read_text()

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)

    def post(
        self, body: bytes, headers: Mapping[str, str] | None = None, path: str = "/webhooks/shop"
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        """Status, answer and headers of one delivery, signed unless headers are given."""
        connection = self.connect()
        try:
            connection.request("POST", path, body, dict(signed(body) if headers is None else headers))
            answer = connection.getresponse()
            content = answer.read()
            found = json.loads(content) if content.startswith(b"{") else {}
            return answer.status, found, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
