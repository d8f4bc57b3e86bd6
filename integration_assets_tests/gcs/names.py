"""The plain file of an object: `<object path>` below its bucket's folder, with few exceptions.

A path segment that no file can bear is written otherwise, always beginning with `%`:

    ""  (of `a//b` or `folder/`)  →  %empty        "." and ".."        →  %.  %..
    begins with "%"               →  "%" + itself  over 200 bytes      →  %sha256-<hex of it>

and the file of an object `p` is `p/%self` from the moment on that some `p/q` is stored too.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from integration_assets_tests.gcs.errors import bad_request

SELF = "%self"
_LONGEST_NAME = 1024
_LONGEST_SEGMENT = 200
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
# The first segments of the JSON API's paths: such a bucket could not be told from them in an XML path.
_TAKEN = frozenset({"storage", "upload", "download", "batch", "resumable"})


def check_bucket_name(name: str) -> None:
    """Refuse (400) a bucket name that Google Cloud Storage would refuse."""
    if not _BUCKET.fullmatch(name) or name in _TAKEN:
        raise bad_request(f"Invalid bucket name: '{name}'", "InvalidBucketName")


def file_of(name: str) -> str:
    """Give the path of an object's file, relative to its bucket's folder; raises 400 for a name no object can have."""
    if not 0 < len(name.encode()) <= _LONGEST_NAME or name in (".", "..") or set(name) & {"\r", "\n", "\0"}:
        raise bad_request(f"Invalid object name: {name!r}", "InvalidObjectName")
    return "/".join(_segment(part) for part in name.split("/"))


def make_room(folder: Path, file: str) -> tuple[str, list[tuple[str, str]]]:
    """Make the folders of `file` below `folder`; give the path to write it to, and the files moved for it (from, to)."""
    moved = []
    parts = file.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        parent = "/".join(parts[:depth])
        if (folder / parent).is_file():
            aside = folder / f"{SELF}-aside"
            (folder / parent).rename(aside)
            (folder / parent).mkdir()
            aside.rename(folder / parent / SELF)
            moved.append((parent, f"{parent}/{SELF}"))
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    return (f"{file}/{SELF}" if (folder / file).is_dir() else file), moved


def remove(folder: Path, file: str) -> None:
    """Delete a file and the folders that it leaves empty."""
    (folder / file).unlink()
    for parent in (folder / file).parents:
        if parent == folder or any(parent.iterdir()):
            return
        parent.rmdir()


def _segment(part: str) -> str:
    if part in ("", ".", ".."):
        return f"%{part or 'empty'}"
    escaped = f"%{part}" if part.startswith("%") else part
    if len(escaped.encode()) > _LONGEST_SEGMENT:
        return f"%sha256-{hashlib.sha256(part.encode()).hexdigest()}"
    return escaped
