"""A slice that a run could not finish: what it leaves in a checkpoint, and how the next run takes it up.

A checkpoint is written between two batches: every row of the pages before it is in a finished data file, and no row of those
after it is. Whoever takes it up has the same files, the same counts and the same place. It never decides whether rows land:
the lake's commit does, once, and refuses files of a slice that was committed since the checkpoint was planned.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from time import monotonic

import pyarrow as pa

from integration_assets.errors import (
    CrossHostError,
    IntegrationError,
    LakeError,
    PageTokenExpiredError,
    PagingError,
    RescheduleError,
    SpecError,
    UpstreamUnavailableError,
)
from integration_assets.extract.opening import AnyReading, begun, position_of
from integration_assets.extract.position import PlaceLostError, Position
from integration_assets.extract.reading import AHEAD_PAGES
from integration_assets.extract.usage import Usage
from integration_assets.feed import Feed, Job
from integration_assets.land.checkpoints import Checkpoint
from integration_assets.land.reading import LakeFile
from integration_assets.land.store import VersionsGoneError
from integration_assets.land.writer import Writer
from integration_assets.progress import Progress
from integration_assets.spec.records import DELETED, Drift
from integration_assets.unfinished import about, holds, kind_of, resumable, why_not

_SIEVE_ROWS = 500_000
"""Rows of an earlier run that are looked at for duplicates, as many as a sieve remembers."""
_SILENT = 3
"""Runs in a row that get no answer at the place where the slice was left, before its start is tried: a token may be the cause."""
_UNNOTED = "how far the slice was read could not be noted on the way"
_SUSPECT = (PagingError, CrossHostError, SpecError)
"""Errors after which the pages that came before are not to be trusted either."""


class Checkpointer:
    """Keeps what one try of a slice has read, and knows what an earlier run had.

    left : what an earlier run left and this try goes on from, or None.
    """

    def __init__(self, feed: Feed, job: Job) -> None:
        self._feed, self._job = feed, job
        self._kind = kind_of(anew=not job.skip_known)
        self._used = feed.client.usage.snapshot()
        self._able = resumable(feed) and not job.dry_run
        self._there = False
        self._notes: list[str] = []
        self._earlier = Usage()
        self._looked_at, self._looked = 0, monotonic()
        self._kept_pages = 0
        self._broke: IntegrationError | None = None
        self.left = self._find() if self._able else None

    @property
    def position(self) -> tuple[Position, int] | None:
        """The last page that an earlier run had taken in, and how many it had; None to read from the slice's start."""
        if self.left is None:
            return None
        return Position.from_json(self.left.account["position"]), int(self.left.account["pages"])

    def start_over(self, lost: PlaceLostError) -> None:
        """Read the slice from its start after all, and say why. The old checkpoint stays until there is a better one."""
        assert self.left is not None  # noqa: S101 - a place is lost only where there was one
        self._notes, self.left = [_again(self.left, str(lost))], None
        self._looked_at, self._looked, self._kept_pages = 0, monotonic(), 0

    def take_up(self, count: Progress, reading: AnyReading, writer: Writer) -> None:
        """Give the counts and the files of the earlier run to this one."""
        reading.warnings.extend(self._notes)
        if self.left is None:
            return
        account = self.left.account
        count.take_up(account)
        count.bytes = self._earlier.bytes
        self._looked_at = self._kept_pages = count.pages
        reading.drift.add(Drift.from_json(account["drift"]))
        reading.warnings.extend(account["warnings"])
        writer.adopt(self.left.files)

    def rows(self) -> Iterator[pa.Table]:
        """The last rows of the earlier run, as many as a sieve remembers, in their order: none of them is to land twice.

        Raises `PlaceLostError` when its files are gone.
        """
        tail: list[LakeFile] = []
        for file in reversed(self.left.files if self.left else ()):
            tail.insert(0, LakeFile(0, file.path, file.rows))
            if sum(one.rows for one in tail) >= _SIEVE_ROWS:
                break
        columns = [*self._feed.contract.arrow_schema.names, DELETED]
        try:
            for batch in self._feed.table.scan(tail, columns) if tail else ():
                yield pa.Table.from_batches([batch])
        except VersionsGoneError as error:
            raise PlaceLostError("its files are gone") from error

    def due(self, count: Progress) -> bool:
        """Whether enough was read since the last checkpoint for another one."""
        limits = self._feed.source.limits
        if not self._able or limits.checkpoint_pages is None:
            return False
        # Pages that were fetched ahead of those taken in are pulled again as well.
        ahead = AHEAD_PAGES + max(AHEAD_PAGES, limits.max_connections) + 2
        enough = count.pages - self._looked_at >= max(1, limits.checkpoint_pages - ahead)
        return enough and monotonic() - self._looked >= limits.checkpoint_seconds

    def note_if_due(self, count: Progress, reading: AnyReading, writer: Writer) -> None:
        """Write a checkpoint if one is due. Call it only when all that was read is in the writer.

        One that cannot be put is a warning and ends no run: it promises nothing.
        """
        failed = self._note(count, reading, writer) if self.due(count) else None
        if failed is not None and _UNNOTED not in " ".join(reading.warnings):
            reading.warnings.append(f"{_UNNOTED}: {failed.what}")

    def broke(self, error: IntegrationError) -> None:
        """Told the error with which the reading, and nothing else, ended."""
        self._broke = error

    @contextmanager
    def reading(self, count: Progress, reading: AnyReading, writer: Writer) -> Iterator[None]:
        """Keep what was read when the reading inside ends with an error; all that came before it must be in the writer."""
        try:
            yield
        except IntegrationError as error:
            if error is self._broke:
                self._look_for_a_way_out(error, reading)
                self._keep(error, count, reading, writer)
            raise

    @contextmanager
    def landing(self, count: Progress, reading: AnyReading, writer: Writer) -> Iterator[None]:
        """Forget the checkpoint when the slice is settled inside: committed, empty, refused, or taken by another run.

        A commit that could not be made, or not be seen to be made, is tried again by the next run on what was read.
        """
        if self.left is not None and not self._feed.table.checkpoints.there(self.left.files):
            raise PlaceLostError("its files are gone")
        try:
            yield
        except IntegrationError as error:
            if isinstance(error, LakeError | RescheduleError):
                self._keep(error, count, reading, writer)
            else:
                self._drop()
            raise
        self._drop()

    def spent(self) -> Usage:
        """What all runs spent that had a part in the slice."""
        return self._feed.client.usage.minus(self._used).plus(self._earlier)

    def _find(self) -> Checkpoint | None:
        if self._job.base.version is None:
            return None  # there is no table yet
        found = self._feed.table.checkpoints.get(self._job.slice, self._kind)
        if found is None:
            return None
        self._there = True
        if not holds(self._feed, found, self._job.base, self._kind):
            return None
        why = found.account.get("restart") or self._why_not(found)
        self._earlier = Usage.from_json(found.account["spent"])
        if why:
            self._notes.append(_again(found, str(why)))
            return None
        return found

    def _why_not(self, found: Checkpoint) -> str:
        why = why_not(self._feed, found, anew=not self._job.skip_known)
        return why or ("" if self._feed.table.checkpoints.there(found.files) else "its files are gone")

    def _note(self, count: Progress, reading: AnyReading, writer: Writer) -> IntegrationError | None:
        """Write a checkpoint; none where another run could not find the place. Returns why it could not be put.

        Raises the error with which a row could not be written.
        """
        position = position_of(reading)
        self._looked_at, self._looked = count.pages, monotonic()
        if position is None:
            return None
        account = {
            "position": position.to_json(),
            **count.to_json(),
            "drift": reading.drift.to_json(),
            "warnings": list(reading.warnings),
            "spent": self.spent().to_json(),
        }
        files = writer.seal()
        try:
            self._put(Checkpoint(self._job.slice, self._base, about(self._feed), files, account))
        except IntegrationError as failed:
            return failed
        self._kept_pages = count.pages
        return None

    def _keep(self, error: IntegrationError, count: Progress, reading: AnyReading, writer: Writer) -> None:
        """Write the last checkpoint of a slice that ends with `error`, and let the error say so."""
        if not self._able:
            return
        try:
            if isinstance(error, PageTokenExpiredError):
                self._restart(count)
            elif isinstance(error, _SUSPECT):
                self._drop()
            elif count.pages > self._kept_pages and (failed := self._note(count, reading, writer)):
                raise failed
        except IntegrationError as failed:
            if failed is not error:
                error.what = f"{error.what.rstrip('.')}; what was read of the slice could not be kept: {failed.what}"
            return
        if self._kept_pages:
            kept = f"{self._kept_pages:,} pages of the slice are kept, and the next run goes on after them"
            error.what = f"{error.what.rstrip('.')}; {kept}"

    def _restart(self, count: Progress) -> None:
        """Let the next try say why the slice is read from its start."""
        why = f"the API had aged out the page token after {count.pages:,} pages"
        account = {"restart": why, "pages": count.pages, "spent": self.spent().to_json()}
        self._put(Checkpoint(self._job.slice, self._base, about(self._feed), (), account))
        self._kept_pages = 0

    def _look_for_a_way_out(self, error: IntegrationError, reading: AnyReading) -> None:
        """Count the runs in a row that got no answer at the place itself; give it up when an outage alone does not explain them.

        Raises `PlaceLostError` then: if the first page does not answer either, the checkpoint stays as it is.
        """
        if self.left is None or not isinstance(error, UpstreamUnavailableError) or begun(reading):
            return
        silent = int(self.left.account.get("silent", 0)) + 1
        if silent >= _SILENT:
            raise PlaceLostError(f"the API did not answer there, {silent} runs in a row") from error
        with suppress(IntegrationError):  # the error that is raised anyway says more
            self._put(replace(self.left, account={**self.left.account, "silent": silent}))

    def _put(self, checkpoint: Checkpoint) -> None:
        self._feed.table.checkpoints.put(checkpoint, self._kind)
        self._there = True

    def _drop(self) -> None:
        if self._there:
            # One that stays behind can do no harm: it holds no more once its slice is committed, and is aged out.
            with suppress(IntegrationError):
                self._feed.table.checkpoints.drop(self._job.slice, self._kind)
            self._there = False
        self._kept_pages = 0

    @property
    def _base(self) -> tuple[int, int]:
        """What the files were read on top of: nothing that landed since the first of the runs touched the slice."""
        base = self._job.base
        return base.version if base.version is not None else -1, base.sequence


def _again(checkpoint: Checkpoint, why: str) -> str:
    pages = int(checkpoint.account.get("pages", 0))
    return f"the slice was read again from its start, of which an earlier try had {pages:,} pages: {why.rstrip('.')}"
