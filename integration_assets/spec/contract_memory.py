"""Remembers what a contract said, so that a sync without a new record need not import pandera, which takes half a second.

As with Python's own compiled files, what is remembered holds as long as every source file that it came from has the time and
the size it had. The gate asks the model itself before the first row is checked.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pyarrow as pa

from integration_assets.spec.contract_data import Column, Contract

_FORM = 1
_LIBRARIES = ("numpy", "pandas", "pandera", "pyarrow", "pydantic")
"""Another version of these may read a model otherwise."""
_MOST_FILES = 100


def recall(ref: str) -> Contract | None:
    """The contract without its model; None when it is not known or may have changed."""
    place = _place(ref)
    if place is None:
        return None
    try:
        known = json.loads(place.read_bytes())
        if any(_stamp(path) != stamp for path, stamp in known["files"]):
            return None
        return _contract(known["contract"])
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or one that another version wrote: it is made anew
        return None


def remember(ref: str, contract: Contract) -> None:
    """Keep the contract for the next process, where there is a folder to keep it in.

    One that is known as it is stays: finding out which files it came from takes a tenth of a second.
    """
    if recall(ref) == contract:
        return
    place = _place(ref)
    files = _files(_module(ref))
    if place is None or files is None:
        return
    text = json.dumps({"files": [[path, _stamp(path)] for path in files], "contract": _described(contract)})
    # A cache that cannot be written, as in a read-only container, only costs time.
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with NamedTemporaryFile("w", dir=place.parent, delete=False) as file:
            file.write(text)
        Path(file.name).replace(place)


def forget(ref: str) -> None:
    """Have the contract made anew by the next process."""
    place = _place(ref)
    if place is not None:
        place.unlink(missing_ok=True)


def _place(ref: str) -> Path | None:
    """The file for a contract of this interpreter: one name may be another file in another project."""
    module = _module(ref)
    origin = ""
    if module is not None:
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            return None
        if spec is None or not spec.origin:
            return None
        origin = spec.origin
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - it may stay unexpanded, and is then none
    if not os.path.isabs(home):  # noqa: PTH117
        return None
    name = hashlib.sha256("|".join([str(_FORM), ref, origin, sys.prefix, sys.version]).encode()).hexdigest()[:32]
    return Path(home) / "integration_assets" / "contracts" / f"{name}.json"


def _module(ref: str) -> str | None:
    """The module of `package.module:Model`, None for a contract that is itself in the spec."""
    return None if ref.startswith("{") else ref.partition(":")[0]


def _stamp(path: str) -> list[int]:
    found = os.stat(path)  # noqa: PTH116 - dozens of them at each start
    return [found.st_mtime_ns, found.st_size]


@cache
def _files(module: str | None) -> Sequence[str] | None:
    """The source files that make the contract what it is; None when they are too many to be looked at each time.

    Code of ours and of the contract's own package is followed; of an installed library its first file stands for all of it.
    """
    found: dict[str, str] = {}
    own = {"integration_assets", (module or "").partition(".")[0]}
    todo = ["integration_assets.spec.contract_model", *_LIBRARIES, *filter(None, [module])]
    while todo:
        name = todo.pop()
        top = name.partition(".")[0]
        # What the contract imports is loaded by now; what is not loaded is a name within a module, or is not for contracts.
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if top in sys.stdlib_module_names or name in found or spec is None or not (spec.origin or "").endswith(".py"):
            continue
        installed = top not in own and "site-packages" in spec.origin
        if installed and name != top:
            todo.append(top)
            continue
        found[name] = spec.origin
        if len(found) > _MOST_FILES:
            return None
        if not installed:
            package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
            todo.extend(_imports(Path(spec.origin).read_bytes(), package))
    return sorted(set(found.values()))


def _imports(source: bytes, package: str) -> Iterator[str]:
    """The modules that a file may import, absolute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _described(contract: Contract) -> dict[str, Any]:
    bare = pa.schema([pa.field(column.name, column.type) for column in contract.columns])
    return {
        "name": contract.name,
        "description": contract.description,
        "hash": contract.hash,
        "types": base64.b64encode(bare.serialize().to_pybytes()).decode(),
        "columns": [
            {
                "path": column.path,
                "format": column.format,
                "nullable": column.nullable,
                "description": column.description,
                "pii": column.pii,
                "mask": column.mask,
            }
            for column in contract.columns
        ],
    }


def _contract(known: dict[str, Any]) -> Contract:
    types = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(known["types"])))
    columns = tuple(
        Column(field.name, field.type, **{**column, "path": tuple(column["path"])})
        for field, column in zip(types, known["columns"], strict=True)
    )
    return Contract(known["name"], known["description"], columns, known["hash"])
