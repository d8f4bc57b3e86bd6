"""How old a stream may become before someone is told."""

from __future__ import annotations

from datetime import timedelta

from pydantic import model_validator

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec

QUIET = timedelta(hours=1)
"""How far the frontier of a stream without new records may stay behind, so that not each empty sync is a commit."""
_LEAST = timedelta(minutes=1)


class Freshness(Spec):
    """Limits of a stream's age: of its last pull, and of the frontier up to which it is pulled without a gap.

    warn_after : older than this is a warning.
    fail_after : older than this is an error.
    """

    warn_after: timedelta
    fail_after: timedelta

    @model_validator(mode="after")
    def _consistent(self) -> Freshness:
        if self.warn_after < _LEAST:
            raise SpecError("Freshness: warn_after is under a minute", field="freshness.warn_after", remedy="Give it a minute.")
        if self.fail_after <= self.warn_after:
            raise SpecError(
                f"Freshness: fail_after {self.fail_after} is not above warn_after {self.warn_after}",
                field="freshness.fail_after",
                remedy="Warn first, fail later.",
            )
        return self
