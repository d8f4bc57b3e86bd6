"""Everything Dagster loads. Adding a source is adding a folder under `sources`; nothing is added here."""

from __future__ import annotations

import dagster as dg

from integration_assets.orchestrate import build
from integration_assets.sources import load_sources


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of every source there is."""
    return build(load_sources())
