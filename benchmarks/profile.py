"""Where each CPU-second of a full load goes, and of a sync that finds nothing, as text.

    python -m benchmarks.profile [RECORDS]      writes benchmarks/PROFILE.txt

Each stage's own time is measured by the clock of the thread that does it, without the stages below it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, feed, upstream

HERE = Path(__file__).parent
CHILD = """
import json, sys, time
began = time.process_time()
import builtins, collections, functools, importlib, threading
STAGES = [
    ("request and download", "integration_assets.extract.client", "SourceClient.get"),
    ("find the records in the body", "integration_assets.extract.json_decode", "JsonReader.open"),
    ("decode: JSON to Arrow", "integration_assets.extract.json_decode", "read_arrow"),
    ("decode: Arrow to the contract", "integration_assets.extract.json_decode", "page_from_arrow"),
    ("decode: misfits one by one", "integration_assets.extract.json_decode", "strict_page"),
    ("join pages to batches", "integration_assets.stages", "combine"),
    ("sieve: slice and duplicates", "integration_assets.validate.sieve", "Seen.fresh"),
    ("sieve: hash rows", "integration_assets.stages", "row_hashes"),
    ("gate: pandera", "integration_assets.validate.gate", "Gate.check"),
    ("Parquet", "integration_assets.land.writer", "Writer.write"),
    ("commit", "integration_assets.land.lake", "LakeTable.commit"),
    ("open table and state", "integration_assets.land.lake", "LakeTable.state"),
    ("make table", "integration_assets.land.lake", "LakeTable.prepare"),
    ("contracts", "integration_assets.spec.contract_loading", "load_contract"),
]
own, here = collections.Counter(), threading.local()

def measured(label, function):
    @functools.wraps(function)
    def run(*given, **named):
        stack = here.__dict__.setdefault("stack", [])
        stack.append(0.0)
        start = time.thread_time()
        try:
            return function(*given, **named)
        finally:
            took = time.thread_time() - start
            own[label] += took - stack.pop()
            if stack:
                stack[-1] += took
    return run

import benchmarks.contenders.ours
own["imports, without pandas and pandera"] = time.process_time() - began
for label, module, path in STAGES:
    holder = importlib.import_module(module)
    *above, name = path.split(".")
    for part in above:
        holder = getattr(holder, part)
    setattr(holder, name, measured(label, getattr(holder, name)))
plain = builtins.__import__
heavy = {"pandas", "pandera"}

def importing(name, *given, **named):
    if name.partition(".")[0] in heavy and name not in sys.modules:
        return measured("import pandas and pandera", plain)(name, *given, **named)
    return plain(name, *given, **named)

builtins.__import__ = importing
benchmarks.contenders.ours.main()
total = time.process_time()
print(json.dumps({"stages": own, "total": total}))
"""


def main() -> None:
    """Profile a full load of so many records, and an empty sync after it."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    text = [__doc__.split("\n", 1)[0], ""]
    with upstream(records) as url, tempfile.TemporaryDirectory() as folder:
        feed(url, records)
        text += _told(f"Full load of {records:,} records", _run(url, folder), records)
        text += _told("Empty sync after it", _run(url, folder), None)
    (HERE / "PROFILE.txt").write_text("\n".join(text), encoding="utf-8")
    print("\n".join(text))


def _run(url: str, folder: str) -> dict[str, float]:
    command = [sys.executable, "-c", CHILD, "--url", url, "--folder", folder]
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, timeout=900).stdout
    said = json.loads(out.splitlines()[-1])
    rest = said["total"] - sum(said["stages"].values())
    return {**said["stages"], "everything else, other threads": rest, "total": said["total"]}


def _told(title: str, stages: dict[str, float], records: int | None) -> list[str]:
    each = "us a record" if records else ""
    lines = [title, f"{'':40}{'CPU-s':>8}{'share':>8}{each:>14}"]
    for name, seconds in sorted(stages.items(), key=lambda pair: (pair[0] == "total", -pair[1])):
        micros = f"{seconds / records * 1e6:14.2f}" if records else ""
        lines.append(f"{name:40}{seconds:8.2f}{seconds / stages['total']:8.1%}{micros}")
    return [*lines, ""]


if __name__ == "__main__":
    main()
