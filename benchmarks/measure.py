"""Whole processes, measured from outside: wall time, CPU of the process and its children, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-bench" / "bin" / "python"
OURS = Path(sys.executable)


@dataclass(frozen=True)
class Contender:
    """A script and its flags. `peer` runs it in the peers' environment."""

    name: str
    module: str
    flags: tuple[str, ...] = ()
    peer: bool = False

    def command(self, url: str, folder: str, flags: Sequence[str] = ()) -> list[str]:
        """The process to start."""
        python = PEERS if self.peer else OURS
        return [str(python), "-m", f"benchmarks.contenders.{self.module}", "--url", url, "--folder", folder, *self.flags, *flags]


@dataclass(frozen=True)
class Run:
    """What one process cost. Seconds, bytes; `said` is its own line."""

    contender: str
    wall: float
    cpu: float
    peak: int
    requests: int
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows that it landed, as it says."""
        return int(self.said.get("rows", 0))


class BenchmarkError(Exception):
    """A contender failed; its output says why."""


@contextmanager
def upstream(rows: int) -> Iterator[str]:
    """A server of its own for the block; yields its address."""
    command = [sys.executable, "-m", "benchmarks.upstream", "--rows", str(rows)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None  # noqa: S101 - it is piped
        assert server.stdin is not None  # noqa: S101
        yield server.stdout.readline().strip()
        server.stdin.close()
        server.wait(30)


def feed(url: str, rows: int, changed: int = 0, bad: float = 0.0, latency: float = 0.0) -> None:
    """Say what the upstream has from now on, and count its requests anew."""
    query = f"rows={rows}&changed={changed}&bad={bad}&latency={latency}"
    with urlopen(Request(f"{url}/feed?{query}", method="PUT"), timeout=10) as answer:  # noqa: S310 - our own server
        answer.read()


def requests(url: str) -> int:
    """How many pages the upstream gave since `feed`."""
    with urlopen(f"{url}/feed", timeout=10) as answer:  # noqa: S310 - our own server
        return int(json.load(answer)["requests"])


def run(contender: Contender, url: str, folder: str, flags: Sequence[str] = (), limit: float = 1800) -> Run:
    """Start the contender and wait for it. Raises `BenchmarkError` with its output when it fails or takes too long."""
    before = requests(url)
    with tempfile.TemporaryFile() as out:
        started = time.monotonic()
        process = subprocess.Popen(
            contender.command(url, folder, flags), cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env=_environment()
        )
        try:
            status, usage = _wait(process.pid, started + limit)
        finally:
            process.returncode = process.returncode if process.returncode is not None else 0
        wall = time.monotonic() - started
        out.seek(0)
        text = out.read().decode(errors="replace")
    if status != 0:
        raise BenchmarkError(f"{contender.name} ended with {status}:\n{text[-3000:]}")
    said = json.loads([line for line in text.splitlines() if line.startswith("{")][-1])
    cpu = usage.ru_utime + usage.ru_stime
    return Run(contender.name, wall, cpu, usage.ru_maxrss * 1024, requests(url) - before, said)


def _wait(pid: int, deadline: float) -> tuple[int, Any]:
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), usage
        if time.monotonic() > deadline:
            os.kill(pid, 9)
            _, status, usage = os.wait4(pid, 0)
            return -9, usage
        time.sleep(0.005)


def _environment() -> dict[str, str]:
    """The caller's, without what would make a contender write or read elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("INTEGRATION_", "DAGSTER_"))}
