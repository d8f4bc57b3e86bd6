"""Works that several threads do at once, and whose results are taken in the works' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Condition, Event, Lock, Thread
from time import monotonic
from typing import Generic, TypeVar

from integration_assets.errors import IntegrationError

T = TypeVar("T")
_LOOK = 0.5
"""Seconds between two looks whether to stop; what is awaited wakes up at once."""
_ALONE = 1.0
"""Seconds that the first work is alone at the most: one that hangs must not hold up the others."""
_GLANCE = 0.01
"""Seconds between two looks where nothing wakes up who waits."""
_PATIENCE = 30.0
"""Seconds that a run which ends early gives the works under way to notice."""


def in_order(works: Iterable[Iterable[T]], at_once: int, stopped: Event, begun: Event | None = None) -> Generator[T, None, None]:
    """The results of `works`, those of each as they come, in the order of the works; up to `at_once` are done at a time.

    A work begins when a thread is free for it. After the first error no other begins; those under way go on to their end, and
    when all their results were yielded, the error is raised, the first one in the works' order. An interrupt while a result is
    waited for stops the works under way; what they had ready is yielded before it goes on.

    works   : taken from by one thread at a time; what is done with one of them runs in one thread.
    stopped : set when the results are not wanted any more (an interrupt, a generator that is closed); a work should end then.
    begun   : the first work goes alone until it sets this or ends, for a second at the most: what is wrong for all of them,
              such as a refused key, is then met once.
    """
    if at_once <= 1:
        for work in works:
            yield from work
        return
    crew = _Crew(works, stopped)
    threads = [Thread(target=crew.work, args=(at_once,), name=f"slices-{number}") for number in range(at_once)]
    try:
        try:
            threads[0].start()
            if begun is not None:
                crew.wait_for(begun)
            for thread in threads[1:]:
                thread.start()
            yield from crew.results()
        except GeneratorExit:
            raise
        except BaseException:  # an interrupt, ctrl-C or Dagster's: errors of works are raised below
            _end(threads, stopped)
            yield from crew.ready()
            raise
    finally:
        _end(threads, stopped)
    if crew.errors:
        raise _first(crew.errors)


def _end(threads: Sequence[Thread], stopped: Event) -> None:
    """Have the threads stop, and wait until they did."""
    stopped.set()
    until = monotonic() + _PATIENCE
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, until - monotonic()))


@dataclass
class _Work(Generic[T]):
    """One work: results that wait to be taken, and how it ended."""

    results: deque[T] = field(default_factory=deque)
    ended: bool = False
    error: BaseException | None = None


class _Crew(Generic[T]):
    """The threads' common desk."""

    def __init__(self, works: Iterable[Iterable[T]], stopped: Event) -> None:
        self._coming = iter(works)
        self._stopped = stopped
        self._handing_out = Lock()
        self._changed = Condition()
        self._works: list[_Work[T]] = []
        self._taken = 0
        self.errors: list[BaseException] = []
        self._over = False
        self._left = 0
        self._all_left = False

    def work(self, hands: int) -> None:
        """What each of `hands` threads does: one work after the other."""
        try:
            while (found := self._next()) is not None:
                self._do(*found)
        finally:
            with self._changed:
                self._left += 1
                self._all_left = self._left == hands
                self._changed.notify_all()

    def wait_for(self, begun: Event) -> None:
        """Wait until the first work set `begun`, has ended or has a result, or there is none; not for long."""
        until = monotonic() + _ALONE
        while not (begun.wait(_GLANCE) or self._over or self._left or monotonic() > until):
            with self._changed:
                if self._works and (self._works[0].ended or self._works[0].results):
                    return

    def results(self) -> Iterator[T]:
        """The results in order; `errors` has those of works that are behind."""
        while (work := self._place(self._taken)) is not None:
            while self._come(work):
                yield work.results.popleft()
            if work.error is not None:
                self.errors.append(work.error)
            self._taken += 1

    def ready(self) -> Iterator[T]:
        """The results that are there and were not taken yet, in order, without waiting."""
        for work in self._works[self._taken :]:
            while work.results:
                yield work.results.popleft()

    def _place(self, place: int) -> _Work[T] | None:
        """The work at that place once it was handed out; None when it never will be."""
        with self._changed:
            while len(self._works) <= place:
                if self._all_left:
                    return None
                self._changed.wait(_LOOK)
            return self._works[place]

    def _come(self, work: _Work[T]) -> bool:
        """Whether there is another result of the work, which is waited for."""
        with self._changed:
            while not work.results and not work.ended:
                self._changed.wait(_LOOK)
            return bool(work.results)

    def _next(self) -> tuple[_Work[T], Iterable[T]] | None:
        with self._handing_out:
            if self._over or self._stopped.is_set():
                return None
            work: _Work[T] = _Work()
            try:
                coming = next(self._coming, None)
            except BaseException as error:  # noqa: BLE001 - raised again where the results are taken
                coming, work.error, work.ended = None, error, True
            if coming is None:
                self._over = True
            with self._changed:
                if coming is not None or work.error is not None:
                    self._works.append(work)
                    self._changed.notify_all()
            return None if coming is None else (work, coming)

    def _do(self, work: _Work[T], coming: Iterable[T]) -> None:
        error: BaseException | None = None
        try:
            for result in coming:
                with self._changed:
                    work.results.append(result)
                    self._changed.notify_all()
                if self._stopped.is_set():
                    break
        except BaseException as failed:  # noqa: BLE001 - raised again where the results are taken
            error = failed
        with self._changed:
            self._over = self._over or error is not None
            work.error, work.ended = error, True
            self._changed.notify_all()


def _first(errors: Sequence[BaseException]) -> BaseException:
    """The first one, which tells of the others."""
    first = errors[0]
    others = [error for error in errors[1:] if isinstance(error, IntegrationError)]
    if isinstance(first, IntegrationError) and others:
        told = "; ".join(error.what.rstrip(".") for error in others)
        first.what = f"{first.what.rstrip('.')}. What was done beside it failed as well: {told}"
    return first
