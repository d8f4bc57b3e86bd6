"""The Terraform files as data: python-hcl2's tree, with the quotes of its strings taken off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hcl2

from integration_assets_tests.deploy.reading import DEPLOY

FILES = sorted((DEPLOY / "terraform").glob("*.tf"))


@dataclass(frozen=True)
class Resource:
    """One resource: its type, its name, its arguments and nested blocks (each a list)."""

    type: str
    name: str
    body: dict[str, Any]


def plain(tree: Any) -> Any:  # noqa: ANN401 - a tree of HCL
    """Strings without the quotes that the parser keeps; marks of blocks left out."""
    if isinstance(tree, dict):
        return {plain(key): plain(value) for key, value in tree.items() if not str(key).startswith("__")}
    if isinstance(tree, list):
        return [plain(item) for item in tree]
    return tree[1:-1] if isinstance(tree, str) and len(tree) > 1 and tree[0] == tree[-1] == '"' else tree


def blocks(kind: str) -> Iterator[dict[str, Any]]:
    """Every top-level block of a kind, over all files."""
    for file in FILES:
        yield from plain(hcl2.loads(file.read_text(encoding="utf-8"))).get(kind, [])


def resources(kind: str = "") -> list[Resource]:
    """Every resource whose type holds `kind`."""
    return [
        Resource(type_, name, body)
        for block in blocks("resource")
        for type_, named in block.items()
        for name, body in named.items()
        if kind in type_
    ]


def named(kind: str) -> dict[str, dict[str, Any]]:
    """Blocks with one label, such as variables and outputs, by their name."""
    return {name: body for block in blocks(kind) for name, body in block.items()}
