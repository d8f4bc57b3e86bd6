"""Where the shared state is kept: one small document an account, changed by one asker at a time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Self, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from integration_assets.errors import SpecError
from integration_assets.extract.limits.state import State, decode, encode

T = TypeVar("T")
Change = Callable[[State, float], T]
"""Reads and changes a state at the store's present time."""
POSTGRES = ("postgresql", "postgres")


class Store(ABC):
    """A context manager that holds the store open. Thread safe.

    owner   : names this opening of the store, and with it everything that it holds.
    patience: seconds that a look may be old: 0 where looking is cheap.

    Every method raises `LimitsUnavailableError` when the store does not answer in time: nothing is ever unlimited instead.
    """

    patience = 0.0

    def __init__(self) -> None:
        self.owner = uuid4().hex[:12]

    @abstractmethod
    def update(self, key: str, change: Change[T]) -> T:
        """Change one account's state, alone; what `change` returns. When it raises, nothing is changed."""

    @abstractmethod
    def look(self, key: str) -> tuple[State, float]:
        """One account's state and the store's time; cheap, and not to be changed."""

    @abstractmethod
    def all(self) -> Iterator[tuple[str, State, float]]:
        """Every account's key and state, and the store's time."""

    def alive(self, owner: str) -> bool:
        """Whether that owner's process still runs; True when it cannot be known, and then what it holds expires in time."""
        return owner != ""

    def close(self) -> None:  # noqa: B027 - not every store holds something open
        """Let go of everything."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MemoryStore(Store):
    """Shared by the threads of this process only: for tests, and for a look at an API that must leave no trace."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._documents: dict[str, bytes] = {}

    def update(self, key: str, change: Change[T]) -> T:
        """As every store."""
        with self._lock:
            state, now = decode(self._documents.get(key, b"")), time.time()
            state.set_clock(now)
            result = change(state, now)
            self._documents[key] = encode(state)
            return result

    def look(self, key: str) -> tuple[State, float]:
        """As every store."""
        with self._lock:
            return decode(self._documents.get(key, b"")), time.time()

    def all(self) -> Iterator[tuple[str, State, float]]:
        """As every store."""
        for key in sorted(self._documents):
            yield key, *self.look(key)


def open_store(uri: str) -> Store:
    """The store at `uri`: a folder, `postgresql://…`, or `memory:` for this process alone. Nothing is touched yet.

    Raises `SpecError` for another scheme.
    """
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if uri == "memory:":
        return MemoryStore()
    if scheme in POSTGRES:
        from integration_assets.extract.limits.postgres import PostgresStore

        return PostgresStore(uri)
    if scheme not in {"", "file"} or not uri:
        raise SpecError(
            f"limits cannot be kept in {scheme or 'nothing'}",
            field="INTEGRATION_LIMITS_URI",
            remedy="Name a folder on a local disk, or postgresql://USER@HOST/DATABASE for many machines.",
        )
    from integration_assets.extract.limits.files import FileStore

    return FileStore(uri.removeprefix("file://"))
