"""The store of one machine: a small file an account in a local folder, under the kernel's locks.

A lock and what it guards end with the process that holds them, however it ends. Each file holds its document twice and a
change goes to the older copy, so that a change that was cut off leaves the one before it.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TypeVar

import msgspec

from integration_assets.errors import LimitsStoreError, LimitsUnavailableError
from integration_assets.extract.limits.state import State, decode, encode
from integration_assets.extract.limits.store import Change, Store

T = TypeVar("T")
SUFFIX = ".limits"
PATIENCE = 10.0
"""Seconds to wait for a lock that is held for some microseconds at a time."""
_COPY = 64 * 1024
_HEAD = struct.Struct("<4sIII")
_MAGIC = b"ial1"
_FIRST_READ = 4096
_SWEPT = 100


class FileStore(Store):
    """The documents in `folder`, which is made when it is not there.

    Raises `LimitsStoreError` when it cannot be made or written, or a document is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder).expanduser()
        self._files: dict[str, _Document] = {}
        self._opening = Lock()
        self._presence: int | None = None
        self._pid = os.getpid()
        self._closed = False

    def update(self, key: str, change: Change[T]) -> T:
        """As every store."""
        document = self._document(key)
        with document.locked():
            state = document.read()
            now = time.time()
            state.set_clock(now)
            result = change(state, now)
            document.write(state)
            return result

    def look(self, key: str) -> tuple[State, float]:
        """As every store; takes no lock unless it meets a change that is being written."""
        document = self._document(key)
        state = document.glance()
        if state is None:
            with document.locked():
                state = document.read()
        return state, time.time()

    def all(self) -> Iterator[tuple[str, State, float]]:
        """As every store; nothing when the folder is not there."""
        try:
            found = sorted(path.name for path in self.folder.iterdir() if path.suffix == SUFFIX)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _refused(self.folder, error) from error
        for name in found:
            key = name.removesuffix(SUFFIX)
            yield key, *self.look(key)

    def alive(self, owner: str) -> bool:
        """Whether its process holds the lock on its presence file; what a dead one left behind is removed."""
        if owner == self.owner or owner.endswith(".new"):
            return True
        path = self._presence_of(owner)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # another user's: what it holds expires in time
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False

    def close(self) -> None:
        """Close the files; whatever this owner still holds is free for others at once."""
        if self._pid != os.getpid():
            self._forget()  # the presence is the parent's
        with self._opening:
            self._closed = True
            for document in self._files.values():
                document.close()
            self._files.clear()
            if self._presence is not None:
                with suppress(OSError):
                    self._presence_of(self.owner).unlink()
                os.close(self._presence)
                self._presence = None

    def _document(self, key: str) -> _Document:
        if self._pid != os.getpid():
            self._forget()
        document = self._files.get(key)
        if document is None:
            with self._opening:
                if self._closed:
                    raise _closed()
                try:
                    self._show_presence()
                    if key not in self._files:
                        self._files[key] = _Document(self.folder / f"{key}{SUFFIX}")
                    document = self._files[key]
                except OSError as error:
                    raise _refused(self.folder, error) from error
        return document

    def _show_presence(self) -> None:
        """Hold a lock that ends with this process, before anything is held under the owner's name."""
        if self._presence is not None:
            return
        path = self._presence_of(self.owner)
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.scandir(path.parent) as present:
            for entry in islice(present, _SWEPT):
                self.alive(entry.name)
        # Locked before it has its name: a file without a lock is a dead owner's.
        unnamed = path.with_suffix(".new")
        self._presence = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(path)

    def _presence_of(self, owner: str) -> Path:
        return self.folder / "alive" / owner

    def _forget(self) -> None:
        """After a fork: the parent's locks are open here too, and would be held by both at once."""
        for document in self._files.values():
            document.forget()
        if self._presence is not None:
            os.close(self._presence)
        self.__init__(self.folder)  # type: ignore[misc]


