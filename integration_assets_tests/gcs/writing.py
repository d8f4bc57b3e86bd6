"""A body on its way in: bytes appended to a file of its own while their checksums are counted."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import google_crc32c

from integration_assets_tests.gcs.errors import bad_request


@dataclass(frozen=True, slots=True)
class Written:
    """A finished body: its file, its bytes, and its checksums in base64 as Google Cloud Storage writes them."""

    path: Path
    size: int
    crc32c: str
    md5: str

    def check(self, expected: dict[str, str]) -> None:
        """Raise 400 and drop the file if a checksum (`{"crc32c": …, "md5": …}`, base64) is not what the client sent."""
        for kind, actual in (("crc32c", self.crc32c), ("md5", self.md5)):
            if expected.get(kind, actual) != actual:
                self.path.unlink()
                message = f"Provided {kind} hash '{expected[kind]}' doesn't match calculated hash '{actual}'."
                raise bad_request(message, "BadDigest")


class Writing:
    """An open file in `folder` that grows; `finish` or `discard` it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / uuid4().hex
        self._file = self._path.open("wb")
        self._crc32c = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def add(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self._crc32c.update(data)  # type: ignore[no-untyped-call]
        self._md5.update(data)
        self.size += len(data)

    def finish(self) -> Written:
        """Close the file and give what it holds."""
        self._file.close()
        crc32c: bytes = self._crc32c.digest()  # type: ignore[no-untyped-call]
        return Written(self._path, self.size, b64encode(crc32c).decode(), b64encode(self._md5.digest()).decode())

    def discard(self) -> None:
        """Close the file and delete it."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def write(folder: Path, chunks: Iterable[bytes]) -> Written:
    """Write a whole body; leaves nothing behind if the sender goes away in the middle."""
    writing = Writing(folder)
    try:
        for chunk in chunks:
            writing.add(chunk)
    except BaseException:
        writing.discard()
        raise
    return writing.finish()


def hashes_of(header: str | None) -> dict[str, str]:
    """Read an `x-goog-hash` header: `crc32c=…,md5=…`."""
    return dict(part.strip().split("=", 1) for part in (header or "").split(",") if "=" in part)
