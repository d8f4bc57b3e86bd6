"""Runs many cases at once: each against an upstream of its own, in processes that may be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from integration_assets_tests.chaos.answers import WELL, sends
from integration_assets_tests.chaos.case import Case, Lands
from integration_assets_tests.chaos.certificates import Authority
from integration_assets_tests.chaos.upstream import Upstream

SECONDS = 120
"""Wall time of a case, far above its own time limits: what takes longer hangs."""
_HERE = Path(__file__).resolve().parents[2]
_RUNNERS = 2


class Runner:
    """A process that runs one case after the other; a new one in its place after one that died.

    shared : a folder for the data of cases that must leave none.
    """

    def __init__(self, folder: Path) -> None:
        self.shared = folder / f"shared-{id(self)}"
        self.shared.mkdir()
        self._errors = self.shared / "errors.txt"
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        environ = {**os.environ, "PYTHONPATH": str(_HERE), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environ = {name: value for name, value in environ.items() if not name.lower().endswith("_proxy")}
        with self._errors.open("a") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "integration_assets_tests.chaos.runner"],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """The result of a job; with what is known of the end of a process that wrote none."""
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        if not self._process.stdout.readline():
            self.close()
            self._process = self._start()
        folder = Path(job["folder"])
        result = folder / "result.json"
        if result.exists():
            found: dict[str, Any] = json.loads(result.read_text())
            return found
        hung = folder / "hung.txt"
        return {"died": (hung.read_text() if hung.exists() else "") + self._errors.read_text()[-4000:]}

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait(timeout=SECONDS)


@dataclass
class Outcome:
    """What a case became: the runner's account, the requests that the upstream had, and the folder with all that was written."""

    folder: Path
    found: dict[str, Any]
    heads: list[bytes] = field(default_factory=list)


class Campaign:
    """The cases' outcomes. `trap` is where nobody may ask.

    Cases that must land have a table of their own, which a second run finds well. Those that must fail share one of each
    runner: nothing of any may be in it, until at the end the upstream is well.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = Authority(folder)
        self._runners: dict[bool, SimpleQueue[Runner]] = {True: SimpleQueue(), False: SimpleQueue()}
        self._all: list[Runner] = []
        self._outcomes: dict[str, Future[Outcome]] = {}
        self._well = Upstream(sends(WELL))
        self.trap = Upstream(sends(WELL))

    @contextmanager
    def running(self, cases: Sequence[Case]) -> Iterator[Campaign]:
        """Run the cases, a few at a time, while the context is open; those that are measured in forks of one runner."""
        kinds = [True] * any(case.grows is not None for case in cases) + [False] * _RUNNERS
        with ExitStack() as stack:
            pools = {kind: stack.enter_context(ThreadPoolExecutor(kinds.count(kind))) for kind in set(kinds)}
            for kind in kinds:
                runner = Runner(self._folder)
                stack.callback(runner.close)
                self._all.append(runner)
                self._runners[kind].put(runner)
            stack.enter_context(self.trap.served())
            stack.enter_context(self._well.served())
            for case in cases:
                self._outcomes[case.name] = pools[case.grows is not None].submit(self._run, case)
            stack.callback(lambda: [future.cancel() for future in self._outcomes.values()])
            yield self

    def outcome(self, case: Case) -> Outcome:
        """What the case became, once it is over."""
        return self._outcomes[case.name].result()

    def afterwards(self, case: Case) -> list[Outcome]:
        """When all cases are over: the tables that none may have changed, after a run against an upstream that is well."""
        wait(self._outcomes.values())
        found = []
        for number, runner in enumerate(self._all):
            folder = self._folder / f"afterwards-{number}"
            folder.mkdir()
            found.append(Outcome(runner.shared, runner.run(self._job(case, folder, runner.shared, "", well=True))))
        return found

    def _run(self, case: Case) -> Outcome:
        folder = self._folder / case.name.replace(" ", "-").replace("/", "-")
        folder.mkdir()
        context = self._authority.context(case.tls, case.protocols) if case.tls else None
        upstream = Upstream(case.behave, trap=self.trap.url, tls=context) if case.behave else None
        queue = self._runners[case.grows is not None]
        runner = queue.get()
        try:
            with upstream.served("localhost" if case.tls else "127.0.0.1") if upstream else nullcontext():
                here = upstream.url if upstream else ""
                url = case.base_url.format(here=here, port=here.rpartition(":")[2], trap=self.trap.url)
                becomes = case.becomes
                own = folder if isinstance(becomes, Lands) else runner.shared
                partly = isinstance(becomes, Lands) and bool(becomes.rejects or becomes.without)
                found = runner.run(self._job(case, folder, own, url, well=partly))
            return Outcome(folder, found, upstream.heads if upstream else [])
        finally:
            queue.put(runner)

    def _job(self, case: Case, folder: Path, data: Path, url: str, *, well: bool) -> dict[str, Any]:
        return {
            "case": case.name,
            "folder": str(folder),
            "data": str(data),
            "url": url,
            "well": self._well.url if well else "",
            "environ": {"SSL_CERT_FILE": str(self._authority.file), "XDG_STATE_HOME": str(self._folder / "state")},
            "seconds": SECONDS,
            "alone": case.grows is not None,
        }
