"""A file's bytes in pieces that a decoder takes one by one, so that memory is bounded by the piece and not by the file."""

from __future__ import annotations

import csv
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from io import StringIO
from itertools import chain
from typing import BinaryIO

from integration_assets.errors import LimitExceededError
from integration_assets.extract.body import read_body, unpacked
from integration_assets.extract.page import BrokenBodyError
from integration_assets.spec.formats import Csv, Format, Ndjson, Parquet

PIECE = 8 * 2**20
"""Bytes of a piece, about; what cannot be cut is a piece by itself, up to the source's limits.max_page_bytes."""
_CHUNK = 2**20
_ROWS = 10_000
_MAGIC = b"\x1f\x8b"
_REMEDY = "Ask for smaller files or ones of lines (NDJSON, CSV), or raise the source's limits.max_page_bytes."


def pieces(file: BinaryIO, form: Format, limit: int, count: Callable[[int], None], share: int = 1) -> Iterator[bytes]:
    """The file as bodies of its format; none for a file without a byte.

    limit : bytes of one piece at most, decompressed.
    count : told the size of each chunk as it is stored.
    share : pieces are so many times smaller, where the format can be cut: as many files are read at once.
    Raises `LimitExceededError` for what cannot be cut small enough, `TransientError` for damaged gzip, `BrokenBodyError` for
    what is no Parquet.
    """
    if isinstance(form, Parquet):
        yield from _row_groups(file, limit, count)
        return
    first = file.read(_CHUNK)
    if not first:
        return
    chunks = chain([first], iter(lambda: file.read(_CHUNK), b""))
    encoding = "gzip" if first.startswith(_MAGIC) else ""
    if isinstance(form, Ndjson | Csv):
        yield from _lines(
            unpacked(chunks, encoding, count), limit, form.delimiter if isinstance(form, Csv) else None, PIECE // share
        )
        return
    try:
        whole = read_body(chunks, encoding, limit, count)
    except LimitExceededError:
        raise _too_large(f"the file is larger than {limit:,} bytes") from None
    if whole.strip():
        yield whole


def _lines(chunks: Iterator[bytes], limit: int, delimiter: str | None, size: int) -> Iterator[bytes]:
    """Whole records of about `size` bytes together; of CSV, which has a delimiter, each piece with the header line."""
    header: bytes | None = None
    kept = b""
    for chunk in chunks:
        kept += chunk
        if delimiter and header is None:
            kept = _unled(kept)
        if len(kept) < size:
            continue
        first, end = _record_ends(kept, delimiter)
        if not end and len(kept) > limit:
            raise _too_large(f"a record is longer than {limit:,} bytes")
        if end:
            yield (header or b"") + kept[:end]
            header = kept[:first] if header is None else header
            kept = kept[end:]
    if kept.strip():
        yield (header or b"") + kept


def _unled(data: bytes) -> bytes:
    """CSV without the blank lines before its header, which its decoder skips: what is repeated must be the header."""
    mark = BOM_UTF8 if data.startswith(BOM_UTF8) else b""
    return mark + data[len(mark) :].lstrip(b"\r\n")


def _record_ends(data: bytes, delimiter: str | None) -> tuple[int, int]:
    """Behind which byte the first record of CSV ends, and behind which the last whole one does; 0 for none.

    CSV is read as its decoder reads it: a line break between quotes ends no record. Of other lines the first does not matter.
    """
    if delimiter is None or b'"' not in data:
        return (data.find(b"\n") + 1 if delimiter else 0), data.rfind(b"\n") + 1
    text, at, first, end = StringIO(data.decode("latin-1"), newline=""), 0, 0, 0

    def lines() -> Iterator[str]:
        nonlocal at
        for line in text:
            at += len(line)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader, None)
            if row is None:
                return first, end
        except csv.Error:
            row = None
            # An open quote at the end may be closed by what comes; one within is the decoder's to reject.
            reader = csv.reader(lines(), delimiter=delimiter, strict=True)
            if at == len(data):
                return first, end
        if data[at - 1 : at] == b"\n":
            first, end = first or (0 if row == [] else at), at


def _row_groups(file: BinaryIO, limit: int, count: Callable[[int], None]) -> Iterator[bytes]:
    """The rows as NDJSON, so that they go the strict way that all JSON goes."""
    import msgspec
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    encoder = msgspec.json.Encoder(decimal_format="number")

    def utc(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [
            pc.assume_timezone(column, "UTC") if pa.types.is_timestamp(column.type) and column.type.tz is None else column
            for column in batch.columns
        ]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    try:
        with pq.ParquetFile(file, pre_buffer=False) as parquet:
            for group in range(parquet.num_row_groups):
                size = parquet.metadata.row_group(group).total_byte_size
                if size > limit:
                    raise _too_large(f"a row group has {size:,} bytes, more than {limit:,}")
                count(size)
                for batch in parquet.iter_batches(_ROWS, [group], use_threads=False):
                    yield b"\n".join(map(encoder.encode, utc(batch).to_pylist()))
    except pa.ArrowException as error:
        raise BrokenBodyError(f"the file is not valid Parquet: {error}") from None


def _too_large(what: str) -> LimitExceededError:
    return LimitExceededError(what, field="limits.max_page_bytes", remedy=_REMEDY)
