"""Runs cases: a process of its own, so that what hangs, swells or crashes is seen from outside.

Started as a module. Each line that comes in is a job as JSON; the line that goes out says that its result is written.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import resource
import sys
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from integration_assets.errors import IntegrationError
from integration_assets.feed import open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import Slice, Source
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync
from integration_assets_tests.chaos.case import SECRET, Case
from integration_assets_tests.chaos.cases import CASES

_HEAVY = ("pandera.pandas", "pyarrow.json", "deltalake", "duckdb", "integration_assets.extract.text_decode")
"""What a case imports when it needs it: here once for all."""
_MOST_ADDRESSES = 24 * 2**30
"""Bytes of address space: far more than any case may use, and an end before the machine's."""


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The case against the hostile upstream, and then against one that is well, as far as the job names them."""
    case, folder = CASES[job["case"]], Path(job["folder"])
    os.environ.update(job["environ"])
    log = _logged(folder)
    started = _memory("VmRSS")
    _start_peak()
    held = _held(folder)
    result: dict[str, Any] = {}
    if job["url"]:
        result["hostile"] = _pull(case, Path(job["data"]), job["url"], None)
        result["grew"] = result["hostile"]["peak"] - started
        result["leaked"] = _leaked(folder, held)
    if job["well"]:
        result["well"] = _pull(case, Path(job["data"]), job["well"], Slice(0, 10**6))
    log.close()
    return result


def _pull(case: Case, data: Path, url: str, span: Slice | None) -> dict[str, Any]:
    """One sync and merge; what came of it, and what is there afterwards."""
    environ = {
        "INTEGRATION_LAKE_URI": str(data / "lake"),
        "INTEGRATION_WAREHOUSE_URI": str(data / "warehouse.duckdb"),
        # Each case's own: the next one's server may listen at the port of one that asked for a year's pause.
        "INTEGRATION_LIMITS_URI": str(data / "limits" / "".join(filter(str.isalnum, case.name))),
        "INTEGRATION_CHAOS_BASE_URL": url,
        "CHAOS_KEY": SECRET,
    }
    settings, source = Settings.from_environ(environ), case.source(well=span is not None)
    found: dict[str, Any] = {"error": None, "receipts": [], "traceback": ""}
    stores = Stores.from_settings(settings)
    before = _last(source, stores)
    began = time.monotonic()
    try:
        with open_feeds(source, stores, settings, say=logging.info) as (feed,):
            found["receipts"] = [json.loads(receipt.to_json()) for receipt in sync(feed, "run", span=span)]
            merge(feed, stores, "run")
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test judges it
        found["error"] = {
            "kind": type(error).__name__,
            "ours": isinstance(error, IntegrationError),
            "text": str(error),
            "args": repr(error.args),
            "remedy": getattr(error, "remedy", None),
        }
        found["traceback"] = traceback.format_exc()
    found |= {"seconds": time.monotonic() - began, "peak": _memory("VmHWM")}
    found |= _there(source, stores, before)
    return found


def _there(source: Source, stores: Stores, before: int | None) -> dict[str, Any]:
    """Whether something was committed since, the warehouse's rows and the rejects."""
    committed = _last(source, stores) != before
    rows = stores.warehouse.query("select * from chaos.items where _deleted_at is null").to_pylist() if committed else []
    rejects = stores.quarantine.list("chaos", "items", limit=10_000)
    return {
        "committed": committed,
        "rows": {str(row["id"]): row for row in rows},
        "rejects": [[one.payload[:2000].decode("latin-1"), list(one.reasons)] for one in rejects],
    }


def _last(source: Source, stores: Stores) -> int | None:
    """The version of the lake's last commit with a receipt."""
    receipt = stores.table(source, source.streams[0]).state().receipt
    return receipt.version if receipt else None


def _logged(folder: Path) -> logging.FileHandler:
    """All that anything logs, in a file beside the lake."""
    handler = logging.FileHandler(folder / "log.txt")
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    return handler


def _held(folder: Path) -> dict[str, set[str]]:
    """Python's threads, sockets that are connected to an upstream, and open files of the case's folder."""
    named = {thread.name for thread in threading.enumerate()}
    sockets, files = set(), set()
    connected = {line.split()[9] for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]}
    for fd in Path("/proc/self/fd").iterdir():
        try:
            target = str(fd.readlink())
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in connected:
            sockets.add(target)
        if target.startswith(str(folder)) and not target.endswith("log.txt"):
            files.add(target)
    return {"threads": named, "sockets": sockets, "files": files}


def _leaked(folder: Path, before: dict[str, set[str]]) -> dict[str, list[str]]:
    """What is held that was not before; threads that are about to end get the time for it."""
    deadline = time.monotonic() + 10
    while True:
        now = _held(folder)
        more = {what: sorted(held - before[what]) for what, held in now.items()}
        if not any(more.values()) or time.monotonic() > deadline:
            return {what: held for what, held in more.items() if held}
        time.sleep(0.02)


def _memory(field: str) -> float:
    """MB of this process, of a field in its status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def _start_peak() -> None:
    """Forget the peak so far."""
    Path("/proc/self/clear_refs").write_text("5")


def _one(job: dict[str, Any]) -> None:
    """Run a job and write its result; past its time limit the process ends, and says where it hung."""
    folder = Path(job["folder"])
    with (folder / "hung.txt").open("w") as hung:
        faulthandler.dump_traceback_later(job["seconds"], exit=True, file=hung)
        result = json.dumps(run(job), default=str)
        faulthandler.cancel_dump_traceback_later()
    (folder / "result.json").write_text(result)


def main() -> None:
    """Read jobs until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever anything prints is looked at for secrets too
    for module in _HEAVY:
        import_module(module)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_ADDRESSES, _MOST_ADDRESSES))
    for line in sys.stdin:
        job = json.loads(line)
        if job["alone"]:
            child = os.fork()  # before this process has used anything that a fork does not survive
            if not child:
                status = 1
                try:
                    _one(job)
                    status = 0
                finally:
                    os._exit(status)
            os.waitpid(child, 0)
        else:
            _one(job)
        answers.write(f"{job['case']}\n")
        answers.flush()


if __name__ == "__main__":
    main()
