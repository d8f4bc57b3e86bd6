"""One Delta table's folder, local or `gs://`: opening the table, its files, its log entries, and what its errors mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from integration_assets.errors import LakeError, RescheduleError

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_NO_SPACE = ("os error 28", "os error 27", "os error 122", "No space left", "File too large", "quota exceeded")
_DENIED = ("os error 13", "os error 1)", "os error 30", "Permission denied", "Read-only", "403", "401")
_TORN = ("Json error", "EOF while parsing", "Parquet error", "Invalid Parquet", "deserialize thrift", "Corrupt")
_TRACE = re.compile(r"\s*\b0: <unknown>.*", re.DOTALL)
_SHOWN = 300
DAMAGED = "Restore the table's folder from a backup, or move it away and sync from the start."


class VersionsGoneError(Exception):
    """Versions of the lake cannot be read one by one any more: log entries cleaned, files vacuumed, or rows rewritten.

    Internal to `land`: whoever consumes versions then rebuilds from the current snapshot.
    """


@dataclass(frozen=True)
class Store:
    """A Delta table's address; nothing is opened until asked."""

    uri: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def local(self) -> bool:
        """Whether the table is a folder of this machine."""
        return "://" not in self.uri or self.uri.startswith("file://")

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table as it is now, or at `version`; None if there is none. Raises `LakeError`."""
        try:
            with self.guard("read"):
                return DeltaTable(self.uri, version=version, storage_options=dict(self.options))
        except LakeError as error:
            if isinstance(error.__cause__, TableNotFoundError):
                return None
            raise

    def existing(self) -> DeltaTable:
        """The table as it is now. Raises `LakeError` if there is none."""
        table = self.open()
        if table is None:
            raise LakeError(f"there is no table at {self.uri}", remedy="Sync the stream first.")
        return table

    @cached_property
    def handler(self) -> DeltaStorageHandler:
        """The object store, rooted at the table's folder, as deltalake itself sees it."""
        with self.guard("open"):
            return DeltaStorageHandler(self.uri, dict(self.options))

    @cached_property
    def files(self) -> pafs.FileSystem:
        """The same as an Arrow file system; paths are relative to the table's folder."""
        return pafs.PyFileSystem(self.handler)

    def log_entry(self, version: int) -> list[dict[str, Any]] | None:
        """The actions of one version, None if its log entry was cleaned away.

        deltalake's `history()` is not used: it numbers commits from the version it was opened at, wrongly when another
        process commits in between.
        """
        with self.guard("read"):
            try:
                with self.files.open_input_file(f"_delta_log/{version:020d}.json") as file:
                    text = file.read().decode()
            except FileNotFoundError:
                return None
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def mark(self, version: int) -> str | None:
        """A digest of one version's log entry, None if that was cleaned away: a table put back from a backup has others."""
        actions = self.log_entry(version)
        return None if actions is None else blake2b(json.dumps(actions).encode(), digest_size=8).hexdigest()

    def transactions(self, version: int) -> dict[str, int]:
        """The application transactions at `version` with their numbers: deltalake answers only for a name that is known."""
        found: dict[str, int] = {}
        with self.guard("read"):
            checkpoint = self._checkpoint(version)
            for path in checkpoint[1] if checkpoint else ():
                with self.files.open_input_file(path) as file:
                    rows = pq.read_table(file, columns=["txn"]).column("txn").to_pylist()
                found |= {row["appId"]: row["version"] for row in rows if row}
        for number in range(checkpoint[0] + 1 if checkpoint else 0, version + 1):
            for action in self.log_entry(number) or ():
                if "txn" in action:
                    found[action["txn"]["appId"]] = action["txn"]["version"]
        return found

    def _checkpoint(self, version: int) -> tuple[int, list[str]] | None:
        """The version and the files of the newest checkpoint that is not after `version`."""
        by_version: dict[int, list[str]] = {}
        for info in self.files.get_file_info(pafs.FileSelector("_delta_log")):
            name = info.path.rpartition("/")[2]
            number = name.partition(".")[0]
            if ".checkpoint." in name and name.endswith(".parquet") and number.isdigit() and int(number) <= version:
                by_version.setdefault(int(number), []).append(f"_delta_log/{name}")
        return max(by_version.items()) if by_version else None

    def check_there(self, paths: Sequence[str]) -> None:
        """See that files which are to be committed are there still. Raises `RescheduleError`.

        A vacuum may have taken them for waste, where a clock was wrong or a run took longer than the vacuum's grace.
        """
        with self.guard("read"):
            infos = self.files.get_file_info(list(paths)) if paths else []
        gone = [info.path for info in infos if info.type != pafs.FileType.File]
        if gone:
            raise RescheduleError(
                f"{gone[0]} at {self.uri} was deleted before it was committed; nothing of the commit landed",
                remedy="Sync again, and vacuum with a grace longer than the longest run, on a machine whose clock is right.",
            )

    def delete(self, path: str) -> None:
        """Delete a file; it may be gone already."""
        with self.guard("write"):
            try:
                self.files.delete_file(path)
            except FileNotFoundError:
                return

    @contextmanager
    def guard(self, doing: str) -> Iterator[None]:
        """Turn what the store raises inside into errors of ours that name the table's folder."""
        try:
            yield
        except (OSError, DeltaError) as error:
            raise self.explain(error, doing) from error

    def explain(self, error: Exception, doing: str) -> LakeError | RescheduleError:
        """What went wrong in words: no space, no permission, a store that does not answer, or not a lake."""
        text = _TRACE.sub("", _COLOUR.sub("", str(error)))
        for value in self.options.values():
            if value:
                text = text.replace(value, "***")
        brief = " ".join(text.split())[:_SHOWN]
        what = f"cannot {doing} the lake's table at {self.uri}: {brief}"
        if any(mark in text for mark in _NO_SPACE):
            return LakeError(what, remedy="Free space there, or put the lake elsewhere (INTEGRATION_LAKE_URI); then sync again.")
        if isinstance(error, PermissionError) or any(mark in text for mark in _DENIED):
            return LakeError(what, remedy="Give this process the right to read and write there.")
        if any(mark in text for mark in _TORN):
            return LakeError(f"{what} (a file there is damaged)", remedy=DAMAGED)
        if not self.local and isinstance(error, OSError):
            return RescheduleError(what, remedy="The store did not answer as it should; a later run goes on from here.")
        return LakeError(what, remedy="See that INTEGRATION_LAKE_URI names a folder that this process can read and write.")
