"""Evidence that a run leaves behind. What is wrong was stopped before the commit; a check says so where people look."""

from integration_assets.orchestrate.checks.account import adds_up, held, no_drift, reject_ratio
from integration_assets.orchestrate.checks.evaluate import after_pull, lake_alone
from integration_assets.orchestrate.checks.names import check_specs
from integration_assets.orchestrate.checks.tables import has_key, keys_unique

__all__ = ["adds_up", "after_pull", "check_specs", "has_key", "held", "keys_unique", "lake_alone", "no_drift", "reject_ratio"]
