"""Turns of this process's threads at a table: racing against each other they would only do work twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, RLock
from weakref import WeakValueDictionary

_PATIENCE = 60.0
_guard = Lock()
_locks: WeakValueDictionary[str, object] = WeakValueDictionary()
_under_way: set[str] = set()


@contextmanager
def turn(uri: str) -> Iterator[None]:
    """Hold the table's turn. Nothing's correctness rests on it: who waited a minute goes on without."""
    with _guard:
        lock = _locks.get(uri)
        if lock is None:
            _locks[uri] = lock = RLock()
    held = lock.acquire(timeout=_PATIENCE)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if held:
            lock.release()  # type: ignore[attr-defined]


@contextmanager
def alone(work: str) -> Iterator[bool]:
    """Whether no other thread of this process does the same `work` now; who comes second leaves it to the first."""
    with _guard:
        first = work not in _under_way
        if first:
            _under_way.add(work)
    try:
        yield first
    finally:
        if first:
            with _guard:
                _under_way.discard(work)
