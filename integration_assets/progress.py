"""The running count of one slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.feed import Job
from integration_assets.spec.cursor import CursorValue, Slice
from integration_assets.spec.records import DELETED, Batch, Reject, note_reasons
from integration_assets.spec.source import Stream

_NEXT = timedelta(milliseconds=1)
_COUNTS = ("fetched", "accepted", "rejected", "duplicate", "filtered", "tombstones")


@dataclass
class Progress:
    """The running count of one slice; handed to a `Watch` after every page.

    resumed, earlier : pages and seconds of earlier runs, from which this one goes on; the other counts have theirs in them.
    """

    stream: str
    job: Job
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=monotonic)
    pages: int = 0
    bytes: int = 0
    fetched: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicate: int = 0
    filtered: int = 0
    tombstones: int = 0
    high: CursorValue | None = None
    reasons: list[str] = field(default_factory=list)
    resumed: int = 0
    earlier: float = 0.0

    @property
    def seconds(self) -> float:
        """Wall time that was spent on the slice, by this run and by the earlier ones that it goes on from."""
        return self.earlier + monotonic() - self.started

    @property
    def stamp(self) -> datetime:
        """The time of extraction of the rows: `began`, but later than that of every row that landed before.

        Of two pulls of one version the later one stands, also where a clock that ran ahead gave the time of the first.
        """
        latest = self.job.base.latest
        return self.began if latest is None or latest < self.began else latest + _NEXT

    def to_json(self) -> dict[str, Any]:
        """The count, for a run that goes on from it; bytes are in what the client spent."""
        return {
            "pages": self.pages,
            "began": self.began.isoformat(),
            "seconds": round(self.seconds, 3),
            "counts": {name: getattr(self, name) for name in _COUNTS},
            "high": Slice(None, self.high).to_json()[1],
            "reasons": self.reasons,
        }

    def take_up(self, account: Mapping[str, Any]) -> None:
        """Go on from the count of an earlier run, as `to_json` gave it."""
        self.began, self.earlier = datetime.fromisoformat(account["began"]), float(account["seconds"])
        self.pages = self.resumed = int(account["pages"])
        for name in _COUNTS:
            setattr(self, name, int(account["counts"][name]))
        self.high, self.reasons = Slice.from_json((None, account["high"])).end, list(account["reasons"])

    def add(self, batch: Batch, mine: Batch, fresh: Batch, accepted: pa.Table, rejects: Sequence[Reject], stream: Stream) -> None:
        """Count a batch in: as it came, what of it is in the slice, what of that is new, and what became of this."""
        self.filtered += batch.table.num_rows - mine.table.num_rows
        self.duplicate += mine.table.num_rows - fresh.table.num_rows
        self.accepted += accepted.num_rows
        self.rejected += len(rejects)
        note_reasons(self.reasons, (reason for reject in rejects for reason in reject.reasons))
        self.tombstones += pc.sum(accepted.column(DELETED)).as_py() or 0
        if stream.cursor and accepted.num_rows:
            high = pc.max(accepted.column(stream.cursor.field)).as_py()
            self.high = high if self.high is None else max(self.high, high)


Watch = Callable[[Progress], None]
