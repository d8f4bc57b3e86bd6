"""How the steps of a run get their processes: forked from one that has Dagster and the definitions loaded already."""

from __future__ import annotations

import multiprocessing

import dagster as dg

STEPS_AT_ONCE = 4
"""Steps of one run that go on at the same time; mostly they wait for an API, and a pool holds each source back further."""


def executor() -> dg.ExecutorDefinition:
    """Processes per step, forked where the system can: that spares each stream of a job the import of Dagster.

    A job of five small streams on two cores: 21 s and 30 s of CPU, against 26 to 28 s and 37 to 40 s with a fresh process each.
    Only what starts no thread is loaded before the fork; pandas and deltalake do, so a step imports them itself.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return dg.multiprocess_executor.configured({"max_concurrent": STEPS_AT_ONCE})
    preload = {"forkserver": {"preload_modules": ["integration_assets.definitions"]}}
    return dg.multiprocess_executor.configured({"max_concurrent": STEPS_AT_ONCE, "start_method": preload})
