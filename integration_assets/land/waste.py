"""Files in a table's folder that nothing needs any more: left by killed runs, or replaced long ago.

Deltalake's own vacuum does not see a file that was still being written when its run was killed (a folder has it under a name with
`#`, which object stores do not list), and knows neither of unfinished slices nor of what a warehouse has not merged yet.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import pyarrow.fs as pafs

from integration_assets.land import reading
from integration_assets.land.checkpoints import Checkpoints, files_kept
from integration_assets.land.state import carry, read_state
from integration_assets.land.store import Store

Why = Literal["half-written", "unreferenced"]
_HALF = re.compile(r"#\d+$")
_DRAFT = re.compile(r"^_delta_log/_commit_[\w-]+\.json\.tmp$")
_DATA = ".parquet"
_FOLDERS = ("", "_delta_log", "_checkpoints")


@dataclass(frozen=True)
class Waste:
    """A file that nothing needs: its path in the table's folder, its bytes, and why it is there.

    why : `half-written`: a run was killed while it wrote it. `unreferenced`: no commit ever had it, or none has had it lately.
    """

    path: str
    bytes: int
    why: Why


@dataclass(frozen=True)
class _Found:
    path: str
    bytes: int
    changed: datetime


def find_waste(store: Store, before: datetime, wanted: Collection[str] = ()) -> list[Waste]:
    """The files that were last written, and replaced if they were part of the table, before a moment, and that nothing needs.

    before : long enough ago that no run that still goes on began before it.
    wanted : paths that someone else still needs, such as a warehouse that has not merged them.
    Files of unfinished slices that may be taken up, and of versions since `before`, are no waste.
    """
    # The folder is looked at before the log: a commit in between makes its files part of the table, never an orphan.
    found = [file for file in _files(store) if file.changed < before]
    if not found:
        return []
    kept = {*wanted, *files_kept(Checkpoints(store), forget=False)}
    table = store.open()
    half = [Waste(file.path, file.bytes, "half-written") for file in found if _half(file.path)]
    if table is None:
        return half
    needed = {row["path"] for row in reading.active(table)} | kept
    left = [file for file in found if not _half(file.path) and file.path not in needed]
    # The log is read only where something is left to be told of: it has an entry a commit.
    replaced = _replaced_since(store, table.version(), before) if left else set()
    if replaced is None:
        return half
    return half + [Waste(file.path, file.bytes, "unreferenced") for file in left if file.path not in replaced]


def delete_waste(store: Store, waste: Iterable[Waste]) -> None:
    """Delete the files; those that another vacuum was quicker to delete are no error. Raises `LakeError`, `RescheduleError`."""
    Checkpoints(store).live()  # forgets those that nobody will take up any more
    for file in waste:
        if _half(file.path):
            with store.guard("clean"):
                (_folder(store) / file.path).unlink(missing_ok=True)
        else:
            store.delete(file.path)


def vacuum(store: Store, hours: int) -> list[str]:
    """Deltalake's own vacuum, but for files of unfinished slices that may still be taken up; the paths that were deleted."""
    # Before the table is opened: what is committed in between is then kept, or part of the table.
    kept = files_kept(Checkpoints(store))
    # Deltalake names what joins replaced again at each vacuum, until the log forgets them, also what is long gone.
    there = {file.path for file in _files(store)}
    table = store.existing()
    with store.guard("vacuum"):
        if kept:
            # By hand then, for deltalake knows only the files of its own log.
            found = table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
            paths = [path for path in map(unquote, found) if path in there - kept]
            for path in paths:
                store.delete(path)
            return paths
        deleted = table.vacuum(
            retention_hours=hours,
            dry_run=False,
            enforce_retention_duration=False,
            full=True,
            commit_properties=carry(read_state(store, table)),
        )
        return [path for path in map(unquote, deleted) if path in there]


def _half(path: str) -> bool:
    return bool(_HALF.search(path) or _DRAFT.match(path))


def _files(store: Store) -> Iterator[_Found]:
    """Data files, and what was still being written, wherever the table's folder has such."""
    with store.guard("clean"):
        if store.local:
            for name in _FOLDERS:
                yield from _in_folder(_folder(store), name)
            return
        # A bucket shows an object when it is whole.
        for info in store.files.get_file_info(pafs.FileSelector("", allow_not_found=True)):
            if info.type == pafs.FileType.File and "/" not in info.path and info.path.endswith(_DATA):
                yield _Found(info.path, info.size, info.mtime)


def _in_folder(root: Path, name: str) -> Iterator[_Found]:
    folder = root / name
    for path in folder.iterdir() if folder.is_dir() else ():
        inside = str(path.relative_to(root))
        if not (_half(inside) or (not name and path.suffix == _DATA)):
            continue
        try:
            seen = path.lstat()
        except FileNotFoundError:
            continue  # finished, or deleted, at this moment
        if stat.S_ISREG(seen.st_mode):
            yield _Found(inside, seen.st_size, datetime.fromtimestamp(seen.st_mtime, UTC))


def _folder(store: Store) -> Path:
    return Path(store.uri.removeprefix("file://"))


def _replaced_since(store: Store, version: int, before: datetime) -> set[str] | None:
    """The files that versions since a moment took away, which readers of earlier ones may still read; None if the log is cut."""
    found: set[str] = set()
    for number in range(version, -1, -1):
        actions = store.log_entry(number)
        if actions is None:
            return None
        written = next((action["commitInfo"].get("timestamp") for action in actions if "commitInfo" in action), None)
        if written is not None and datetime.fromtimestamp(written / 1000, UTC) < before:
            break
        found |= {unquote(action["remove"]["path"]) for action in actions if "remove" in action}
    return found
