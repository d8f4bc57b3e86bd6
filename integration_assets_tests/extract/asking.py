"""A process of its own that asks an API: `python -m integration_assets_tests.extract.asking` with one JSON argument."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from integration_assets.errors import IntegrationError
from integration_assets.extract.client import SourceClient
from integration_assets.extract.limits import open_store
from integration_assets.spec import Limits, Source, Stream


@dataclass(frozen=True)
class Told:
    """What became of an asker: pages got, the error that ended it with its `retry_after`, and what it waited."""

    pages: int
    error: str
    text: str
    retry_after: float | None
    queued: float
    throttled: float


def shop(url: str, limits: dict[str, Any], name: str = "shop") -> Source:
    """A source that is asked for `/things`."""
    stream = Stream(name="things", path="/things", contract="nowhere:Model", disposition="append")
    return Source(name=name, base_url=url, streams=(stream,), limits=Limits(**limits))


def start(url: str, store: str, limits: dict[str, Any], pages: int, **more: Any) -> subprocess.Popen[str]:  # noqa: ANN401
    """Start a process that asks for so many pages. It says `ready`, and begins when a line comes on its standard input."""
    argument = json.dumps({"url": url, "store": store, "limits": limits, "pages": pages, **more})
    command = [sys.executable, "-m", "integration_assets_tests.extract.asking", argument]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)  # noqa: S603 - our own


def go(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Let all begin, as soon as all are ready."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def told(process: subprocess.Popen[str], timeout: float = 60) -> Told:
    """What became of it."""
    out, _ = process.communicate(timeout=timeout)
    return Told(**json.loads(out.splitlines()[-1]))


def main(url: str, store: str, limits: dict[str, Any], pages: int, threads: int = 1, name: str = "shop") -> None:
    """Ask for `pages` pages by each of `threads` threads, and print a line of what became of it."""
    with open_store(store) as shared, SourceClient(shop(url, limits, name), os.environ.__getitem__, store=shared) as client:
        _say("ready")
        sys.stdin.readline()
        got = [0] * threads

        def ask(thread: int) -> IntegrationError | None:
            try:
                for number in range(pages):
                    client.get("/things", {"pid": os.getpid(), "page": number})
                    got[thread] += 1
            except IntegrationError as error:
                return error
            return None

        with ThreadPoolExecutor(threads) as pool:
            errors = [error for error in pool.map(ask, range(threads)) if error is not None]
        ended = errors[0] if errors else None
        usage = client.usage
        told_ = Told(
            sum(got),
            type(ended).__name__ if ended else "",
            str(ended or ""),
            getattr(ended, "retry_after", None),
            round(usage.queued, 3),
            round(usage.throttled, 3),
        )
        _say(json.dumps(asdict(told_)))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
