"""A slice of a stream of files: those that arrived in it, the oldest first, read piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import pyarrow as pa

from integration_assets.errors import IntegrationError, LimitExceededError, ResponseError, SpecError, TransientError
from integration_assets.extract.decode import Decoder, decoder_for
from integration_assets.extract.lane import Lane
from integration_assets.extract.pieces import pieces
from integration_assets.extract.usage import Usage
from integration_assets.files import FileGoneError, FileRef, FileStore, open_files
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.cursor import Slice
from integration_assets.spec.files import COLUMNS, ROOT, Files
from integration_assets.spec.formats import Ndjson, Parquet
from integration_assets.spec.records import Batch, Drift, Reject
from integration_assets.spec.source import Source, Stream

_SHOWN = 5
_REST = "Sync again; where writers take their time, let the cursor's safety_lag be as long as a file has to rest."
_Text = TypeVar("_Text", str, bytes)


class FilesClient:
    """Stands where a `SourceClient` stands, for a source whose pages are files. Nothing is held open.

    usage : what was read, cumulative: a listing and each file are a request.
    """

    clock_offset = 0.0

    def __init__(self, source: Source) -> None:
        self.source = source
        self.usage = Usage()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def apart(self) -> FilesClient:
        """The same for one of several slices: its `usage` is that slice's alone, and counted in the whole as well."""
        other = copy(self)
        other.usage = Usage(whole=self.usage)
        return other

    def now(self) -> datetime:
        """Up to when it is certain that every file which arrived can be seen: a little before this machine's present."""
        return datetime.now(UTC) - open_files(self.source.base_url).margin

    def store(self, stream: Stream) -> FileStore:
        """Where the stream's files are."""
        return open_files(self.source.base_url, stream.path, self.source.limits.read_timeout)

    def redact(self, data: _Text) -> _Text:
        """`data`: no credential of ours can be in a file."""
        return data


@dataclass(frozen=True)
class Landed:
    """What the lake has of a stream before a slice of it is read.

    names : looks up the names of what landed once and for good.
    skip  : whether files that have landed are left out; a range that was asked for lands anew.
    """

    names: Callable[[], set[str]] = set
    skip: bool = False


class FileReading:
    """The batches of a slice of files, each of one piece; iterate once. Has what a `Reading` has.

    max_pages : stop quietly after so many pieces; None reads on, up to the source's limit.
    lane      : this slice's place beside others that are read at once.
    landed    : what is there already; a file whose mode was changed arrives again, and is read only once.
    once      : when all is read, the names that the commit is to land once and for good, one a file.
    """

    unchanged = False
    etag: str | None = None
    moved = 0
    times = 1

    def __init__(
        self,
        client: FilesClient,
        source: Source,
        stream: Stream,
        contract: Contract,
        slice_: Slice,
        max_pages: int | None = None,
        landed: Landed | None = None,
        lane: Lane | None = None,
    ) -> None:
        self.once: list[str] = []
        self.pages = 0
        self.drift = Drift()
        self.warnings: list[str] = []
        assert stream.files is not None  # noqa: S101 - made only for streams of files
        self._files: Files = stream.files
        self._client = client
        self._source = source
        self._stream = stream
        self._slice = slice_
        self._lane = lane or Lane()
        self._max_pages = max_pages
        self._schema = contract.arrow_schema
        self._about = _about(source, stream, contract)
        self._decoder = _decoder(source, stream, contract, self._about)
        self._gone: list[str] = []
        self._landed = landed or Landed()

    def __iter__(self) -> Iterator[Batch]:
        """Raises what a `FileStore` raises, `LimitExceededError`, and `ResponseError` naming the file that cannot be read."""
        try:
            store = self._client.store(self._stream)
            wanted = self._wanted(store)
            # A snapshot always has all of its files. Rows without a key are known by their file alone.
            once = self._stream.cursor and (store.restamps or not self._stream.key)
            landed = self._landed.names() if once else None
            for ref in wanted if landed is None else self._new(wanted, landed):
                yield from self._file(store, ref)
                if landed is not None and ref.name not in self._gone and _name(ref) not in landed:
                    self.once.append(_name(ref))
                if self._max_pages is not None and self.pages >= self._max_pages:
                    break
        except IntegrationError as error:
            error.at(self._source.name, self._stream.name)
            raise
        if self._gone:
            self.warnings.append(
                f"{_shown(self._gone)} changed while the slice was read; what is there now comes with the next one"
            )

    def _wanted(self, store: FileStore) -> list[FileRef]:
        self._client.usage.add(requests=1)
        start, end = self._slice.start, self._slice.end
        refs = [
            ref
            for ref in store.list(self._files.pattern)
            if not (isinstance(start, datetime) and ref.arrived < start)
            and not (isinstance(end, datetime) and ref.arrived >= end)
        ]
        return sorted(refs, key=lambda ref: (ref.arrived, ref.name))

    def _new(self, refs: Sequence[FileRef], landed: Collection[str]) -> list[FileRef]:
        """The files whose content has not landed.

        A file that only arrived again is left out, and told. One that is read again in a lookback or an open partition stays
        where its records have a key: those that landed are dropped one by one.
        """
        if not self._landed.skip:
            return list(refs)
        contents = {name.rpartition("/")[0] for name in landed}
        known = {ref.name for ref in refs if _name(ref) in landed}
        again = [ref.name for ref in refs if ref.name not in known and _name(ref).rpartition("/")[0] in contents]
        if again:
            self.warnings.append(
                f"{_shown(again)} came again with the size and the time that landed before, and was left out;"
                " if the content is another one, touch the file"
            )
        left_out = set(again) if self._stream.key else {*again, *known}
        return [ref for ref in refs if ref.name not in left_out]

    def _file(self, store: FileStore, ref: FileRef) -> Iterator[Batch]:
        """The file's batches. The last piece is kept back until the file proves to be unchanged, so that most are told whole."""
        self._client.usage.add(requests=1)
        begun, last = False, None
        try:
            with store.open(ref) as file:
                limit = self._source.limits.max_page_bytes
                for body in pieces(file, self._stream.format, limit, self._count, self._lane.share):
                    if last is not None:
                        begun = True
                        yield self._batch(last, ref)
                        if self._max_pages is not None and self.pages >= self._max_pages:
                            return
                    last = body
            if last is not None:
                yield self._batch(last, ref)
        except FileGoneError as error:
            if begun or self._stream.cursor is None:
                # Half of a file must not land, and a snapshot without the file would be taken for the whole.
                error.remedy = error.remedy or _REST
                raise
            self._gone.append(ref.name)
        except (TransientError, LimitExceededError, ResponseError) as error:
            raise self._unreadable(error, ref) from None

    def _batch(self, body: bytes, ref: FileRef) -> Batch:
        if self.pages >= self._source.limits.max_pages:
            raise LimitExceededError(
                f"the slice has more than {self._source.limits.max_pages:,} pieces of files",
                field="limits.max_pages",
                remedy="Pull shorter slices, or raise the source's limits.max_pages.",
            )
        self._client.usage.add(bytes_=len(body))
        opened = self._decoder.open(body, f"text/csv; charset={self._files.encoding}")
        batch, drift = self._decoder.decode([opened])
        self.pages += 1
        self.drift.add(drift)
        return replace(
            batch, table=self._with_file(batch.table, ref), rejects=tuple(_from(reject, ref) for reject in batch.rejects)
        )

    def _with_file(self, table: pa.Table, ref: FileRef) -> pa.Table:
        """The rows with what the contract wants to know of their file, in the contract's order."""
        for place, field in enumerate(self._schema):
            if field.name in self._about:
                value = pa.scalar(getattr(ref, self._about[field.name]), field.type)
                table = table.add_column(place, field, pa.repeat(value, table.num_rows))
        return table

    def _unreadable(self, error: IntegrationError, ref: FileRef) -> IntegrationError:
        """The error, naming the file: no other of the slice lands before it is mended, so that none is passed over unseen."""
        kind = type(error) if isinstance(error, LimitExceededError) else ResponseError
        remedy = error.remedy or "Mend the file or move it away"
        return kind(
            f"the file {ref.name}: {error.what}",
            field=error.field or "format",
            remedy=f"{remedy.rstrip('.')}; the slice is read again by the next run.",
        )

    def _count(self, size: int) -> None:
        self._client.usage.add(wire_bytes=size)


