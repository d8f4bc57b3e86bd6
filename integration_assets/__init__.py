"""APIs to trusted tables: a Dagster project."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {"ApiSource": "integration_assets.orchestrate.component"}
"""What this package offers that imports Dagster, which the command line does without."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is asked for
    """`ApiSource`, Dagster's component; imported when it is asked for."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