class _Document:
    """One account's file, open. Whatever uses it raises `LimitsUnavailableError` once it is closed.

    The handle is used under `_threads` alone: the number of a closed one is soon another file's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = Lock()
        self._open_handle: int | None = self._open()
        self._number = 0

    def close(self) -> None:
        """Close the file as soon as no thread is inside; one that hangs there for `PATIENCE` seconds keeps it open."""
        if self._threads.acquire(timeout=PATIENCE):
            try:
                self.forget()
            finally:
                self._threads.release()

    def forget(self) -> None:
        """Close the file where no other thread can be inside: after a fork their lock may be held for ever."""
        handle, self._open_handle = self._open_handle, None
        if handle is not None:
            os.close(handle)

    @property
    def _handle(self) -> int:
        if self._open_handle is None:
            raise _closed()
        return self._open_handle

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all threads and processes. Raises `LimitsUnavailableError` after `PATIENCE` seconds."""
        if not self._threads.acquire(timeout=PATIENCE):
            raise _busy(self._path)
        try:
            self._lock()
            try:
                yield
            finally:
                fcntl.flock(self._handle, fcntl.LOCK_UN)
        except OSError as error:
            raise LimitsUnavailableError(
                f"the limits in {self._path} cannot be shared: {error.strerror}",
                field="INTEGRATION_LIMITS_URI",
                remedy="See that its disk works and has space; a later run goes on from the last commit.",
            ) from error
        finally:
            self._threads.release()

    def glance(self) -> State | None:
        """The state without the kernel's lock; None while another process writes it, or when the file is gone."""
        if not self._threads.acquire(timeout=PATIENCE):
            raise _busy(self._path)
        try:
            copies = self._copies()
            if not copies or os.fstat(self._handle).st_nlink == 0:
                return None
        except OSError:
            return None  # said by the look under the lock, if it stays so
        finally:
            self._threads.release()
        return max(copies, key=lambda copy: copy[0])[1]

    def read(self) -> State:
        """The newer of the two copies; a new state of a file whose first one was never whole."""
        copies = self._copies()
        if copies:
            self._number, state = max(copies, key=lambda copy: copy[0])
            return state
        # The first write of all goes to the second place: while there is nothing at the first, nothing was known yet.
        if any(os.pread(self._handle, _COPY, 0)):
            raise LimitsStoreError(
                f"{self._path} is damaged",
                field="INTEGRATION_LIMITS_URI",
                remedy="Remove the file: limits start anew, and what was spent of today's quota is forgotten.",
            )
        self._number = 0
        return State()

    def write(self, state: State) -> None:
        """Write over the older copy."""
        payload = encode(state)
        self._number += 1
        head = _HEAD.pack(_MAGIC, self._number, len(payload), zlib.crc32(payload, self._number))
        whole = head + payload
        if len(whole) > _COPY or os.pwrite(self._handle, whole, self._number % 2 * _COPY) != len(whole):
            raise OSError(None, "the document does not fit")

    def _copies(self) -> list[tuple[int, State]]:
        found = []
        for start in (0, _COPY):
            data = os.pread(self._handle, _FIRST_READ, start)
            if len(data) < _HEAD.size:
                continue
            magic, number, length, checksum = _HEAD.unpack_from(data)
            if magic != _MAGIC or not 0 < length <= _COPY - _HEAD.size:
                continue
            payload = data[_HEAD.size : _HEAD.size + length]
            if len(payload) < length:
                payload = os.pread(self._handle, length, start + _HEAD.size)
            if zlib.crc32(payload, number) == checksum:
                with suppress(msgspec.DecodeError):
                    found.append((number, decode(payload)))
        return found

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _lock(self) -> None:
        """The kernel's lock on the file that is at the path now: whoever cleans the folder must not split the askers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise _busy(self._path) from None
                time.sleep(random.uniform(0.0002, 0.001))  # noqa: S311 - jitter, no secret
                continue
            if os.fstat(self._handle).st_nlink:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            gone, self._open_handle = self._handle, self._open()
            os.close(gone)


def _closed() -> LimitsUnavailableError:
    return LimitsUnavailableError("what runs share was closed", remedy="Open it again.")


def _busy(path: Path) -> LimitsUnavailableError:
    return LimitsUnavailableError(
        f"another process held {path} for more than {PATIENCE:g} s",
        field="INTEGRATION_LIMITS_URI",
        remedy="See whether a process of this machine hangs; a later run goes on from the last commit.",
    )


def _refused(folder: Path, error: OSError) -> LimitsStoreError:
    return LimitsStoreError(
        f"the folder {folder}, by which runs share an API's limits, cannot be written: {error.strerror}",
        field="INTEGRATION_LIMITS_URI",
        remedy="Set INTEGRATION_LIMITS_URI to a folder on a local disk that may be written, or to a Postgres database.",
    )
