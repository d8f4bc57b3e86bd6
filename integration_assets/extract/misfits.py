"""Finds the few records of a page that do not fit, so that all others can still be read at once.

Every record is decoded by msgspec into an object with the contract's fields, which refuses what is of another kind and costs
a tenth of the strict way; what has to be understood beyond that, such as a moment, is tried column by column. A record named
here by mistake is only read the slower way; one that is missed sends the whole page there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from integration_assets.extract.columns import from_strings, read_type
from integration_assets.extract.plan import Plan, Planned
from integration_assets.extract.values import Mismatch
from integration_assets.spec.records import MOST_REJECTS

_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


@dataclass
class _Fields:
    """Fields of an object: of columns, and of objects that hold columns."""

    leaves: dict[str, Any] = field(default_factory=dict)
    below: dict[str, _Fields] = field(default_factory=dict)


class Misfits:
    """What finds them; made once a stream."""

    def __init__(self, plan: Plan) -> None:
        root = _Fields()
        self._spoken: list[tuple[Planned, list[str]]] = []
        for column in plan.columns:
            if not all(isinstance(part, str) for part in column.path):
                continue
            fields = root
            for part in column.path[:-1]:
                fields = fields.below.setdefault(str(part), _Fields())
            kind = _kind(column.type, column.format)
            fields.leaves[str(column.path[-1])] = kind
            if kind is str and not pa.types.is_string(column.type):
                self._spoken.append((column, [_name(str(part)) for part in column.path]))
        self._decoder = msgspec.json.Decoder(_object(root))

    def among(self, records: Sequence[Any]) -> list[int]:
        """The positions of records that may not fit, ascending; only the first of more than may be rejected."""
        found: set[int] = set()
        decoded: list[Any] = []
        for position, record in enumerate(records):
            try:
                decoded.append(self._decoder.decode(record))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
                decoded.append(None)
                found.add(position)
                if len(found) > MOST_REJECTS:
                    return sorted(found)
        for column, names in self._spoken:
            texts = [_look(record, names) for record in decoded]
            if from_strings(pa.array(texts, pa.string()), column.type, column.format) is None:
                found.update(position for position, text in enumerate(texts) if not _fits(column, text))
        return sorted(found)


def _fits(column: Planned, text: str | None) -> bool:
    try:
        column.convert(text)
    except Mismatch:
        return False
    return True


def _look(record: Any, names: Sequence[str]) -> Any:  # noqa: ANN401 - a decoded object
    for name in names:
        if record is None:
            return None
        record = getattr(record, name)
    return record


def _name(name: str) -> str:
    """A field's name as Python takes any."""
    return "f_" + name.encode().hex()


def _object(fields: _Fields) -> Any:  # noqa: ANN401 - a type made here
    """The type of an object with these fields, each of which may be absent or null. A field that is two things is anything."""
    kinds = {name: _object(below) for name, below in fields.below.items()} | fields.leaves
    both = fields.below.keys() & fields.leaves.keys()
    made = [(_name(name), Any if name in both else kind | None, None) for name, kind in kinds.items()]
    return msgspec.defstruct("Fields", made, rename={_name(name): name for name in kinds})


def _kind(type_: pa.DataType, format_: str | None) -> Any:  # noqa: ANN401, PLR0911 - a type, and one for each
    """What msgspec shall see a value as."""
    read = read_type(type_, format_)
    if read is None:
        return Any
    if pa.types.is_string(read):
        return str
    if pa.types.is_boolean(read):
        return bool
    if pa.types.is_integer(read):
        return _INT64
    if pa.types.is_floating(read):
        return float
    if pa.types.is_list(read):
        return list[_kind(type_.value_type, None) | None]  # type: ignore[misc] # a type made here
    if pa.types.is_struct(read):
        fields = [type_.field(position) for position in range(type_.num_fields)]
        return _object(_Fields({below.name: _kind(below.type, None) for below in fields}))
    return Any
