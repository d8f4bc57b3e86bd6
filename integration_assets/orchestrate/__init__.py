"""Dagster's side of the project, and the only one that imports it: assets, checks, jobs, schedules from the typed specs.

Nothing here knows HTTP, Delta or SQL; what runs is `integration_assets.sync`, imported when a step begins.
"""

from integration_assets.orchestrate.build import build
from integration_assets.orchestrate.resources import StoresResource

__all__ = ["StoresResource", "build"]
