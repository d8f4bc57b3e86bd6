"""What a decoded page is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from integration_assets.errors import TransientError
from integration_assets.extract.plan import ABSENT
from integration_assets.spec.contract import Path
from integration_assets.spec.records import Batch, Drift


class BrokenBodyError(TransientError):
    """The body as a whole cannot be read: cut off, or no JSON or XML at all. Worth asking once more, no more than that."""


@dataclass(frozen=True)
class DecodedPage:
    """One page: its rows and rejects, how its records differ from the contract, and what stands around them.

    value   : the value at a path of the body outside the records; `ABSENT` when there is none.
    counted : whether `batch.fetched` is how many records the API gave; False where what became of a broken part may be
              more or fewer than they were.
    """

    batch: Batch
    drift: Drift
    value: Callable[[Path], Any] = lambda _path: ABSENT
    counted: bool = True
