"""Children that an API gives only parent by parent, such as `/orders/{order_id}/items`.

A child's axis is its parent's: a slice of it asks for the children of each parent whose newest version lies in that slice of
the parent's lake table. A parent that changes has its children pulled again, and the child's watermark follows the parent's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import Field

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec

if TYPE_CHECKING:
    from integration_assets.spec.contract_data import Column, Contract
    from integration_assets.spec.cursor import CursorValue, Slice
    from integration_assets.spec.source import Source, Stream

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_STEPS = {"", ".", ".."}


class Parent(Spec):
    """The stream that is read first, and whose records are asked for their children one by one.

    stream  : its name, in the same source.
    keys    : placeholder to the parent's column: `{order_id}` in the child's path or params becomes its value. A parent without
              that value is not asked.
    columns : the child's column to the parent's column that each of its rows gets; the parent's key and cursor are among them.
    gone_threshold : the share of a slice's parents that may be gone (404 or 410) before the slice is refused whole, since the
              path may be wrong; ten are always tolerated.
    """

    stream: str
    keys: Mapping[str, str] = Field(min_length=1)
    columns: Mapping[str, str] = Field(min_length=1)
    gone_threshold: float = Field(default=0.5, ge=0, le=1)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The parent's columns that are read, each once."""
        return tuple(dict.fromkeys([*self.keys.values(), *self.columns.values()]))


def for_parent(stream: Stream, values: Mapping[str, str | int]) -> Stream | None:
    """The stream as one parent is asked for it, `values` by placeholder; None where a value cannot stand in the path."""
    in_path = set(_PLACEHOLDER.findall(stream.path))
    if any(str(values[name]) in _STEPS for name in in_path):
        return None

    # In one pass: a value may look like a placeholder itself.
    def named(text: str) -> str:
        return _PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), text)

    path = _PLACEHOLDER.sub(lambda found: quote(str(values[found[1]]), safe=""), stream.path)
    params = {name: named(value) if isinstance(value, str) else value for name, value in stream.params.items()}
    return stream.model_copy(update={"path": path, "params": params})


def owner_columns(stream: Stream) -> tuple[str, ...]:
    """The columns by which a child's row says whose it is; none for a stream without a parent."""
    parent, cursor = stream.parent, stream.cursor
    if parent is None:
        return ()
    named = tuple(name for name in parent.columns if name in stream.key)
    return named or tuple(name for name in parent.columns if cursor is None or name != cursor.field)


def parents_first(streams: Iterable[Stream]) -> tuple[Stream, ...]:
    """The streams in their order, but each behind its parent if that is among them."""
    waiting = {stream.name: stream for stream in streams}
    placed: list[Stream] = []

    def put(stream: Stream) -> None:
        if waiting.pop(stream.name, None) is not None:
            if stream.parent and stream.parent.stream in waiting:
                put(waiting[stream.parent.stream])
            placed.append(stream)

    for stream in list(waiting.values()):
        put(stream)
    return tuple(placed)


def ancestors(source: Source, stream: Stream) -> tuple[Stream, ...]:
    """The stream's parent, its parent's and so on, the nearest first."""
    found: list[Stream] = []
    while stream.parent:
        stream = source.stream(stream.parent.stream)
        found.append(stream)
    return tuple(found)


def reach(finished: Iterable[Slice], start: CursorValue | None) -> CursorValue | None:
    """The end of the finished range that holds `start`, or that has no beginning where `start` is None; None where none does."""
    for done in finished:
        begins = done.start is None or (start is not None and not start < done.start)  # type: ignore[operator]
        if begins and (start is None or done.end is None or start < done.end):  # type: ignore[operator]
            return done.end
    return None


