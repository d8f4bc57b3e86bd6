"""`make dev`: the sandbox, Dagster's webserver and its daemon, until ctrl-C stops all of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from rich.console import Console

from integration_assets.cli.report import line
from integration_assets.demo.place import KEY, SOURCE, prepare
from integration_assets.sandbox.process import SandboxProcess
from integration_assets.settings import Settings
from integration_assets.sources import load_source
from integration_assets.spec.cursor import watermark
from integration_assets.stores import Stores

_FIRST = datetime(2013, 2, 1, tzinfo=UTC)
_PATIENCE = 30.0
_PORT = 8013
"""Where the source's spec says that the sandbox is, so that the command line reaches it."""


def serve(port: int = 3000) -> int:
    """Serve until ctrl-C or SIGTERM, then stop Dagster and the sandbox; 0 when that was asked for."""
    out = Console()
    prepare()
    free = _is_free(_PORT)
    with SandboxProcess(clock=_clock().isoformat(), speed=60.0, key=KEY, rate_limit=200.0, port=_PORT if free else 0) as sandbox:
        prepare(sandbox.url)
        line(out, f"Sandbox: {sandbox.url}, an hour of 2013 a minute. Dagster: http://127.0.0.1:{port}. Ctrl-C stops all.")
        line(out, f"For the command line in another terminal: . .venv/bin/activate; export NYC_OPS_KEY={KEY}")
        if not free:
            line(out, f"Port {_PORT} is taken, so there also: export INTEGRATION_NYC_OPS_BASE_URL={sandbox.url}", "yellow")
        dagster = str(Path(sys.executable).with_name("dagster"))
        command = [dagster, "dev", "--workspace", "workspace.yaml", "--host", "127.0.0.1", "--port", str(port)]
        # In a session of its own, so that ctrl-C comes to it once, from here, and nothing outlives it.
        process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own interpreter's dagster
        status = _until_asked(process)
    asked_for = {0} | {sign for number in (signal.SIGINT, signal.SIGTERM) for sign in (-number, 128 + number)}
    return 0 if status in asked_for else status


def _is_free(port: int) -> bool:
    """Whether nothing listens on that port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the sandbox will: a closed one may linger
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _until_asked(process: subprocess.Popen[bytes]) -> int:
    """Wait for the process; a signal to us is passed on to it, and it is ended for certain when it takes too long."""
    asked: list[float] = []

    def stop(number: int, _frame: object) -> None:
        asked.append(monotonic())
        process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    while True:
        try:
            return process.wait(1)
        except subprocess.TimeoutExpired:
            if asked and monotonic() - asked[0] > _PATIENCE:
                os.killpg(process.pid, signal.SIGKILL)


def _clock() -> datetime:
    """Where the sandbox's clock begins: where the flights in the lake end, or the end of the first month."""
    source = load_source(SOURCE)
    flights = source.stream("flights")
    table = Stores.from_settings(Settings.from_environ()).table(source, flights)
    mark = watermark(table.state().finished, flights.origin) if table.exists() else None
    return max(mark, _FIRST) if isinstance(mark, datetime) else _FIRST
