"""A process that has imported everything and forks a child for each run: a run then starts at once, and is as mortal as any.

It has no thread of its own and opens no lake, so that each child starts clean. Lines of JSON: `{"start": …}` is answered with
the child's id, `{"wait": id, "seconds": …}` with its exit status, negative for a signal.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

# What a run imports on its way is imported here, once.
import deltalake  # noqa: F401
import duckdb  # noqa: F401
import google.cloud.bigquery
import google.cloud.storage  # noqa: F401
import pandera.backends.pandas.builtin_checks  # noqa: F401
import pyarrow.dataset  # noqa: F401

import integration_assets
from integration_assets_tests.campaign import disk
from integration_assets_tests.campaign.points import Orders, obey
from integration_assets_tests.campaign.work import Task, run

_POLL = 0.005
_STAGES = ("extract", "validate", "transform", "land")


def main() -> None:
    """Serve until standard input closes; children that still run are killed then."""
    for stage in _STAGES:
        package = importlib.import_module(f"{integration_assets.__name__}.{stage}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    print("ready", flush=True)  # noqa: T201 - the protocol
    children: set[int] = set()
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if "start" in asked:
            answer: int | None = _start(asked["start"])
            children.add(answer or 0)
        else:
            answer = _wait(asked["wait"], asked["seconds"])
            children.discard(asked["wait"])
        print(json.dumps(answer), flush=True)  # noqa: T201 - the protocol
    for child in children:
        os.kill(child, signal.SIGKILL)


def _start(job: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        _be(job)
        status = 0
    except BaseException:  # noqa: BLE001 - the child ends here, and says why
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _be(job: dict[str, Any]) -> None:
    """The child's whole life."""
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream, file in ((0, nothing), (1, log), (2, log)):
        os.dup2(file, stream)
    os.environ.update(job["environ"])
    orders = Orders.from_json(job["orders"])
    end = obey(orders)
    answer = run(Task(**job["task"]), os.environ)
    end()
    if orders.disk:
        answer["changes"] = disk.changes()
        disk.arm("count", 0, 0)  # the answer itself goes to a disk
    Path(job["answer"]).write_text(json.dumps(answer))


def _wait(child: int, seconds: float) -> int | None:
    """Its exit status; None when it was killed here because it did not end in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


if __name__ == "__main__":
    main()
