"""What a user has in front of them: the sandbox's API, Dagster's webserver and its daemon, as processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import dagster as dg
import pytest

from integration_assets.definitions import defs
from integration_assets.sandbox.process import SandboxProcess

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180.0
"""Seconds that anything may take on a busy machine before it counts as broken."""
_DIRECT = build_opener(ProxyHandler({}))


@dataclass
class Stack:
    """Where the UI is, the sandbox behind it, and the folder that all state is in."""

    url: str
    sandbox: SandboxProcess
    folder: Path
    environ: Mapping[str, str]
    stack: ExitStack
    watched: ExitStack | None = None

    def daemon(self, ahead: float = 0.0) -> subprocess.Popen[bytes]:
        """Start a daemon whose clock is `ahead` seconds ahead, in place of the one there is; it ends with the stack."""
        if self.watched is not None:
            self.watched.close()
        self.watched = self.stack.enter_context(ExitStack())
        command = [sys.executable, "-m", "integration_assets_tests.e2e.daemon", str(ahead), "run"]
        return self.watched.enter_context(_running([*command, "-w", "workspace.yaml"], self.folder / "daemon.log", self.environ))

    def ask(self, query: str, **variables: object) -> Any:  # noqa: ANN401 - decoded JSON
        """What the webserver's GraphQL answers. Raises `AssertionError` with its errors."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
        with _DIRECT.open(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        return found["data"]

    def materialize(self, stream: str) -> None:
        """Pull and merge a stream in this process, which spares three, on the instance that the webserver shows."""
        keys = [dg.AssetKey(["nyc_ops", stream]), dg.AssetKey(["warehouse", "nyc_ops", stream])]
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environ.items():
                patch.setenv(name, value)
            # In a thread: this one may have the browser's event loop, and Dagster starts one of its own.
            with dg.DagsterInstance.get() as instance, ThreadPoolExecutor(1) as thread:
                job = defs().resolve_implicit_global_asset_job_def()
                run = thread.submit(job.execute_in_process, instance=instance, asset_selection=keys)
                assert run.result(PATIENCE).success

    def runs(self) -> list[dict[str, Any]]:
        """Every run: `runId`, `status`, `pipelineName`, `tags`."""
        answer = self.ask(
            "{ runsOrError { __typename ... on Runs { results { runId status pipelineName tags { key value } } } } }"
        )
        return list(answer["runsOrError"]["results"])


def until(holds: Callable[[], object], what: str) -> None:
    """Wait for it. Fails naming `what` after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:.0f} s"
        time.sleep(0.3)


@contextmanager
def standing(folder: Path) -> Iterator[Stack]:
    """The sandbox and the webserver; a daemon is started by who needs one."""
    home = folder / "dagster"
    home.mkdir()
    shutil.copy(ROOT / "dagster.yaml", home / "dagster.yaml")
    with ExitStack() as stack:
        sandbox = stack.enter_context(SandboxProcess(days=12, clock="2013-01-08T00:00:00Z", key="e2e-key"))
        port = _free_port()
        environ = {
            **os.environ,
            "DAGSTER_HOME": str(home),
            "INTEGRATION_LAKE_URI": str(folder / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(folder / "warehouse.duckdb"),
            "INTEGRATION_LIMITS_URI": str(folder / "limits"),
            "INTEGRATION_NYC_OPS_BASE_URL": sandbox.url,
            "NYC_OPS_KEY": sandbox.key,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        webserver = [str(Path(sys.executable).with_name("dagster-webserver")), "-w", "workspace.yaml", "-h", "127.0.0.1"]
        stack.enter_context(_running([*webserver, "-p", str(port)], folder / "webserver.log", environ))
        found = Stack(f"http://127.0.0.1:{port}", sandbox, folder, environ, stack)
        until(lambda: _answers(f"{found.url}/server_info"), f"the webserver, see {folder / 'webserver.log'}")
        yield found


@contextmanager
def _running(command: list[str], log: Path, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, in a session of its own, so that what it started ends with it."""
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter's commands
            command, cwd=ROOT, env=dict(environ), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=5):
            return True
    except (URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