def check_parent_stream(stream: Stream) -> None:
    """What a child is by itself: it has its parent's axis, and names what it is asked by. Raises `SpecError`."""
    parent, cursor = stream.parent, stream.cursor
    if parent is None:
        return
    if cursor is None:
        raise _wrong(stream, "cursor", "children are pulled along their parent's cursor", "Name the column that holds it.")
    if cursor.start_param or cursor.end_param:
        remedy = "Drop start_param and end_param; what has a range of its own in each of several accounts has tenants instead."
        raise _wrong(stream, "cursor", "the API is asked for a parent's children and not for a range", remedy)
    if cursor.kind == "integer" and cursor.step:
        raise _wrong(stream, "cursor.step", "steps by number would leave gaps at their ends", "Pull such children in one slice.")
    if cursor.field not in parent.columns:
        what = f"the cursor {cursor.field!r} is not copied from the parent"
        raise _wrong(stream, "parent.columns", what, f"Write {cursor.field!r}: <the parent's cursor field>.")
    for setting, given in (("tenants", stream.tenants), ("files", stream.files)):
        if given is not None:
            raise _wrong(stream, setting, f"a stream with a parent has no {setting}", "Leave one of them out.")
    for setting, one in (("probe", stream.probe), ("sweep", stream.sweep)):
        if one is not None and not one.path:
            raise _wrong(stream, f"{setting}.path", "there is no one address for all parents", "Name one, or leave it out.")
    _check_placeholders(stream, parent)


def _check_placeholders(stream: Stream, parent: Parent) -> None:
    asked = [stream.path, *map(str, stream.params.values())]
    named = {name for text in asked for name in _PLACEHOLDER.findall(text)}
    for name in parent.keys:
        if name not in named:
            what = f"nothing that the API is asked names {{{name}}}"
            raise _wrong(stream, "parent.keys", what, f"Write {{{name}}} into path or params.")
    for name in _PLACEHOLDER.findall(stream.path):
        if name not in parent.keys:
            remedy = f"Say in parent.keys which column {{{name}}} is."
            raise _wrong(stream, "path", f"{{{name}}} is none of the parent's keys", remedy)


def check_parents(source: Source) -> None:
    """Each child has a parent in the source whose axis it follows. Raises `SpecError`."""
    names = [stream.name for stream in source.streams]
    for stream in source.streams:
        if stream.parent is None:
            continue
        if stream.parent.stream not in names:
            what, remedy = f"there is no stream {stream.parent.stream!r}", f"The streams are: {', '.join(names)}."
            raise _wrong(stream, "parent.stream", what, remedy).at(source.name)
        try:
            _check_cycle(source, stream)
            _check_pair(stream, stream.parent, source.stream(stream.parent.stream))
        except SpecError as error:
            raise error.at(source.name) from None
        if source.events and stream.name in source.events.wanted:
            raise _wrong(
                stream, "events.streams", "an event tells of a record and not of its parent", f"Name {stream.parent.stream}."
            ).at(source.name)


def _check_cycle(source: Source, stream: Stream) -> None:
    seen, at = [stream.name], stream
    while at.parent and at.parent.stream in {one.name for one in source.streams}:
        at = source.stream(at.parent.stream)
        if at.name in seen:
            what = f"{' is a child of '.join([*seen, at.name])}: none of them could be pulled first"
            raise _wrong(stream, "parent.stream", what, "Name a stream that has no such parent.")
        seen.append(at.name)


