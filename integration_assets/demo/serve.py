"""`make dev`: the sandbox, Dagster's webserver and its daemon, until ctrl-C stops all of them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from integration_assets.demo.place import KEY, SOURCE, prepare
from integration_assets.sandbox.process import SandboxProcess
from integration_assets.settings import Settings
from integration_assets.sources import load_source
from integration_assets.spec.cursor import watermark
from integration_assets.sync import Stores

_FIRST = datetime(2013, 2, 1, tzinfo=UTC)


def serve(port: int = 3000) -> int:
    """Serve until ctrl-C; the exit status of `dagster dev`."""
    out = Console()
    prepare()
    source = load_source(SOURCE)
    flights = source.stream("flights")
    table = Stores.from_settings(Settings.from_environ()).table(source, flights)
    mark = watermark(table.state().finished, flights.origin) if table.exists() else None
    clock = max(mark, _FIRST) if isinstance(mark, datetime) else _FIRST
    with SandboxProcess(clock=clock.isoformat(), speed=60.0, key=KEY, rate_limit=200.0) as sandbox:
        prepare(sandbox.url)
        out.print(
            f"Sandbox: {sandbox.url}, an hour of 2013 a minute. Dagster: http://127.0.0.1:{port}. Ctrl-C stops all.",
            highlight=False,
        )
        dagster = str(Path(sys.executable).with_name("dagster"))
        command = [dagster, "dev", "--workspace", "workspace.yaml", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command)  # noqa: S603 - our own interpreter's dagster
        try:
            return process.wait()
        except KeyboardInterrupt:
            # Ctrl-C went to dagster as well; it needs a moment to end its runs and its code server.
            return process.wait()
