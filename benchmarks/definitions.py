"""What loading the definitions of many streams costs: seconds of CPU and peak memory, in a fresh process each.

    python -m benchmarks.definitions [STREAMS] [python|yaml]

The sources are written to a temporary folder, ten streams each, by day, with a cursor, a schedule and a contract of twelve
columns.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
EACH = 10
COLUMNS = {
    "id": "string", "updated_at": "timestamp", "created_at": "timestamp", "status": "string", "amount": "int64",
    "price": "float64", "name": "string", "city": "string", "country": "string", "count": "int64", "active": "boolean",
    "note": "string",
}  # fmt: skip
CHILD = """
import json, resource, sys
from time import process_time
took, began = {}, process_time()
def lap(name):
    global began
    took[name], began = round(process_time() - began, 2), process_time()
import dagster
lap("importing dagster")
import integration_assets.sources as sources
import integration_assets.definitions as module
lap("importing this project")
sources.__path__.insert(0, sys.argv[1])
found = sources.load_sources()
lap("reading the sources")
definitions = module.defs()
lap("building the definitions")
repository = definitions.get_repository_def()
repository.load_all_definitions()
lap("dagster's validation")
took["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
took["streams"] = sum(len(source.streams) for source in found)
print(json.dumps(took))
"""


def _stream(number: int) -> dict[str, object]:
    return {
        "name": f"stream_{number}",
        "path": f"/stream/{number}",
        "key": ["id"],
        "format": {"kind": "json", "records": "data"},
        "paging": {"kind": "token", "path": "next", "param": "after"},
        "cursor": {"field": "updated_at", "start_param": "since", "end_param": "before", "start": "2024-01-01T00:00:00Z"},
        "partitions": {"every": "day", "start": "2024-01-01"},
        "contract": {"description": "A row.", "columns": {name: {"type": kind} for name, kind in COLUMNS.items()}},
    }


def write(folder: Path, streams: int, kind: str) -> None:
    """Write so many streams into `folder`, as `defs.yaml` or as Python."""
    for number in range(streams // EACH):
        name = f"made_{number}"
        source = {
            "name": name,
            "base_url": "https://api.example.org/v1",
            "owners": ["team:data"],
            "streams": [_stream(one) for one in range(EACH)],
        }
        (folder / name).mkdir()
        if kind == "yaml":
            # JSON is YAML.
            text = json.dumps({"type": "integration_assets.ApiSource", "attributes": source}, indent=1)
            (folder / name / "defs.yaml").write_text(text)
        else:
            text = f"SOURCE = Source.model_validate_json({json.dumps(source)!r})\n"
            (folder / name / "__init__.py").write_text(f"from integration_assets.spec import Source\n{text}")


def main() -> None:
    """Print what each step took."""
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for kind in sys.argv[2:] or ("python", "yaml"):
        with TemporaryDirectory() as folder:
            write(Path(folder), streams, kind)
            done = subprocess.run([sys.executable, "-c", CHILD, folder], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr.strip().splitlines()[-1])
        took = json.loads(done.stdout)
        print(f"{took.pop('streams')} streams, {kind}:", ", ".join(f"{name} {value}" for name, value in took.items()))


if __name__ == "__main__":
    main()
