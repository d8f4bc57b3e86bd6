"""What runs left of slices that they could not finish: data files that no commit names yet, and where to go on.

One small document per unfinished slice, at `_checkpoints/` in the table's folder, put whole or not at all. It promises nothing
and nobody waits for it: a slice whose document is gone, or does not hold any more, is read from its start. What keeps files
from landing twice is the lake's commit, which refuses a slice that overlaps one committed since the document's `base`.

Whoever deletes files of a table that no commit names leaves out those of `files_kept(table)`: they are still wanted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import pyarrow.fs as pafs

from integration_assets.land.reading import rewrites
from integration_assets.land.state import LakeState, entries_in
from integration_assets.land.store import Store
from integration_assets.land.writer import DataFile
from integration_assets.spec.cursor import Slice
from integration_assets.spec.receipt import NO_SLICE, Receipt

FOLDER = "_checkpoints"
KEPT = timedelta(days=7)
"""How long after its last page an unfinished slice can be taken up."""
_LONGEST_RUN = timedelta(days=1)
"""How long its files are wanted after that: a run that took it up in the last minute may still be at it."""
_FORMAT = 1
_MAGIC = b"PAR1"


@dataclass(frozen=True)
class Checkpoint:
    """An unfinished slice.

    base    : version and sequence of the lake's state that it was planned on.
    about   : what it was read under; it holds only where all of it is the same.
    files   : the data files that hold its rows so far.
    account : what is to be known to go on: JSON of whoever reads slices.
    """

    slice: Slice
    base: tuple[int, int]
    about: Mapping[str, str]
    files: tuple[DataFile, ...] = ()
    account: Mapping[str, Any] = field(default_factory=dict)
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def to_json(self) -> bytes:
        """One JSON document."""
        body = {
            "format": _FORMAT,
            "slice": self.slice.to_json(),
            "tenant": self.slice.tenant,
            "base": self.base,
            "about": dict(self.about),
            "files": [asdict(file) for file in self.files],
            "account": dict(self.account),
            "made_at": self.made_at.isoformat(),
        }
        return json.dumps(body, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Checkpoint | None:
        """The inverse of `to_json`; None for what is no such document, or one of another format."""
        try:
            body = json.loads(data)
            if body["format"] != _FORMAT:
                return None
            return cls(
                slice=Slice.from_json(body["slice"], body["tenant"]),
                base=(int(body["base"][0]), int(body["base"][1])),
                about=dict(body["about"]),
                files=tuple(DataFile(**file) for file in body["files"]),
                account=dict(body["account"]),
                made_at=datetime.fromisoformat(body["made_at"]),
            )
        except (ValueError, KeyError, TypeError, IndexError):
            return None


class Checkpoints:
    """The unfinished slices of one table. `kind` tells apart what the same slice may be pulled for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, checkpoint: Checkpoint, kind: str = "") -> None:
        """Put the document in the place of the slice's one before. Raises `LakeError`, `RescheduleError`."""
        path, body = _path(checkpoint.slice, kind), checkpoint.to_json()
        with self._store.guard("write a checkpoint of"):
            # Arrow's stream around it would hand over buffers, and it takes bytes only.
            handler: Any = self._store.handler
            file = handler._handler.open_output_stream(path, None)  # noqa: SLF001 - there is no other way to it
            file.write(body)
            file.close()

    def get(self, slice_: Slice, kind: str = "") -> Checkpoint | None:
        """What was left of exactly this slice, however old."""
        return self._read(_path(slice_, kind))

    def drop(self, slice_: Slice, kind: str = "") -> None:
        """Forget the slice; its files, if no commit took them, go with a vacuum."""
        self._store.delete(_path(slice_, kind))

    def of_tenant(self, tenant: str | None, kind: str = "") -> list[Checkpoint]:
        """What was left of a tenant's slices, or of those of a stream without."""
        prefix = f"{FOLDER}/{kind}{_digest(tenant)}-"
        found = [self._read(path) for path in self._paths() if path.startswith(prefix)]
        return [checkpoint for checkpoint in found if checkpoint is not None]

    def live(self, now: datetime | None = None, *, forget: bool = True) -> list[Checkpoint]:
        """All documents that are not too old. Those that are, are deleted, unless they are not to be forgotten."""
        oldest = (now or datetime.now(UTC)) - KEPT - _LONGEST_RUN
        found = []
        for path in self._paths():
            checkpoint = self._read(path)
            if checkpoint is not None and checkpoint.made_at > oldest:
                found.append(checkpoint)
            elif forget:
                self._store.delete(path)
        return found

    def holds(self, checkpoint: Checkpoint, state: LakeState) -> bool:
        """Whether nothing that `state` knows of touched the slice since it was planned: no commit of it, no deletion of rows."""
        version, sequence = checkpoint.base
        if state.version is None or state.version < version or state.sequence < sequence:
            return False
        left = state.sequence - sequence
        for number in range(version + 1, state.version + 1):
            actions = self._store.log_entry(number)
            if actions is None or rewrites(actions):
                return False
            for entry in entries_in(number, actions):
                left -= not entry.carried
                receipt = entry.state.receipt
                if not entry.carried and (receipt is None or _touches(receipt, checkpoint.slice)):
                    return False
        return left <= 0

    def there(self, files: Sequence[DataFile]) -> bool:
        """Whether the files are all there, and whole."""
        with self._store.guard("read"):
            infos = self._store.files.get_file_info([file.path for file in files]) if files else []
            if any(info.size != file.size for info, file in zip(infos, files, strict=True)):
                return False
            # A folder may have lost what was written last when its machine did; a bucket loses nothing.
            return not self._store.local or all(self._ends_whole(file) for file in files)

    def _ends_whole(self, file: DataFile) -> bool:
        with self._store.files.open_input_file(file.path) as opened:
            opened.seek(file.size - len(_MAGIC))
            return bool(opened.read() == _MAGIC)

    def _paths(self) -> Iterable[str]:
        with self._store.guard("read"):
            infos = self._store.files.get_file_info(pafs.FileSelector(FOLDER, allow_not_found=True))
        return [f"{FOLDER}/{name}" for name in (info.path.rpartition("/")[2] for info in infos) if name.endswith(".json")]

    def _read(self, path: str) -> Checkpoint | None:
        with self._store.guard("read"):
            try:
                with self._store.files.open_input_file(path) as file:
                    data = file.read()
            except FileNotFoundError:
                return None
        return Checkpoint.from_json(data)


def _touches(receipt: Receipt, slice_: Slice) -> bool:
    return receipt.outcome not in NO_SLICE and Slice.from_json(receipt.slice, receipt.tenant).overlaps(slice_)


def _path(slice_: Slice, kind: str) -> str:
    return f"{FOLDER}/{kind}{_digest(slice_.tenant)}-{_digest(slice_.to_json())}.json"


def _digest(value: object) -> str:
    return blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()


def files_kept(checkpoints: Checkpoints, *, forget: bool = True) -> set[str]:
    """The paths in the table's folder of files that are in no commit and still wanted, by a slice that may be taken up.

    A vacuum calls it before it deletes anything, as `files_kept(table.checkpoints)`, and leaves these files alone. Documents
    that nobody will take up any more are deleted on the way, where `forget`.
    """
    return {file.path for checkpoint in checkpoints.live(forget=forget) for file in checkpoint.files}
