"""One value to one Arrow type, strictly: what does not fit is a `Mismatch`, never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import pyarrow as pa

from integration_assets.errors import SpecError

Convert = Callable[[Any], Any]

INTEGER = r"^[+-]?[0-9]+$"
NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INTEGER, _NUMBER = re.compile(INTEGER[:-1] + r"\Z"), re.compile(NUMBER[:-1] + r"\Z")
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 20
"""The power of ten beyond which no number is a moment; one like 1e900000 would take half a minute to become an integer."""
TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_MICROS = {"epoch_s": 1_000_000, "epoch_ms": 1_000}
_SHOWN = 60
_JSON = msgspec.json.Encoder(decimal_format="number")


def _exact(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number beyond all bounds") from None


RECORD = msgspec.json.Decoder(float_hook=_exact)
"""Reads a JSON value with its fractions as exact Decimals; one whose exponent has twenty digits is no JSON to it."""


class Mismatch(ValueError):  # noqa: N818 - it rejects a value, it is no failure
    """A value that does not fit. `path` leads to it from the column's own value: `.seats`, `[2]`."""

    def __init__(self, expected: str, value: Any, path: str = "") -> None:  # noqa: ANN401 - any JSON value
        super().__init__(expected)
        self.expected = expected
        self.value = value
        self.path = path

    @property
    def got(self) -> str:
        """The kind of value that was there instead, for counting."""
        return kind(self.value)

    @property
    def shown(self) -> str:
        """The value itself, shortened."""
        text = compact(self.value)
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def kind(value: Any) -> str:  # noqa: ANN401, PLR0911 - any JSON value
    """JSON's name for what a value is."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case Decimal() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def compact(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """The value as JSON text without spaces."""
    return _JSON.encode(value).decode()


def converter(type_: pa.DataType, format_: str | None, *, text: bool, flat: bool = False) -> Convert:
    """The function that makes a JSON value (`text`: a CSV cell or an XML text) a Python value of `type_`.

    The function raises `Mismatch`; None is passed through. Raises `SpecError` for a type that cannot be read, a nested
    one among them where values are `flat`.
    """
    if flat and pa.types.is_nested(type_):
        raise SpecError(f"a CSV cell cannot be read as {type_}", remedy="Use the format json in a String column.")
    inner = _converter(type_, format_, text=text)
    return lambda value: None if value is None else inner(value)


def _converter(type_: pa.DataType, format_: str | None, *, text: bool) -> Convert:  # noqa: C901, PLR0911 - one per type
    if format_ == "json":
        return _json_text if text else compact
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return _string
    if pa.types.is_boolean(type_):
        return _text_boolean if text else _boolean
    if pa.types.is_integer(type_):
        return _integer(type_, text=text)
    if pa.types.is_float32(type_) or pa.types.is_float64(type_):
        return _float(type_, text=text)
    if pa.types.is_decimal(type_):
        return _decimal(type_)
    if pa.types.is_timestamp(type_):
        return _timestamp(type_, format_, text=text)
    if pa.types.is_date32(type_) and format_ not in _MICROS:
        return _date(format_)
    if pa.types.is_struct(type_):
        return _struct(type_, text=text)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _list(type_, text=text)
    raise SpecError(
        f"a value cannot be read as {type_}{f' from {format_}' if format_ else ''}",
        field="contract",
        remedy="Use string, integers, floats, bool, decimal, date32, timestamp, list or struct.",
    )


def _string(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, str):
        return value
    raise Mismatch("string", value)


def _boolean(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, bool):
        return value
    raise Mismatch("bool", value)


def _text_boolean(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, str) and value.lower() in TRUTHS:
        return TRUTHS[value.lower()]
    raise Mismatch("bool", value)


def _integer(type_: pa.DataType, *, text: bool) -> Convert:
    signed = pa.types.is_signed_integer(type_)
    low = -(2 ** (type_.bit_width - 1)) if signed else 0
    high = 2 ** (type_.bit_width - signed) - 1

    def convert(value: Any) -> int:  # noqa: ANN401
        number = value
        # A longer text is out of range, and Python refuses to parse a very long one.
        if text and isinstance(value, str) and len(value) < _SHOWN and _INTEGER.match(value):
            number = int(value)
        if isinstance(number, int) and not isinstance(number, bool) and low <= number <= high:
            return number
        raise Mismatch(str(type_), value)

    return convert


def _float(type_: pa.DataType, *, text: bool) -> Convert:
    high = 3.4028235677973366e38 if pa.types.is_float32(type_) else float("inf")  # float32 rounds to infinity from here

    def convert(value: Any) -> float:  # noqa: ANN401
        if (isinstance(value, int | Decimal) and not isinstance(value, bool)) or (
            text and isinstance(value, str) and _NUMBER.match(value)
        ):
            try:
                number = float(value)
            except OverflowError:
                raise Mismatch(str(type_), value) from None
            if -high < number < high:
                return number
        raise Mismatch(str(type_), value)

    return convert


def _decimal(type_: pa.DataType) -> Convert:
    unit = Decimal(1).scaleb(-type_.scale)
    limit = Decimal(1).scaleb(type_.precision - type_.scale)

    def convert(value: Any) -> Decimal:  # noqa: ANN401
        if isinstance(value, bool) or not (isinstance(value, int | Decimal) or (isinstance(value, str) and _NUMBER.match(value))):
            raise Mismatch(str(type_), value)
        try:
            exact = Decimal(value)
            fitted = exact.quantize(unit)
        except InvalidOperation:
            raise Mismatch(str(type_), value) from None
        if fitted != exact or abs(fitted) >= limit:
            raise Mismatch(str(type_), value)
        return fitted

    return convert


def _timestamp(type_: pa.DataType, format_: str | None, *, text: bool) -> Convert:
    finest = {"s": 1_000_000, "ms": 1_000}.get(type_.unit, 1)
    narrow = type_.unit == "ns"
    expected = str(type_) if format_ in {None, "iso8601"} else f"{type_} as {format_}"

    def convert(value: Any) -> datetime:  # noqa: ANN401
        moment = _epoch(value, _MICROS[str(format_)], text=text) if format_ in _MICROS else _written(value, format_)
        outside = moment is None or moment.microsecond % finest or (narrow and not 1678 <= moment.year <= 2261)  # noqa: PLR2004
        if moment is None or outside:
            raise Mismatch(expected, value)
        return moment

    return convert


def _epoch(value: Any, unit: int, *, text: bool) -> datetime | None:  # noqa: ANN401
    try:
        if text and isinstance(value, str) and _NUMBER.match(value):
            value = Decimal(value)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return None
        if isinstance(value, Decimal) and value.adjusted() > _LARGEST:
            return None
        return _EPOCH + timedelta(microseconds=int(value * unit))
    except ArithmeticError:
        return None


def _written(value: Any, format_: str | None) -> datetime | None:  # noqa: ANN401
    if not isinstance(value, str):
        return None
    if format_ in {None, "iso8601"}:
        return parse_moment(value)
    try:
        moment = datetime.strptime(value, str(format_))  # noqa: DTZ007 - a naive one is UTC, below
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def parse_moment(text: str) -> datetime | None:
    """ISO 8601 text as UTC: a date, or date and time; without a zone it is UTC; digits past the microsecond are cut."""
    found = _MOMENT.fullmatch(text)
    if not found:
        return None
    day, hour, minute, second, fraction, zone = found.groups()
    zone = "+00:00" if zone in {None, "Z"} else zone
    clock = f"{hour or '00'}:{minute or '00'}:{second or '00'}.{(fraction or '')[:6]:0<6}"
    try:
        return datetime.fromisoformat(f"{day}T{clock}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _date(format_: str | None) -> Convert:
    def convert(value: Any) -> date:  # noqa: ANN401
        try:
            if isinstance(value, str) and format_ in {None, "iso8601"} and _DAY.fullmatch(value):
                return date.fromisoformat(value)
            if isinstance(value, str) and format_ not in {None, "iso8601"}:
                return datetime.strptime(value, str(format_)).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            pass  # not a day: said below
        raise Mismatch("date" if format_ in {None, "iso8601"} else f"date as {format_}", value)

    return convert


def _json_text(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        return compact(value)
    try:
        return compact(RECORD.decode(value))
    except (msgspec.DecodeError, RecursionError):
        raise Mismatch("JSON text", value) from None


def _struct(type_: pa.DataType, *, text: bool) -> Convert:
    fields = {type_.field(i).name: converter(type_.field(i).type, None, text=text) for i in range(type_.num_fields)}

    def convert(value: Any) -> dict[str, Any]:  # noqa: ANN401
        if not isinstance(value, Mapping):
            raise Mismatch("object", value)
        return {name: _below(f".{name}", inner, value.get(name)) for name, inner in fields.items()}

    return convert


def _list(type_: pa.DataType, *, text: bool) -> Convert:
    inner = converter(type_.value_type, None, text=text)

    def convert(value: Any) -> list[Any]:  # noqa: ANN401
        if text and not isinstance(value, list):
            value = [value]  # an XML element that is there once
        if not isinstance(value, list):
            raise Mismatch("array", value)
        return [_below(f"[{position}]", inner, item) for position, item in enumerate(value)]

    return convert


def _below(step: str, convert: Convert, value: Any) -> Any:  # noqa: ANN401
    try:
        return convert(value)
    except Mismatch as mismatch:
        raise Mismatch(mismatch.expected, mismatch.value, step + mismatch.path) from None
