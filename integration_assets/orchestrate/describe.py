"""What a stream's rows are, in the words of its contract, whose docstring is read without importing it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from functools import lru_cache
from pathlib import Path

from integration_assets.errors import SpecError
from integration_assets.spec.paging import Offset, PageNumber, Single
from integration_assets.spec.source import Source, Stream


def promise(stream: Stream) -> str:
    """What the form of an API's paging promises of a list that changes while it is read."""
    match stream.paging:
        case Single():
            return "One answer shows one moment."
        case Offset(overlap=overlap) if overlap:
            return "A list that moves while it is read shows at the overlap of its pages; `nothing_skipped` then tells of it."
        case Offset() | PageNumber():
            return (
                "A record that leaves the list while it is read can hide another. The API's count or a record that comes again"
                " shows it, and `nothing_skipped` then tells of it; what shows in neither cannot be seen."
            )
        case _:
            return "A page goes on where the last one ended, as exactly as the API's own token does."


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
