"""The BigQuery emulator as a child process that tests start and stop."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from integration_assets_tests.bigquery.environment import FOLDER, python

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

PROJECT = "emulated"
_OPENER = build_opener(ProxyHandler({}))
_PAUSE = 0.1


class BigQueryEmulator:
    """A context manager around local-bigquery on a free loopback port, reading `gs://` from the server at `gcs_url`.

    Datasets are in `folder`; starting again on the same folder finds them as they were. Leaving the block stops the child;
    so does the end of this process, for whatever reason, because the child watches its standard input close.
    """

    url: str

    def __init__(self, folder: Path, gcs_url: str | None = None, *, start_timeout: float = 60.0) -> None:
        """Keep the settings; `start_timeout` is in seconds. Nothing starts before `with`."""
        self.folder = folder
        self._gcs_url = gcs_url
        self._start_timeout = start_timeout
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the child and wait until it answers a query. Raises `EmulatorMissingError`, or `RuntimeError` if it ends."""
        interpreter = python()
        self.folder.mkdir(parents=True, exist_ok=True)
        port, grpc_port = _free_ports()
        self.url = f"http://127.0.0.1:{port}"
        home = FOLDER / "home"
        home.mkdir(exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COV"))}
        environ = inherited | {"HOME": str(home), "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        environ |= {"STORAGE_EMULATOR_HOST": self._gcs_url} if self._gcs_url else {}
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--grpc-port", str(grpc_port), "--project", PROJECT]
        arguments += ["--data-dir", str(self.folder / "data")]
        with (self.folder / "emulator.log").open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and script
                [
                    str(interpreter),
                    str(Path(__file__).with_name("serve.py")),
                    *arguments,
                    "--data-dir",
                    str(self.folder / "data"),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environ,
                cwd=self.folder,
            )
        try:
            self._await_answer()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the child."""
        self.stop()

    def stop(self) -> None:
        """Stop the child for certain and wait for its end. Does nothing when it has not been started."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        if child.stdin:
            child.stdin.close()

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which Google's client reaches this emulator."""
        return {"BIGQUERY_EMULATOR_HOST": self.url, "GOOGLE_CLOUD_PROJECT": PROJECT}

    def client(self) -> Client:
        """A client of this emulator without credentials; the caller closes it."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.bigquery import Client

        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return Client(PROJECT, credentials, location="US", client_options={"api_endpoint": self.url})

    def _await_answer(self) -> None:
        """It listens before it can work, so only an answered query counts."""
        deadline = time.monotonic() + self._start_timeout
        while not self._answers():
            ended = self._child is None or self._child.poll() is not None
            if ended or time.monotonic() > deadline:
                log = (self.folder / "emulator.log").read_text(errors="replace")
                raise RuntimeError(f"the BigQuery emulator {'ended' if ended else 'does not answer'}: {log[-2000:]}")
            time.sleep(_PAUSE)

    def _answers(self) -> bool:
        body = json.dumps({"query": "SELECT 1", "useLegacySql": False}).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.url}/bigquery/v2/projects/{PROJECT}/queries", body, headers)  # noqa: S310 - loopback
        try:
            with _OPENER.open(request, timeout=30) as answer:
                return bool(json.loads(answer.read()).get("jobComplete"))
        except (URLError, ConnectionError, TimeoutError):
            return False


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]
