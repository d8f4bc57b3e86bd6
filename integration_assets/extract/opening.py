"""What a source is asked with, and what reads a slice of it: an API by its client, files by theirs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence

import pyarrow as pa

from integration_assets.extract.children import Fan
from integration_assets.extract.client import SourceClient
from integration_assets.extract.files import FileReading, FilesClient, Landed
from integration_assets.extract.lane import Lane
from integration_assets.extract.limits.store import Store
from integration_assets.extract.position import Position
from integration_assets.extract.reading import Reading
from integration_assets.files import is_files
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.cursor import CursorValue, Slice
from integration_assets.spec.source import Source, Stream

Client = SourceClient | FilesClient
AnyReading = Reading | FileReading | Fan


def client_for(
    source: Source, secret: Callable[[str], str], on_wait: Callable[[str, float], None] | None = None, store: Store | None = None
) -> Client:
    """The client of a source, to be opened; the parameters are those of `SourceClient`."""
    return FilesClient(source) if is_files(source.base_url) else SourceClient(source, secret, on_wait, store)


def reading_of(
    client: Client,
    source: Source,
    stream: Stream,
    contract: Contract,
    slice_: Slice,
    etag: str | None = None,
    max_pages: int | None = None,
    landed: Landed | None = None,
    lane: Lane | None = None,
    parents: Generator[pa.Table, None, None] | None = None,
    left: tuple[Position, int] | None = None,
    came: Callable[[], Iterable[pa.Table]] = tuple,
) -> AnyReading:
    """What reads the slice; the parameters are those of `Reading`, of `FileReading` and of `Fan`."""
    if isinstance(client, FilesClient):
        return FileReading(client, source, stream, contract, slice_, max_pages, landed, lane)
    if parents is not None:
        return Fan(client, source, stream, contract, slice_, parents, max_pages, lane)
    return Reading(client, source, stream, contract, slice_, etag, max_pages, lane, left, came)


def once_of(reading: AnyReading) -> Sequence[str]:
    """The names that the commit of what was read lands once and for good."""
    return reading.once if isinstance(reading, FileReading) else ()


def position_of(reading: AnyReading) -> Position | None:
    """Where another run could go on from what was read; None where it could not: neither in a file nor among parents."""
    return reading.position() if isinstance(reading, Reading) else None


def begun(reading: AnyReading) -> bool:
    """Whether a first page was read, or the one where an earlier run had left the slice."""
    return not isinstance(reading, Reading) or reading.begun


def high_of(reading: AnyReading, seen: CursorValue | None) -> CursorValue | None:
    """Up to which number the slice is finished: to the highest that was seen, or to that of the last parent."""
    return seen if not isinstance(reading, Fan) or reading.high is None else reading.high
