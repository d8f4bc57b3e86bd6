"""One folder a source. Adding a folder with a `SOURCE` in its `__init__.py` is all it takes."""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache

from integration_assets.errors import SpecError
from integration_assets.spec.source import Source


@lru_cache(maxsize=1)
def load_sources() -> tuple[Source, ...]:
    """Every source under this folder, by name.

    Raises `SpecError` naming the folder whose spec is wrong, or that holds none.
    """
    found = []
    for module in pkgutil.iter_modules(__path__):
        if not module.ispkg:
            continue
        try:
            source = getattr(importlib.import_module(f"{__name__}.{module.name}"), "SOURCE", None)
        except SpecError as error:
            raise error.at(module.name) from error
        if not isinstance(source, Source):
            raise SpecError(
                f"sources/{module.name}/__init__.py has no SOURCE",
                source=module.name,
                remedy="Assign a Source(…) to SOURCE there.",
            )
        if source.name != module.name:
            raise SpecError(
                f"the folder is called {module.name!r}",
                source=source.name,
                field="name",
                remedy="Give folder and source one name.",
            )
        found.append(source)
    return tuple(found)


def load_source(name: str) -> Source:
    """The source of that name. Raises `SpecError` that lists the names there are."""
    for source in load_sources():
        if source.name == name:
            return source
    names = ", ".join(source.name for source in load_sources())
    raise SpecError(f"there is no source {name!r}", remedy=f"The sources are: {names}.")