def _name(ref: FileRef) -> str:
    """What a commit calls the file: by its content, and behind the last slash by when that arrived."""
    content = f"{ref.version} {ref.name}".encode(errors="surrogateescape")
    return f"file/{hashlib.sha256(content).hexdigest()[:32]}/{ref.arrived:%Y%m%dT%H%M%S.%f}"


def _shown(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return f"{', '.join(names[:_SHOWN])}{f' and {more} more' if more > 0 else ''}"


def _from(reject: Reject, ref: FileRef) -> Reject:
    """The reject, which tells its file."""
    return replace(reject, reasons=tuple(f"{reason}, in {ref.name}" for reason in reject.reasons))


def _about(source: Source, stream: Stream, contract: Contract) -> Mapping[str, str]:
    """The contract's columns that are about the file: name to what of it."""
    found = {}
    for column in contract.columns:
        if column.path[0] != ROOT:
            continue
        what = ".".join(str(part) for part in column.path[1:])
        if str(column.type) != COLUMNS.get(what):
            wanted = ", ".join(f"{ROOT}.{name} ({type_})" for name, type_ in COLUMNS.items())
            raise SpecError(
                f"there is no {ROOT}.{what} of the type {column.type}",
                source=source.name,
                stream=stream.name,
                field=f"contract.{column.name}",
                remedy=f"A file has: {wanted}.",
            )
        found[column.name] = what
    if stream.cursor and found.get(stream.cursor.field) != "arrived":
        raise SpecError(
            f"the cursor {stream.cursor.field!r} is not when the file arrived",
            source=source.name,
            stream=stream.name,
            field="cursor.field",
            remedy=f'Give that column the path "{ROOT}.arrived".',
        )
    return found


def _decoder(source: Source, stream: Stream, contract: Contract, about: Mapping[str, str]) -> Decoder:
    """The decoder of what is in a file: of the contract without what is about it."""
    within = replace(contract, columns=tuple(column for column in contract.columns if column.name not in about))
    settings: dict[str, Any] = {"key": tuple(name for name in stream.key if name not in about)}
    if isinstance(stream.format, Parquet):
        settings["format"] = Ndjson()
    return decoder_for(source, stream.model_copy(update=settings), within)
