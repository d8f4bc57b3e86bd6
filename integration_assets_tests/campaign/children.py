"""Runs as processes of their own: started, killed and awaited, never for longer than three minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from integration_assets_tests.campaign.points import Orders
from integration_assets_tests.campaign.work import Task

_ROOT = Path(__file__).parents[2]
LONGEST = 180.0
"""Seconds that a run may take; the dead must not keep the living waiting."""


@dataclass(frozen=True)
class Ended:
    """How a run ended. `outcomes` and `error` are None when it was killed, `status` is None when it hung.

    changes : how many changes to disks were counted, where that was asked for.
    """

    status: int | None
    outcomes: list[str] | None
    error: str | None
    log: str
    changes: int = 0

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status == -9

    @property
    def whole(self) -> bool:
        """Whether it came to its end without an error."""
        return self.status == 0 and self.error is None


class Children:
    """A context that forks runs from one process that has imported everything."""

    def __init__(self, folder: Path, library: Path | None = None) -> None:
        """Keep answers and logs in the folder. `library`: what `disk.build` built."""
        self._folder, self._library = folder, library
        self._names = count()
        self._started: dict[int, tuple[Path, Path]] = {}

    def __enter__(self) -> Self:
        """Start the process and wait until it has imported everything."""
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        # No thread before a fork: numpy's own would be one.
        environ = {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        environ |= {"LD_PRELOAD": str(self._library)} if self._library else {}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "integration_assets_tests.campaign.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("COV")} | environ,
        )
        if self._read() != "ready\n":
            raise RuntimeError("the server of runs did not start; see its standard error")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the process, and every run that is left."""
        for pipe in (self._server.stdin, self._server.stdout):
            if pipe:
                pipe.close()
        try:
            self._server.wait(5)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def start(self, task: Task, environ: Mapping[str, str], orders: Orders | None = None) -> int:
        """Begin a run; its process id."""
        name = f"{next(self._names):05d}"
        answer, log = self._folder / f"{name}.json", self._folder / f"{name}.log"
        job = {
            "task": task.to_json(),
            "environ": dict(environ),
            "orders": (orders or Orders()).to_json(),
            "answer": str(answer),
            "log": str(log),
        }
        child = int(self._ask({"start": job}))
        self._started[child] = (answer, log)
        return child

    def wait(self, child: int, longest: float = LONGEST) -> Ended:
        """How the run ended; it is killed when it takes too long."""
        status = self._ask({"wait": child, "seconds": longest})
        answer, log = self._started.pop(child)
        body: dict[str, Any] = json.loads(answer.read_text()) if status == 0 else {"outcomes": None, "error": None}
        said = log.read_text()[-2000:] if log.exists() else ""
        return Ended(status, body["outcomes"], body["error"], said, body.get("changes", 0))

    def run(self, task: Task, environ: Mapping[str, str], orders: Orders | None = None) -> Ended:
        """Begin a run and wait for its end; one that is traced takes its time."""
        return self.wait(self.start(task, environ, orders), LONGEST * (10 if orders and orders.trace else 1))

    def _ask(self, question: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return json.loads(self._read())

    def _read(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()
