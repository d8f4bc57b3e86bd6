"""An iterator that is run in a thread of its own, a bounded way ahead of who takes from it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from time import monotonic
from typing import Generic, Self, TypeVar

from integration_assets.extract.lane import Lane

T = TypeVar("T")
_NOTICE = 0.5
"""Seconds within which it is noticed that the lane was stopped."""


class Ahead(Generic[T]):
    """A context that runs `items` up to `most` of them and `weight` bytes ahead; one item is always allowed.

    An error of theirs is raised by `take` after all items before it. Leaving the context stops the thread at its next item;
    what it waits for then is not waited for.

    lane : when it is stopped, `take` ends.
    """

    def __init__(
        self, items: Generator[T, None, None], weigh: Callable[[T], int], most: int, weight: int, lane: Lane | None = None
    ) -> None:
        self._items = items
        self._weigh = weigh
        self._most = most
        self._weight = weight
        self._lane = lane or Lane()
        self._waiting: deque[T] = deque()
        self._held = 0
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="look-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def take(self, weight: int, least: int = 0, patience: float = 0.0) -> list[T]:
        """The items that wait, at least one and no more than weigh `weight` together; none after the last.

        least, patience : where those that wait weigh less, more of them are waited for, so many seconds at the most.
        """
        with self._changed:
            while not self._waiting and not self._ended:
                self._lane.check()
                self._changed.wait(_NOTICE)
            until = monotonic() + patience
            while (
                not self._ended and self._held < least and len(self._waiting) < self._most and (left := until - monotonic()) > 0
            ):
                self._changed.wait(left)
            taken: list[T] = []
            total = 0
            while self._waiting and (not taken or total + self._weigh(self._waiting[0]) <= weight):
                total += self._weigh(self._waiting[0])
                taken.append(self._waiting.popleft())
            self._held -= total
            self._changed.notify_all()
            if not taken and self._error is not None:
                raise self._error
            return taken

    def _few(self, least: int) -> bool:
        return not self._ended and self._held < least and len(self._waiting) < self._most

    def _run(self) -> None:
        try:
            with closing(self._items):
                for item in self._items:
                    if not self._put(item):
                        return
        except BaseException as error:  # noqa: BLE001 - raised again where the items are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Whether to go on."""
        with self._changed:
            self._waiting.append(item)
            self._held += self._weigh(item)
            self._changed.notify_all()
            while not self._stopped and (len(self._waiting) >= self._most or self._held >= self._weight):
                self._changed.wait()
            return not self._stopped
