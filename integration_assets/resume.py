"""A slice that a run could not finish: what it leaves in a checkpoint, and how the next run takes it up.

A checkpoint is written between two batches: every row of the pages before it is in a finished data file, and no row of those
after it is. Whoever takes it up has the same files, the same counts and the same place. It never decides whether rows land:
the lake's commit does, once, and refuses files of a slice that was committed since the checkpoint was planned.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from integration_assets import __version__
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
from integration_assets.extract.client import SourceClient
from integration_assets.extract.opening import AnyReading, begun, position_of
from integration_assets.extract.position import PlaceLostError, Position
from integration_assets.extract.reading import AHEAD_PAGES
from integration_assets.extract.usage import Usage
from integration_assets.land.checkpoints import KEPT, Checkpoint
from integration_assets.land.reading import LakeFile
from integration_assets.land.state import LakeState
from integration_assets.land.store import VersionsGoneError
from integration_assets.spec.cursor import Slice
from integration_assets.spec.paging import Single
from integration_assets.spec.records import DELETED, Drift

if TYPE_CHECKING:
    from integration_assets.feed import Feed, Job
    from integration_assets.land.writer import Writer
    from integration_assets.progress import Progress

_ASKED_KEPT = timedelta(days=1)
"""A range that was asked for is to be as the API has it now: what was left of it is taken up only for so long."""
_SIEVE_ROWS = 500_000
"""Rows of an earlier run that are looked at for duplicates, as many as a sieve remembers."""
_SILENT = 3
"""Runs in a row that get no answer at the place where the slice was left, before its start is tried: a token may be the cause."""
_UNNOTED = "how far the slice was read could not be noted on the way"
_COUNTS = ("fetched", "accepted", "rejected", "duplicate", "filtered", "tombstones")
_SPENT = ("requests", "retries", "bytes", "throttled", "queued")
_CHANGED = {
    "code": "the code was changed",
    "contract": "the contract was changed",
    "stream": "the stream's description was changed",
    "mask": "columns are hashed with another key",
}
_SUSPECT = (PagingError, CrossHostError, SpecError)
"""Errors after which the pages that came before are not to be trusted either."""


class Keeper:
    """Keeps what one try of a slice has read, and knows what an earlier run had.

    left : what an earlier run left and this try goes on from, or None.
    """

    def __init__(self, feed: Feed, job: Job) -> None:
        self._feed, self._job = feed, job
        self._kind = _kind(anew=not job.skip_known)
        self._used = feed.client.usage.snapshot()
        self._able = able(feed) and not job.dry_run
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
        count.began, count.earlier = datetime.fromisoformat(account["began"]), float(account["seconds"])
        count.pages = count.resumed = self._looked_at = self._kept_pages = int(account["pages"])
        for name in _COUNTS:
            setattr(count, name, int(account["counts"][name]))
        count.bytes, count.reasons = self._earlier.bytes, list(account["reasons"])
        count.high = Slice.from_json((None, account["high"])).end
        reading.drift.add(Drift(*(Counter(account["drift"][kind]) for kind in ("new", "missing", "retyped"))))
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
        mine = self._feed.client.usage.minus(self._used)
        summed = {name: getattr(mine, name) + getattr(self._earlier, name) for name in _SPENT}
        return replace(mine, **summed, latency=mine.latency + self._earlier.latency)

    def _find(self) -> Checkpoint | None:
        if self._job.base.version is None:
            return None  # there is no table yet
        found = self._feed.table.checkpoints.get(self._job.slice, self._kind)
        if found is None:
            return None
        self._there = True
        if not _holds(self._feed, found, self._job.base, self._kind):
            return None
        why = found.account.get("restart") or self._why_not(found)
        self._earlier = _usage(found.account["spent"])
        if why:
            self._notes.append(_again(found, str(why)))
            return None
        return found

    def _why_not(self, found: Checkpoint) -> str:
        why = _why_not(self._feed, found, anew=not self._job.skip_known)
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
            "pages": count.pages,
            "began": count.began.isoformat(),
            "seconds": round(count.seconds, 3),
            "counts": {name: getattr(count, name) for name in _COUNTS},
            "high": Slice(None, count.high).to_json()[1],
            "reasons": count.reasons,
            "drift": reading.drift.to_json(),
            "warnings": list(reading.warnings),
            "spent": _spent(self.spent()),
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
        account = {"restart": why, "pages": count.pages, "spent": _spent(self.spent())}
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


def unfinished(feed: Feed, whole: Slice, base: LakeState, *, planned: bool, anew: bool) -> list[Slice]:
    """The unfinished slices of earlier runs inside `whole`, ascending, which can be taken up; they are to be pulled first.

    A delta ends at another now in each run, so a later one would never ask for just the same slice. Of a range that was asked
    for, only what begins with it counts.
    planned : the range is what is new, which is planned again afterwards.
    anew    : the range is to land anew, whatever the lake has of it.
    """
    if feed.stream.cursor is None or base.version is None or not able(feed):
        return []
    found = [
        one
        for one in feed.table.checkpoints.of_tenant(whole.tenant, _kind(anew=anew))
        # First whether the stream is the one it was: slices of another kind of cursor cannot be compared.
        if not _why_not(feed, one, anew=anew)
        and whole.covers(one.slice)
        and (planned or one.slice.start == whole.start)
        and "restart" not in one.account
        and _holds(feed, one, base, _kind(anew=anew))
    ]
    slices = [one.slice for one in sorted(found, key=lambda one: one.made_at, reverse=True)]
    if whole in slices:
        return []
    apart: list[Slice] = []
    for slice_ in slices:
        if not any(slice_.overlaps(other) for other in apart):
            apart.append(slice_)
    return sorted(apart, key=lambda one: (one.start is not None, one.start))


def rest(feed: Feed, whole: Slice, done: list[Slice], *, anew: bool) -> Slice:
    """What is left of a range that was asked for when the unfinished slice at its start is done.

    Records that come late may have come after that one's pages were read: its lookback is read again, unless that would land
    rows twice.
    """
    cursor, end = feed.stream.cursor, done[-1].end
    if cursor is None or end is None:
        return replace(whole, start=whole.end)
    again = cursor.lookback and not anew and feed.stream.key
    start: Any = end - cursor.lookback if again else end  # type: ignore[operator] # both times, or both numbers
    return replace(whole, start=start if whole.start is None else max(start, whole.start))


def able(feed: Feed) -> bool:
    """Whether a slice of the stream can be gone on with.

    Not a snapshot, which is whole or nothing: a record that moved between two halves of it would be taken for deleted. Not
    files, which are read whole, and not children, whose pages are those of many parents.
    """
    stream = feed.stream
    paged = isinstance(feed.client, SourceClient) and feed.parents is None and not isinstance(stream.paging, Single)
    return paged and stream.disposition != "replace" and feed.source.limits.checkpoint_pages is not None


def about(feed: Feed) -> dict[str, str]:
    """What the pages were read under: with anything of it changed, they may mean something else."""
    stream = feed.stream.model_dump(mode="json", exclude={"description", "docs_url", "freshness", "probe", "candidate"})
    asked = json.dumps([feed.source.base_url, dict(feed.source.headers), stream], sort_keys=True)
    return {
        "code": __version__,
        "contract": feed.contract.hash,
        "stream": sha256(asked.encode()).hexdigest()[:16],
        "mask": feed.mask.key_name,
    }


def _holds(feed: Feed, checkpoint: Checkpoint, base: LakeState, kind: str) -> bool:
    """Whether its files may still land: nothing that was committed since it was planned touched the slice.

    What landed is there for good: one that holds no more is deleted, so that nobody looks through the log for it again.
    """
    if feed.table.checkpoints.holds(checkpoint, base):
        return True
    if base.version is not None and base.version >= checkpoint.base[0]:
        feed.table.checkpoints.drop(checkpoint.slice, kind)
    return False


def _why_not(feed: Feed, checkpoint: Checkpoint, *, anew: bool) -> str:
    """Why what was left cannot be taken up; empty when it can."""
    mine = about(feed)
    changed = [why for name, why in _CHANGED.items() if checkpoint.about.get(name) != mine[name]]
    if changed:
        return " and ".join(changed)
    age = datetime.now(UTC) - checkpoint.made_at
    return "it is too long ago" if age > (_ASKED_KEPT if anew else KEPT) else ""


def _again(checkpoint: Checkpoint, why: str) -> str:
    pages = int(checkpoint.account.get("pages", 0))
    return f"the slice was read again from its start, of which an earlier try had {pages:,} pages: {why.rstrip('.')}"


def _kind(*, anew: bool) -> str:
    return "anew-" if anew else ""


def _spent(usage: Usage) -> dict[str, Any]:
    latency = {str(edge): count for edge, count in usage.latency.items()}
    return {**{name: getattr(usage, name) for name in _SPENT}, "latency": latency}


def _usage(spent: Mapping[str, Any]) -> Usage:
    latency = Counter({int(edge): int(count) for edge, count in spent["latency"].items()})
    return Usage(**{name: spent[name] for name in _SPENT}, latency=latency)
