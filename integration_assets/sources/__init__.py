"""One folder a source: a `SOURCE` in its `__init__.py`, or a `defs.yaml`. Adding the folder is all it takes."""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path

from integration_assets.components.load import FILE, load
from integration_assets.errors import SpecError
from integration_assets.spec.source import Source


@lru_cache(maxsize=1)
def load_sources() -> tuple[Source, ...]:
    """Every source under this folder, by name.

    Raises `SpecError` naming the folder whose spec is wrong, or that holds none.
    """
    return tuple(_load(folder) for folder in sorted(_folders(), key=lambda folder: folder.name))


def load_source(name: str) -> Source:
    """The source of that name. Raises `SpecError` that lists the names there are."""
    for source in load_sources():
        if source.name == name:
            return source
    names = ", ".join(source.name for source in load_sources())
    raise SpecError(f"there is no source {name!r}", remedy=f"The sources are: {names}.")


def source_folder(name: str) -> Path:
    """Where the source of that name is or would be written."""
    return Path(__path__[0]) / name


def _folders() -> list[Path]:
    inside = [folder for root in __path__ for folder in Path(root).iterdir() if folder.name[0] not in "._"]
    return [folder for folder in inside if any((folder / name).is_file() for name in ("__init__.py", FILE))]


def _load(folder: Path) -> Source:
    name = folder.name
    source = _in_python(name) if (folder / "__init__.py").is_file() else None
    if (folder / FILE).is_file():
        if source is not None:
            raise SpecError(
                f"sources/{name} has a SOURCE and a {FILE}", source=name, remedy="Describe the source once, in one of them."
            )
        source = load(folder / FILE)
    if source is None:
        raise SpecError(f"sources/{name}/__init__.py has no SOURCE", source=name, remedy="Assign a Source(…) to SOURCE there.")
    if source.name != name:
        raise SpecError(
            f"the folder is called {name!r}", source=source.name, field="name", remedy="Give folder and source one name."
        )
    return source


def _in_python(name: str) -> Source | None:
    try:
        found = getattr(importlib.import_module(f"{__name__}.{name}"), "SOURCE", None)
    except SpecError as error:
        raise error.at(name) from error
    return found if isinstance(found, Source) else None
