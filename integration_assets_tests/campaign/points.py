"""Where a run is struck. Python's own tracing tells it; the code under test has no hook and knows of nothing.

A point is a moment at which one of our own lines is about to run, or one of our functions has returned. A dry run writes down
all of them in order, and sees which were followed by a change on the disks of lake, quarantine, warehouse or limits before the
next one came: those are the commit points, found by what they do and not by their names.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import integration_assets
from integration_assets_tests.campaign import disk

_OURS = str(Path(integration_assets.__file__).parent) + os.sep
_MOMENTS = {"line": "", "return": "return from "}
_TOUCHING = ("land/", "extract/limits/")
"""Only here are disks touched, as the import contracts hold; elsewhere a dry run need not look."""


@dataclass(frozen=True)
class Point:
    """The `nth` time, counted from 1, that a run comes to `name`: `land/store.py:124 Store.delete`."""

    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.name} #{self.nth}"


@dataclass(frozen=True)
class Orders:
    """What happens to a child. `trace`: write its points to this file, having watched `roots`; else kill it there.

    point : kill just before this.
    late  : kill just after it, at whatever point comes next, instead.
    steps : kill at the point of this number, whatever it is.
    disk  : what happens at the `change`th change that any library makes to a disk: `kill`, `tear` (half of it is written, then
            the run is killed), `full` (no space from then on), `broken` (one input/output error); `count` only counts.
    ahead : by how many seconds the run's wall clock is wrong.
    Both need a server that was started with `disk.build`'s library.
    """

    trace: str | None = None
    roots: tuple[str, ...] = ()
    point: Point | None = None
    late: bool = False
    steps: int | None = None
    disk: str | None = None
    change: int = 0
    ahead: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As it goes to the child."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Orders:
        """The inverse."""
        point = body["point"]
        return cls(**{**body, "roots": tuple(body["roots"]), "point": Point(**point) if point else None})

    def __str__(self) -> str:
        if self.disk or self.ahead:
            return f"{self.disk} at change {self.change}, clock {self.ahead:+} s"
        return f"{'after' if self.late else 'before'} {self.point}" if self.point else f"point {self.steps}"


@dataclass(frozen=True)
class Trace:
    """A run as it was seen: all of its points in order, and those of them at which a disk was changed."""

    points: tuple[Point, ...]
    commits: tuple[Point, ...]

    @classmethod
    def read(cls, path: Path) -> Trace:
        """What a traced child wrote."""
        body = json.loads(path.read_text())
        return cls(*(tuple(Point(*one) for one in body[name]) for name in ("points", "commits")))

    def deeds(self) -> list[Orders]:
        """A kill before each commit point and one after the last: after one is before the next."""
        return [*(Orders(point=point) for point in self.commits), Orders(point=self.commits[-1], late=True)]


def obey(orders: Orders) -> Callable[[], None]:
    """Watch this thread from now on as ordered; what is returned ends the watch and writes the trace."""
    if orders.trace:
        return _trace(Path(orders.trace), orders.roots)
    if orders.point:
        _watch(_at(orders.point, late=orders.late))
    elif orders.steps:
        _watch(_after(orders.steps))
    if orders.disk or orders.ahead:
        disk.arm(orders.disk, orders.change, orders.ahead)
    return lambda: None


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(visit: Callable[[str], None]) -> None:
    """Call `visit` at each point of this thread, with its name."""

    def inside(frame: FrameType, event: str, _: Any) -> Any:  # noqa: ANN401 - as Python's tracing has it
        if event in _MOMENTS:
            code = frame.f_code
            where = code.co_filename.removeprefix(_OURS)
            visit(f"{_MOMENTS[event]}{where}:{frame.f_lineno} {code.co_qualname}")
        return inside

    def enter(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ANN401 - as Python's tracing has it
        return inside(frame, event, argument) if frame.f_code.co_filename.startswith(_OURS) else None

    sys.settrace(enter)


def _at(point: Point, *, late: bool) -> Callable[[str], None]:
    seen = 0

    def visit(name: str) -> None:
        nonlocal seen
        if seen == point.nth:
            _die()
        seen += name == point.name
        if seen == point.nth and not late:
            _die()

    return visit


def _after(steps: int) -> Callable[[str], None]:
    left = steps

    def visit(_: str) -> None:
        nonlocal left
        left -= 1
        if not left:
            _die()

    return visit


def _trace(path: Path, roots: Sequence[str]) -> Callable[[], None]:
    seen: Counter[str] = Counter()
    points: list[tuple[str, int]] = []
    commits: dict[tuple[str, int], None] = {}
    before, touched = list(_disk(roots)), False

    def visit(name: str) -> None:
        nonlocal before, touched
        if touched or name == "end":
            now = list(_disk(roots))
            if now != before and points:
                commits[points[-1]] = None
            before = now
        touched = name.removeprefix("return from ").startswith(_TOUCHING)
        seen[name] += 1
        points.append((name, seen[name]))

    def end() -> None:
        sys.settrace(None)
        visit("end")
        path.write_text(json.dumps({"points": points, "commits": list(commits)}))

    _watch(visit)
    return end


def _disk(roots: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Every file under the roots with its size and the time it was changed."""
    folders = list(roots)
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                for one in found:
                    if one.is_dir(follow_symlinks=False):
                        folders.append(one.path)
                        continue
                    state = one.stat(follow_symlinks=False)
                    yield one.path, state.st_size, state.st_mtime_ns
        except FileNotFoundError:
            continue  # deleted since it was listed
