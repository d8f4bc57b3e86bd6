"""Specs as the YAML that says the same, and files to read them from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from integration_assets.components.load import FILE, TYPE
from integration_assets.spec.base import Spec

MINIMAL: dict[str, Any] = {
    "name": "helpdesk",
    "base_url": "https://helpdesk.example/api",
    "streams": [
        {
            "name": "tickets",
            "path": "/tickets",
            "key": ["id"],
            "contract": {"columns": {"id": {"type": "int64", "nullable": False}}},
        }
    ],
}


def attributes(spec: Spec) -> dict[str, Any]:
    """A spec with every one of its fields, as YAML has them."""
    found: dict[str, Any] = json.loads(spec.model_dump_json())
    return found


def write(folder: Path, text: str) -> Path:
    """A `defs.yaml` in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(text, encoding="utf-8")
    return path


def written(folder: Path, values: object) -> Path:
    """A `defs.yaml` with these attributes."""
    document = {"type": TYPE, "attributes": values}
    return write(folder, yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
