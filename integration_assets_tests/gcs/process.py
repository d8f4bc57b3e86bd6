"""The emulator as a child process that tests start, steer and stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

if TYPE_CHECKING:
    from google.cloud.storage import Client

_READY = "gcs emulator ready at "
_STOP_SECONDS = 5.0
_ROOT = Path(__file__).parents[2]
# Straight to loopback: a proxy named in the environment has no business between a parent and its child.
_OPENER = build_opener(ProxyHandler({}))


class GcsEmulator:
    """A context manager around `python -m integration_assets_tests.gcs` on a free loopback port.

    Buckets are folders of `folder`; starting again on the same folder finds them as they were. Leaving the block stops
    the child; so does the end of this process, for whatever reason, because the child watches its standard input close.
    """

    url: str

    def __init__(self, folder: Path, *, start_timeout: float = 30.0) -> None:
        """Keep the folder; `start_timeout` is in seconds. Nothing starts before `with`."""
        self.folder = folder
        self._start_timeout = start_timeout
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start the child and wait for its ready line; raises `RuntimeError` if it ends or is too slow."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        child = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            [sys.executable, "-m", "integration_assets_tests.gcs", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        self._child = child
        alarm = threading.Timer(self._start_timeout, child.kill)
        alarm.start()
        try:
            line = child.stdout.readline() if child.stdout else ""
        finally:
            alarm.cancel()
        if not line.startswith(_READY):
            self.stop()
            raise RuntimeError(f"the GCS emulator did not start within {self._start_timeout:g} s; see its standard error")
        self.url = line.removeprefix(_READY).strip()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the child."""
        self.stop()

    def stop(self) -> None:
        """Stop the child for certain and wait for its end. Does nothing when it has not been started."""
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()  # the child ends when its standard input does, between two changes
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    @property
    def storage_options(self) -> dict[str, str]:
        """Give the options with which delta-rs reaches this emulator as `gs://`."""
        key = {"gcs_base_url": self.url, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
        return {"google_service_account_key": json.dumps(key), "allow_http": "true", "google_skip_signature": "true"}

    @property
    def environ(self) -> dict[str, str]:
        """Give the environment in which Google's clients reach this emulator and look for nothing of Google's."""
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "NO_GCE_CHECK": "true",
            "GCE_METADATA_HOST": "127.0.0.1:9",
            "GCE_METADATA_IP": "127.0.0.1:9",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "GOOGLE_CLOUD_PROJECT": "emulated",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def client(self) -> Client:
        """Give a client of this emulator without credentials; the caller closes it."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return Client("emulated", credentials, client_options={"api_endpoint": self.url})

    def create_bucket(self, name: str, location: str = "EU") -> None:
        """Create a bucket; raises `urllib.error.HTTPError` 409 if there is one."""
        self._send("POST", "storage/v1/b?project=emulated", {"name": name, "location": location})

    def faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Replace all fault rules and their counts; see `integration_assets_tests.gcs.faults.Rule` for the fields."""
        self._send("PUT", "_emulator/faults", {"rules": list(rules)})

    def fired(self) -> list[int]:
        """Give how often each fault rule struck, in the order in which they were put."""
        return list(self._send("GET", "_emulator/faults")["fired"])

    def clear_faults(self) -> None:
        """Drop all fault rules."""
        self.faults([])

    def deny(self, bucket: str) -> None:
        """Answer every request about this bucket with 403."""
        self._send("PUT", f"_emulator/denied/{quote(bucket)}")

    def allow(self, bucket: str) -> None:
        """Undo `deny`."""
        self._send("DELETE", f"_emulator/denied/{quote(bucket)}")

    def _send(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with _OPENER.open(Request(f"{self.url}/{path}", data, method=method), timeout=30) as answer:  # noqa: S310  (ours)
            return dict(json.loads(answer.read()))
