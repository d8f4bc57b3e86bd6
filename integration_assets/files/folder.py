"""Files in a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from integration_assets.errors import AccessDeniedError, ResponseError, UpstreamUnavailableError
from integration_assets.files.store import FileGoneError, FileRef, fits

_MARGIN = timedelta(seconds=2)


@dataclass(frozen=True)
class Folder:
    """A folder and all below it. Links are not followed: they may lead anywhere."""

    root: str

    @property
    def margin(self) -> timedelta:
        """A file system's clock ticks coarsely; a mounted one is another machine's."""
        return _MARGIN

    @property
    def restamps(self) -> bool:
        """See `FileStore.restamps`."""
        return True

    def list(self, pattern: str = "*", after: str | None = None) -> Iterator[FileRef]:
        """See `FileStore.list`."""
        behind = after.split("/") if after else []
        try:
            for name in _names(Path(self.root), ""):
                if name.split("/") > behind and fits(name, pattern):
                    ref = self._ref(name)
                    if ref is not None:
                        yield ref
        except FileNotFoundError:
            raise ResponseError(
                f"there is no folder {self.root}", field="base_url", remedy="Create it, or mend base_url and path."
            ) from None
        except PermissionError as error:
            raise AccessDeniedError(
                f"{error.filename} may not be read", field="base_url", remedy="Let this account read the folder."
            ) from None
        except OSError as error:
            raise UpstreamUnavailableError(
                f"{self.root} cannot be listed: {error.strerror}", remedy="A later run goes on from the last commit."
            ) from None

    def _ref(self, name: str) -> FileRef | None:
        try:
            return _described(name, Path(self.root, name).lstat())
        except FileNotFoundError:
            return None  # deleted since its name was read

    @contextmanager
    def open(self, ref: FileRef) -> Iterator[BinaryIO]:
        """See `FileStore.open`."""
        try:
            with Path(self.root, ref.name).open("rb") as file:
                if _described(ref.name, os.fstat(file.fileno())) != ref:
                    raise FileGoneError(f"{ref.name} is not the file that was listed")
                yield file
                if _described(ref.name, os.fstat(file.fileno())).version != ref.version:
                    raise FileGoneError(f"{ref.name} was written to while it was read")
        except FileNotFoundError:
            raise FileGoneError(f"{ref.name} is gone") from None
        except PermissionError:
            raise AccessDeniedError(
                f"{ref.name} may not be read", field="base_url", remedy="Let this account read the file."
            ) from None
        except OSError as error:
            raise UpstreamUnavailableError(
                f"{ref.name} cannot be read: {error.strerror}", remedy="A later run goes on from the last commit."
            ) from None


def _names(folder: Path, prefix: str) -> Iterator[str]:
    """The names of regular files, in their order, folder by folder."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _names(folder / entry.name, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield prefix + entry.name


def _described(name: str, found: os.stat_result) -> FileRef:
    """When it arrived is the later of two times: a file that is moved in, or unpacked, keeps the time at which it was written."""
    arrived = max(found.st_mtime_ns, found.st_ctime_ns) // 1000
    moment = datetime.fromtimestamp(arrived // 1_000_000, UTC) + timedelta(microseconds=arrived % 1_000_000)
    return FileRef(name, moment, found.st_size, f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}")
