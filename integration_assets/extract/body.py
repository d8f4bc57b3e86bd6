"""A response's body, counted while it streams. gzip is undone here, because httpx inflates each chunk whole."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO

from integration_assets.errors import LimitExceededError, ResponseError, TransientError

_PIECE = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"


def read_body(chunks: Iterable[bytes], encoding: str, limit: int, count: Callable[[int], None]) -> bytes:
    """All of a body, at most `limit` bytes of it after decompression.

    `count` is told the size of each chunk as transferred. Raises `LimitExceededError` as soon as the limit is passed,
    `TransientError` when compressed data is damaged or cut off, `ResponseError` for an encoding nobody asked for.
    """
    sink = BytesIO()
    for piece in unpacked(chunks, encoding, count):
        if sink.tell() + len(piece) > limit:
            raise LimitExceededError(
                f"a response is larger than {limit:,} bytes",
                field="limits.max_page_bytes",
                remedy="Ask for smaller pages, or raise the source's limits.max_page_bytes.",
            )
        sink.write(piece)
    return sink.getvalue()


def read_start(chunks: Iterable[bytes], encoding: str, limit: int, count: Callable[[int], None]) -> bytes:
    """The first bytes of a body, for an error's text; what cannot be decoded is left out."""
    start = b""
    try:
        for piece in unpacked(chunks, encoding, count):
            start += piece
            if len(start) >= limit:
                break
    except (TransientError, ResponseError):
        # The status is what matters here, and it is already known.
        return start[:limit]
    return start[:limit]


def unpacked(chunks: Iterable[bytes], encoding: str, count: Callable[[int], None]) -> Iterator[bytes]:
    """The chunks decompressed, piece by piece; `count` and errors as of `read_body`."""
    if encoding in {"gzip", "x-gzip"}:
        return _gunzip(_counted(chunks, count))
    if encoding in {"", "identity"}:
        return _counted(chunks, count)
    raise ResponseError(
        f"the body has the content encoding {encoding!r}, and gzip or none was asked for", remedy="Ask the API's owner."
    )


def _counted(chunks: Iterable[bytes], count: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        count(len(chunk))
        yield chunk


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Inflate piece by piece; several gzip members in a row are one body."""
    member = zlib.decompressobj(_GZIP)
    began = False
    for chunk in chunks:
        data = chunk
        while data:
            if member.eof:
                if not data.startswith(_GZIP_MAGIC[: len(data)]):
                    break  # padding after the last member
                member = zlib.decompressobj(_GZIP)
            began = True
            yield from _inflate(member, data)
            data = member.unused_data
    if began and not member.eof:
        raise TransientError("the compressed body was cut off")


def _inflate(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while True:
        try:
            piece = member.decompress(data, _PIECE)
        except zlib.error as error:
            raise TransientError(f"the compressed body is damaged: {error}") from error
        yield piece
        data = member.unconsumed_tail
        if member.eof or (not data and len(piece) < _PIECE):
            return
