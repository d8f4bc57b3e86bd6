"""Whole columns at once: text to types, and Arrow's own reading of JSON to the contract's types.

Each function gives None where a value needs a closer look; `values` then decides, so both agree on what is accepted.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.extract.plan import ABSENT
from integration_assets.extract.values import INTEGER, NUMBER, Mismatch, converter

_UTC = pa.timestamp("us", "UTC")
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
_TOO_FINE = r"(\.\d{6})\d{1,3}"
_EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000}


def text_column(values: list[Any], type_: pa.DataType, format_: str | None) -> pa.Array | None:
    """Texts (None and `ABSENT` are null) as `type_`; None when some value needs a closer look."""
    if any(value is not None and value is not ABSENT and not isinstance(value, str) for value in values):
        return None
    texts = pa.array([None if value is ABSENT else value for value in values], pa.string())
    if format_ == "json":
        return None
    if pa.types.is_string(type_):
        return texts
    if pa.types.is_integer(type_):
        return _matching(texts, INTEGER, type_)
    if pa.types.is_float64(type_):
        numbers = _matching(texts, NUMBER, type_)
        return numbers if numbers is None or _finite(numbers) else None
    return from_strings(texts, type_, format_) if pa.types.is_timestamp(type_) or pa.types.is_date32(type_) else None


def _matching(texts: pa.Array, pattern: str, type_: pa.DataType) -> pa.Array | None:
    if pc.all(pc.match_substring_regex(texts, pattern)).as_py() is False:
        return None
    try:
        return pc.utf8_ltrim(texts, "+").cast(type_)
    except pa.ArrowInvalid:
        return None


def _finite(numbers: pa.Array) -> bool:
    return pc.all(pc.is_finite(numbers)).as_py() is not False


def from_strings(texts: pa.Array, type_: pa.DataType, format_: str | None) -> pa.Array | None:
    """Timestamps and dates from strings; None when some value needs a closer look."""
    if format_ in _EPOCHS:
        return None
    if pa.types.is_timestamp(type_) and format_ in {None, "iso8601"}:
        return _moments(texts, type_)
    return _by_value(texts, type_, format_)


def _moments(texts: pa.Array, type_: pa.DataType) -> pa.Array | None:
    for trimmed in (False, True):
        written = pc.replace_substring_regex(texts, _TOO_FINE, r"\1") if trimmed else texts
        for read_as in (_UTC, pa.timestamp("us")):
            try:
                moments = written.cast(read_as).cast(_UTC)
            except pa.ArrowInvalid:
                continue
            return _in_range(moments, type_)
    return None


def _in_range(moments: pa.Array, type_: pa.DataType) -> pa.Array | None:
    """The moments in the contract's own unit, if all lie in the years 1 to 9999 and none loses a digit."""
    span = pc.min_max(moments.cast(pa.int64()))
    low, high = span["min"].as_py(), span["max"].as_py()
    if low is not None and (low < _FIRST or high > _LAST):
        return None
    try:
        return moments if moments.type == type_ else moments.cast(type_)
    except pa.ArrowInvalid:
        return None


def _by_value(texts: pa.Array, type_: pa.DataType, format_: str | None) -> pa.Array | None:
    """Each different text once, by the same function that decides about single values."""
    convert = converter(type_, format_, text=False)
    coded = texts.dictionary_encode()
    try:
        known = [convert(text) for text in coded.dictionary.to_pylist()]
    except Mismatch:
        return None
    made = pa.array(known, _UTC).cast(type_) if pa.types.is_timestamp(type_) else pa.array(known, type_)
    return made.take(coded.indices)


def read_type(type_: pa.DataType, format_: str | None) -> pa.DataType | None:  # noqa: PLR0911 - one per type
    """As what Arrow's JSON reader shall read a value of this type, so that nothing is guessed; None where it cannot."""
    if format_ == "json":
        return None
    if pa.types.is_string(type_) or pa.types.is_boolean(type_):
        return type_
    if pa.types.is_integer(type_) or format_ in _EPOCHS:
        return pa.int64()
    if pa.types.is_float64(type_):
        return type_
    if pa.types.is_timestamp(type_) or pa.types.is_date32(type_):
        return pa.string()
    if pa.types.is_struct(type_):
        fields = [(type_.field(i).name, read_type(type_.field(i).type, None)) for i in range(type_.num_fields)]
        return None if any(below is None for _, below in fields) else pa.struct(fields)
    if pa.types.is_list(type_):
        below = read_type(type_.value_type, None)
        return None if below is None else pa.list_(below)
    return None


def fit(array: pa.Array, type_: pa.DataType, format_: str | None) -> pa.Array | None:  # noqa: PLR0911 - one per type
    """An array as Arrow read it, in the contract's type; None when some value needs a closer look."""
    if pa.types.is_timestamp(type_) and format_ in _EPOCHS:
        try:
            return _in_range(pc.multiply_checked(array, _EPOCHS[str(format_)]).cast(_UTC), type_)
        except pa.ArrowInvalid:
            return None
    if pa.types.is_timestamp(type_) or pa.types.is_date32(type_):
        return from_strings(array, type_, format_)
    if pa.types.is_decimal(type_):
        return _by_value(array, type_, None)
    if pa.types.is_struct(type_):
        return _fit_struct(array, type_)
    if pa.types.is_list(type_):
        below = fit(array.values, type_.value_type, None)
        if below is None:
            return None
        return pa.ListArray.from_arrays(array.offsets, below, type=type_, mask=array.is_null() if array.null_count else None)
    try:
        fitted = array if array.type == type_ else array.cast(type_)
    except pa.ArrowInvalid:
        return None
    # Of a number with more digits than a float has room for, Arrow's reader makes infinity.
    return None if pa.types.is_floating(type_) and not _finite(fitted) else fitted


def _fit_struct(array: pa.Array, type_: pa.DataType) -> pa.Array | None:
    fields = [type_.field(i) for i in range(type_.num_fields)]
    children = [fit(pc.struct_field(array, [below.name]), below.type, None) for below in fields]
    if any(child is None for child in children):
        return None
    return pa.StructArray.from_arrays(children, fields=fields, mask=array.is_null())
