"""What a file is, and where files are: `file:///folder` or `gs://bucket/prefix`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from integration_assets.errors import ReplanError

_SCHEMES = ("file://", "gs://")
_HIDDEN = (".", "_")


class FileGoneError(ReplanError):
    """The file was replaced or deleted since it was listed. What replaced it arrived later, and belongs to a later slice."""


@dataclass(frozen=True, slots=True)
class FileRef:
    """One file as it was listed.

    name    : its path below the place that was listed, with slashes.
    arrived : when this content came to be there, UTC, by the storage's clock.
    size    : bytes.
    version : tells this content from what was there under the name before: a bucket's generation.
    """

    name: str
    arrived: datetime
    size: int
    version: str


class FileStore(Protocol):
    """A place that holds files. Nothing is held open but for what `open` gives."""

    @property
    def margin(self) -> timedelta:
        """How far the storage's clock may be behind this machine's, so that a file of just now appears to be older."""
        ...

    @property
    def restamps(self) -> bool:
        """Whether a file may arrive again with the content that it had: by a change of its mode, its owner or its links."""
        ...

    def list(self, pattern: str = "*", after: str | None = None) -> Iterator[FileRef]:
        """The files whose name fits, in the order of their names, those behind `after`; asked for as they are taken.

        Raises `ResponseError` when there is no such place, `AccessDeniedError`, `UpstreamUnavailableError`.
        """
        ...

    def open(self, ref: FileRef) -> AbstractContextManager[BinaryIO]:
        """The bytes of that very content. Raises `FileGoneError` when it is another or none, here or while it is read."""
        ...


def is_files(uri: str) -> bool:
    """Whether `uri` names a place of files."""
    return uri.startswith(_SCHEMES)


def open_files(uri: str, path: str = "", patience: float = 60.0) -> FileStore:
    """The files below `path` of a source's base URL. Nothing is asked yet.

    patience : seconds that one request to a bucket may take.
    """
    parts = urlsplit(uri)
    below = path.strip("/")
    if parts.scheme == "gs":
        from integration_assets.files.bucket import Bucket

        prefix = "/".join(part for part in (unquote(parts.path).strip("/"), below) if part)
        return Bucket(parts.netloc, f"{prefix}/" if prefix else "", patience)
    from integration_assets.files.folder import Folder

    return Folder(unquote(parts.path).rstrip("/") + (f"/{below}" if below else ""))


def fits(name: str, pattern: str) -> bool:
    """Whether a file is to be read. `*` crosses slashes; what begins with a dot or an underscore is not finished, or no data."""
    hidden = any(part.startswith(_HIDDEN) for part in name.split("/"))
    return not hidden and fnmatchcase(name, pattern)
