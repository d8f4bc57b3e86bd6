"""A stream's contract beside its candidate's: which columns are compared, and which keep one from the other's place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from integration_assets.errors import SpecError
from integration_assets.land.compare import Rules
from integration_assets.spec.candidate import Candidate, Tolerance
from integration_assets.spec.source import Stream

if TYPE_CHECKING:
    from integration_assets.spec.contract_data import Contract


@dataclass(frozen=True)
class Pairing:
    """The columns of two contracts beside each other.

    both    : those of one name and type.
    retyped : name and the two types of those of another type.
    dropped, added : those that only the one has, or only the other.
    masked  : those that are stored as null.
    """

    described: Candidate
    both: Mapping[str, pa.DataType]
    retyped: tuple[tuple[str, pa.DataType, pa.DataType], ...]
    dropped: tuple[str, ...]
    added: tuple[str, ...]
    masked: tuple[str, ...]

    @classmethod
    def of(cls, described: Candidate, stream: Stream, old: Contract, new: Contract) -> Pairing:
        """Raises `SpecError` for what cannot be compared, and for a tolerance that is none of its column's."""
        before, after = ({column.name: column for column in contract.columns} for contract in (old, new))
        types = {name: (column.type, after[name].type) for name, column in before.items() if name in after}
        both = {name: one for name, (one, other) in types.items() if one == other}
        for name in stream.key:
            if name not in both:
                raise _wrong("contract", f"the key's column {name!r} is of another type in the candidate's contract")
        for name in (*described.uncompared, *described.tolerances):
            if name not in before and name not in after:
                setting = "tolerances" if name in described.tolerances else "uncompared"
                raise _wrong(setting, f"{name!r} is no column of either contract")
        for name, allowed in described.tolerances.items():
            if name in both:
                _check(name, both[name], allowed, masked=bool(before[name].mask))
            if name in _identity(stream):
                raise _wrong(f"tolerances.{name}", f"versions of a record are found by {name!r} on both sides")
        masked = [name for name in both if before[name].mask or after[name].mask]
        for name in masked:
            if before[name].mask != after[name].mask:
                raise _wrong("contract", f"{name!r} is masked otherwise in the candidate's contract, so rows would differ")
        return cls(
            described,
            both,
            tuple((name, *pair) for name, pair in types.items() if name not in both),
            tuple(name for name in before if name not in after),
            tuple(name for name in after if name not in before),
            tuple(name for name in masked if before[name].mask == "redact"),
        )

    def rules(self, stream: Stream, examples: int) -> Rules:
        """How the rows are compared: a record by its key, and where each version of it is a row, by key and version."""
        key = _identity(stream)
        left_out = {*key, *self.described.uncompared}
        columns = {name: type_ for name, type_ in self.both.items() if name not in left_out}
        allowed = {name: one for name, one in self.described.tolerances.items() if name in columns}
        return Rules(key, stream.version_column if key else None, columns, allowed, examples)

    def against(self) -> Iterator[str]:
        """What keeps the table from taking the other contract's rows."""
        for name, old, new in self.retyped:
            yield f"{name} is {old} in one contract and {new} in the other: give the new type a new column name"
        for name in self.dropped:
            yield f"{name} is missing from the other contract, and the table has it: declare it there, nullable"

    def notes(self) -> Iterator[str]:
        """What can be told of the comparison itself."""
        if self.added:
            yield f"only in the other contract: {', '.join(self.added)}; to go back, declare it in this one too, nullable"
        if self.described.uncompared:
            yield f"not compared: {', '.join(self.described.uncompared)}"
        if self.masked:
            yield f"stored as null on both sides, so that nothing is told of it: {', '.join(self.masked)}"


def _identity(stream: Stream) -> tuple[str, ...]:
    """The columns by which a row is found on both sides; none where the stream has no key."""
    versioned = stream.key and stream.disposition in {"append", "history"} and stream.version_column
    return tuple(dict.fromkeys([*stream.key, *([stream.version_column] if versioned and stream.version_column else [])]))


def _check(name: str, type_: pa.DataType, allowed: Tolerance, *, masked: bool) -> None:
    timed = pa.types.is_timestamp(type_) or pa.types.is_date(type_)
    number = pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_)
    wrong = allowed.within and not timed, (allowed.absolute or allowed.relative) and not number
    if masked or any(wrong) or not (timed or number):
        what = "is stored masked" if masked else f"has the type {type_}"
        raise _wrong(f"tolerances.{name}", f"{name!r} {what}, to which this tolerance does not apply")


def _wrong(setting: str, what: str) -> SpecError:
    return SpecError(what, field=f"candidate.{setting}", remedy="Mend it where the candidate is described.")