def _check_pair(stream: Stream, parent: Parent, above: Stream) -> None:
    """What child and parent must have in common."""
    mine, theirs = stream.cursor, above.cursor
    assert mine is not None  # noqa: S101 - see check_parent_stream
    if theirs is None:
        raise _wrong(
            stream,
            "parent.stream",
            f"{above.name} has no cursor, so that nothing says which of its records are new",
            "Give it one; or describe this stream with tenants, which a listing names: each is then asked in every sync.",
        )
    if above.tenants:
        raise _wrong(stream, "parent.stream", f"{above.name} has tenants", "A stream of tenants has no children yet.")
    if mine.kind != theirs.kind or parent.columns[mine.field] != theirs.field:
        what = f"the cursor {mine.field!r} is not the parent's {theirs.kind} cursor {theirs.field!r}"
        raise _wrong(stream, "cursor.field", what, f"Copy {theirs.field!r} and name it, with kind={theirs.kind!r}.")
    if _less(mine.lookback, theirs.lookback):
        what = f"its lookback is shorter than that of {above.name}: children of a parent that came late would be passed over"
        raise _wrong(stream, "cursor.lookback", what, "Make it as long.")
    if stream.partitions is not None and stream.partitions != above.partitions:
        what = f"its partitions are not those of {above.name}"
        raise _wrong(stream, "partitions", what, "Give it the same, or none.")
    copied = {theirs_: name for name, theirs_ in parent.columns.items()}
    identity = above.key or tuple(parent.keys.values())
    for name in identity:
        if name not in copied:
            what = f"the parent's {name!r} is not copied, so that a row would not say whose it is"
            raise _wrong(stream, "parent.columns", what, f"Write <a column of the child>: {name!r}.")
    lacking = [copied[name] for name in identity if copied[name] not in stream.key]
    if stream.key and lacking:
        raise _wrong(
            stream,
            "key",
            f"the key ({', '.join(stream.key)}) lacks the parent's, so that two parents' records of one key would overwrite"
            " each other",
            f"Write key=({', '.join(repr(name) for name in (*lacking, *stream.key))}).",
        )


def _less(a: timedelta | int, b: timedelta | int) -> bool:
    """Both are lookbacks of one kind of cursor; that of an integer may be a timedelta of nothing."""
    return (a or 0) != (b or 0) and bool(b) and (not a or a < b)  # type: ignore[operator]


def check_parent_columns(source: Source, stream: Stream, contract: Contract) -> None:
    """The columns are there on both sides, of one type, and may be sent and copied. Raises `SpecError`."""
    parent = stream.parent
    if parent is None:
        return
    from integration_assets.spec.contract_loading import load_contract

    above = load_contract(source.stream(parent.stream).contract)
    theirs, mine = {column.name: column for column in above.columns}, {column.name: column for column in contract.columns}
    for setting, given in (("parent.keys", parent.keys), ("parent.columns", parent.columns)):
        for name in given.values():
            _there(stream, setting, name, above.name, list(theirs))
    for name, own in parent.keys.items():
        _check_asked(stream, name, theirs[own])
    for name, own in parent.columns.items():
        _there(stream, "parent.columns", name, contract.name, list(mine))
        if mine[name].type != theirs[own].type:
            what = f"{name!r} has the type {mine[name].type}, the parent's {own!r} has {theirs[own].type}"
            raise _wrong(stream, "parent.columns", what, "Give both the same type.")
        if theirs[own].mask:
            what = f"the parent's {own!r} is masked, and the lake does not have it whole"
            raise _wrong(stream, "parent.columns", what, "Copy another column.")
        if theirs[own].pii and not (mine[name].pii or mine[name].mask):
            what = f"the parent's {own!r} is marked as personal, and {name!r} is not"
            raise _wrong(stream, "parent.columns", what, "Mark it with pii or mask as well.")


def _check_asked(stream: Stream, name: str, column: Column) -> None:
    """What a placeholder becomes can be sent."""
    import pyarrow as pa

    if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type)):
        what = f"{{{name}}} would be the parent's {column.name!r}, which has the type {column.type}"
        raise _wrong(stream, "parent.keys", what, "Name a String or an Int64.")
    if column.pii or column.mask:
        what = f"{{{name}}} would be the parent's {column.name!r}, which is personal: addresses are written down on their way"
        raise _wrong(stream, "parent.keys", what, "Ask by another column.")


def _there(stream: Stream, setting: str, name: str, contract: str, columns: Sequence[str]) -> None:
    if name not in columns:
        raise _wrong(stream, setting, f"{name!r} is no column of {contract}", f"Its columns are: {', '.join(columns)}.")


def _wrong(stream: Stream, field: str, what: str, remedy: str) -> SpecError:
    return SpecError(what, stream=stream.name, field=field, remedy=remedy)
