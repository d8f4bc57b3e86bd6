"""What a stream's rows are, in the words of its contract, whose docstring is read without importing it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from functools import lru_cache
from pathlib import Path

from integration_assets.errors import SpecError
from integration_assets.spec.source import Source, Stream


def contract_doc(source: Source, stream: Stream) -> str:
    """The docstring of the contract's class, or the description of one that is in the spec itself; empty without one.

    Raises `SpecError` when there is no such module.
    """
    if not isinstance(stream.contract, str):
        return stream.contract.description
    model = stream.contract.partition(":")[2]
    return _docs(contract_text(source.name, stream.name, stream.contract)).get(model, "")


@lru_cache
def contract_text(source: str, stream: str, contract: str) -> str:
    """The text of the module that holds the contract, found without importing it. Raises `SpecError` naming the module."""
    module = contract.partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None:
        raise SpecError(
            f"there is no module {module}",
            source=source,
            stream=stream,
            field="contract",
            remedy="Write package.module:Model.",
        )
    return Path(found.origin).read_text(encoding="utf-8")


@lru_cache
def _docs(text: str) -> dict[str, str]:
    """The docstring of each class of a module; none where the module cannot be read, which is told when data flows."""
    try:
        module = ast.parse(text)
    except SyntaxError:
        return {}
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    return {node.name: inspect.cleandoc(ast.get_docstring(node) or "") for node in classes}
