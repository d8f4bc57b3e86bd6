"""The API's list of all keys of a stream: read, staged, and doubted."""

from __future__ import annotations

from dataclasses import dataclass, field

from integration_assets.errors import SpecError
from integration_assets.extract.client import SourceClient
from integration_assets.extract.keys import KeyReading
from integration_assets.feed import Feed
from integration_assets.land.reading import LakeFile
from integration_assets.land.writer import Writer
from integration_assets.spec.paging import Offset, PageNumber
from integration_assets.spec.records import valueless
from integration_assets.spec.source import Stream
from integration_assets.spec.sweep import keys_of
from integration_assets.stages import batches
from integration_assets.transform.masking import Masking

READINGS = 3
"""How often a list is read that moves while it is."""


@dataclass
class KeyList:
    """The list as it was read.

    files : its keys as Parquet in the lake table's folder, as they are stored, with `_deleted` where the list itself says so.
    total : how many records the API says it has; None where it does not say.
    moved : it changed while it was read, so that reading it again may be worth it.
    wrong : why it may lack keys; None where nothing speaks against it.
    """

    files: list[LakeFile] = field(default_factory=list)
    pages: int = 0
    requests: int = 0
    total: int | None = None
    moved: bool = False
    wrong: str | None = None


def read_list(feed: Feed, tenant: str | None, staged: Writer) -> KeyList:
    """Stage the list's keys page by page. Stops at the first record whose key cannot be read. Raises what reading raises."""
    found = KeyList()
    if not isinstance(feed.client, SourceClient):
        raise SpecError("files are no list of what there is", field="sweep", remedy="Drop the sweep.")
    before = feed.client.usage.snapshot()
    reading = KeyReading(feed.client, feed.source, feed.stream, feed.contract, tenant)
    mask = Masking(tuple(column for column in feed.mask.columns if column.name in feed.stream.key), feed.mask.key)
    for batch in batches(reading):
        if batch.rejects:
            found.wrong = f"a record of it has no key that can be read: {valueless(batch.rejects[0].reasons[0])}"
            break
        if any(batch.table.column(name).null_count for name in feed.stream.key):
            found.wrong = f"a record of it has no {' or '.join(feed.stream.key)}"
            break
        staged.write(mask(batch.table))
    staged.write_no_rows()
    found.files = [LakeFile(0, file.path, file.rows) for file in staged.finish()]
    found.pages, found.total = reading.pages, reading.total
    found.requests = feed.client.usage.minus(before).requests
    found.moved = found.wrong is None and bool(reading.moved or reading.recounted)
    found.wrong = found.wrong or (_told(reading) if found.moved else _unproved(feed.stream, reading))
    return found


def _told(reading: KeyReading) -> str:
    """How a list moved, the last time that it was read."""
    said = [reading.recounted, *reading.warnings] if reading.recounted else reading.warnings
    return f"it moved while it was read, {READINGS} times: {'; '.join(said)}"


def _unproved(stream: Stream, reading: KeyReading) -> str | None:
    """Why a list that was read to its end, and did not move, may yet lack keys."""
    if reading.total is not None:
        return None
    paging = keys_of(stream).paging
    counted = stream.sweep.counts_in(paging) if stream.sweep else None
    if counted:
        return f"the API does not count its records at {counted}"
    if isinstance(paging, PageNumber) or (isinstance(paging, Offset) and not paging.overlap):
        return "it is read by number, which skips records when others go, and the API does not count them"
    return None
