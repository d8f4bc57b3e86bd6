"""The sandbox as a child process that tests and the demo start, steer and stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

READY = "sandbox ready at "
_STOP_SECONDS = 5.0
# Straight to loopback: a proxy named in the environment has no business between a parent and its child.
_OPENER = build_opener(ProxyHandler({}))


class SandboxError(RuntimeError):
    """The child did not start; the message carries what it wrote to standard error."""


class SandboxProcess:
    """A context manager around `python -m integration_assets.sandbox --admin` on a loopback port, a free one unless told.

    Leaving the block stops the child; so does the end of this process, for whatever reason, because the child watches
    its standard input close.
    """

    url: str

    def __init__(
        self,
        *,
        clock: str = "2013-02-01T00:00:00Z",
        speed: float = 0.0,
        key: str = "sandbox-key",
        rate_limit: float = 0.0,
        days: int | None = None,
        cursor_ttl: float = 3600.0,
        gzip: bool = True,
        port: int = 0,
        start_timeout: float = 60.0,
    ) -> None:
        """Keep the options, which are those of `serve`; `start_timeout` is in seconds. Nothing starts before `with`."""
        self.key = key
        self._start_timeout = start_timeout
        options = {"clock": clock, "speed": speed, "rate-limit": rate_limit, "cursor-ttl": cursor_ttl, "days": days}
        self._command = [sys.executable, "-m", "integration_assets.sandbox", "--port", str(port), "--admin", "--watch-stdin"]
        self._command += [f"--{name}={value}" for name, value in options.items() if value is not None]
        self._command += [] if gzip else ["--no-gzip"]
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the child and wait for its ready line; raises `SandboxError` if it ends or is too slow."""
        with tempfile.TemporaryFile() as complaints:
            child = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=os.environ | {"SANDBOX_KEY": self.key},
            )
            self._child = child
            alarm = threading.Timer(self._start_timeout, child.kill)
            alarm.start()
            try:
                line = child.stdout.readline().decode() if child.stdout else ""
            finally:
                alarm.cancel()
            if not line.startswith(READY):
                self.stop()
                complaints.seek(0)
                msg = f"the sandbox did not start within {self._start_timeout:g} s: {complaints.read().decode()}"
                raise SandboxError(msg)
        self.url = line.removeprefix(READY).strip()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the child."""
        self.stop()

    def stop(self) -> None:
        """Stop the child for certain: ask, wait five seconds, kill. Does nothing when it has not been started."""
        child, self._child = self._child, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()

    def now(self) -> str:
        """Give the simulated instant."""
        return str(self._admin("GET", "/clock")["now"])

    def advance(self, seconds: float) -> str:
        """Move the simulated clock on and give the new instant."""
        return str(self._admin("POST", "/clock/advance", {"seconds": seconds})["now"])

    def set_clock(self, iso: str, speed: float = 0.0) -> None:
        """Set the simulated clock; `speed` 0 makes it stand still."""
        self._admin("PUT", "/clock", {"now": iso, "speed": speed})

    def faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Replace all fault rules and their counts; see `integration_assets.sandbox.faults.Rule` for the fields."""
        self._admin("PUT", "/faults", list(rules))

    def fired(self) -> list[int]:
        """Give how often each rule fired, in the order in which they were put."""
        return [rule["fired"] for rule in self._admin("GET", "/faults")]

    def clear_faults(self) -> None:
        """Drop all fault rules."""
        self._admin("DELETE", "/faults")

    def rate_limit(self, rate: float) -> None:
        """Set requests per second for each key and fill the buckets; 0 for no limit."""
        self._admin("PUT", "/rate_limit", {"rate_limit": rate})

    def truth(self, stream: str, at: str | None = None, *, deleted: bool = False) -> list[dict[str, Any]]:
        """Give what a warehouse should hold of `stream` at `at` (now by default); tombstones only with `deleted`."""
        query = {"deleted": "true" if deleted else "false"} | ({} if at is None else {"at": at})
        body = self._send("GET", f"/truth/{stream}?{urlencode(query)}", None)
        return msgspec.json.Decoder(dict[str, Any]).decode_lines(body)

    def requests(self) -> dict[str, dict[str, int]]:
        """Give how many requests each path of /v1 answered with each status since the start; a cut one is `reset`."""
        return dict(self._admin("GET", "/requests"))

    def forget_requests(self) -> None:
        """Set all counts back to nothing."""
        self._admin("DELETE", "/requests")

    def _admin(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  (decoded JSON)
        return json.loads(self._send(method, path, None if body is None else json.dumps(body).encode()))

    def _send(self, method: str, path: str, body: bytes | None) -> bytes:
        request = Request(f"{self.url}/admin{path}", data=body, method=method)  # noqa: S310  (our own loopback child)
        with _OPENER.open(request, timeout=60) as response:
            content: bytes = response.read()
        return content
