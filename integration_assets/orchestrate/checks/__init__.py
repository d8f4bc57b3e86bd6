"""Evidence that a run leaves behind. What is wrong was stopped before the commit; a check says so where people look."""

from integration_assets.orchestrate.checks.account import adds_up, held, no_drift, reject_ratio
from integration_assets.orchestrate.checks.evaluate import after_pull, lake_alone, table_checks
from integration_assets.orchestrate.checks.names import check_specs

__all__ = ["adds_up", "after_pull", "check_specs", "held", "lake_alone", "no_drift", "reject_ratio", "table_checks"]
