"""A source's `defs.yaml`, read without Dagster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from integration_assets.components.document import Document, read
from integration_assets.components.problems import Problem, refusal
from integration_assets.components.resolve import resolve
from integration_assets.spec.source import Source

FILE = "defs.yaml"
TYPE = "integration_assets.ApiSource"
"""The component's type, as Dagster's tools name it."""

_KEYS = ("type", "attributes", "requirements")


def load(path: Path, environ: Mapping[str, str] | None = None) -> Source:
    """The source that a file describes. Raises `SpecError` with file, line and remedy for every mistake in it."""
    document = read(path, str(Path(*path.parts[-4:])))
    if problem := _wrong(document):
        raise refusal([problem], document.lines, document.value)
    assert isinstance(document.value, Mapping)  # noqa: S101 - just checked
    return resolve(document.value.get("attributes"), document.lines.below("attributes"), environ)


def _wrong(document: Document) -> Problem | None:
    """What is wrong around the attributes."""
    if not isinstance(document.value, Mapping):
        return Problem((), f"a source begins with type: {TYPE}", "Write type and attributes.")
    if document.value.get("type") != TYPE:
        return Problem(("type",), f"the type is not {TYPE}", f"Write type: {TYPE}.")
    unknown = next((name for name in document.value if name not in _KEYS), None)
    return Problem((unknown,), f"{unknown!r} has no meaning here", f"Use {', '.join(_KEYS)}.") if unknown else None
