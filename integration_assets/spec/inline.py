"""A contract as plain data, for sources that are written as YAML: the same columns and checks as a pandera model's.

`spec.contract` makes the pandera model of it when data flows; nothing here imports pandas or pandera.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec
from integration_assets.spec.masks import check_marks
from integration_assets.spec.paths import check_format, parse_path
from integration_assets.spec.types import SIMPLE, WRITTEN, ColumnType, parse_type

Scalar = str | int | float | bool
Bound = int | float | str
ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")]
_TYPES: JsonDict = {"pattern": WRITTEN, "examples": [*SIMPLE, "decimal(18, 2)", "list<string>"]}
_TEXT = ("str_matches", "str_contains", "str_startswith", "str_endswith", "str_length")
_ORDER = ("gt", "ge", "lt", "le", "in_range")


class Range(Spec):
    """From one value to another.

    min_value   : the lowest allowed.
    max_value   : the highest allowed.
    include_min : whether the lowest itself is allowed.
    include_max : whether the highest itself is allowed.
    """

    min_value: Bound
    max_value: Bound
    include_min: bool = True
    include_max: bool = True


class Length(Spec):
    """How many characters a text has.

    min_value : the fewest.
    max_value : the most.
    """

    min_value: int | None = Field(default=None, ge=0)
    max_value: int | None = Field(default=None, ge=0)


class Checks(Spec):
    """What every value must be; pandera's own checks, by its names. Null is not looked at. Times are written as ISO 8601.

    eq             : equal to this.
    ne             : not equal to this.
    gt             : greater than this.
    ge             : greater than or equal to this.
    lt             : less than this.
    le             : less than or equal to this.
    in_range       : between two values.
    isin           : one of these.
    notin          : none of these.
    str_matches    : begins with a match of this regular expression.
    str_contains   : has a match of this regular expression in it.
    str_startswith : begins with this text.
    str_endswith   : ends with this text.
    str_length     : has so many characters.
    """

    eq: Scalar | None = None
    ne: Scalar | None = None
    gt: Bound | None = None
    ge: Bound | None = None
    lt: Bound | None = None
    le: Bound | None = None
    in_range: Range | None = None
    isin: tuple[Scalar, ...] | None = Field(default=None, min_length=1)
    notin: tuple[Scalar, ...] | None = Field(default=None, min_length=1)
    str_matches: str | None = None
    str_contains: str | None = None
    str_startswith: str | None = None
    str_endswith: str | None = None
    str_length: Length | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Checks:
        for name in ("str_matches", "str_contains"):
            try:
                re.compile(getattr(self, name) or "")
            except re.error as error:
                raise SpecError(
                    f"not a regular expression: {error}", field=f"checks.{name}", remedy="Mend the expression."
                ) from None
        return self

    def given(self) -> dict[str, object]:
        """Name and value of each check that is asked for, as pandera takes them."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: value.model_dump(exclude_none=True) if isinstance(value, Spec) else value
            for name, value in values.items()
            if value is not None
        }


class InlineColumn(Spec):
    """One column of a contract.

    type        : `string`, `int64`, `float64`, `boolean`, `date`, `timestamp`, `decimal(18, 2)`, `list<string>`,
                  `struct<city: string, since: date>`.
    path        : where the value is in a record: `properties.mag`, `geometry.coordinates[0]`, `@id` (XML attribute); the
                  column's own name when left out.
    format      : how a timestamp is written: `iso8601` (default), `epoch_s`, `epoch_ms` or a strftime pattern; `json` keeps
                  any value as its JSON text in a string.
    nullable    : whether the value may be absent or null. Absent and null are the same.
    pii         : the value is personal, and people see this of it: `redact`, `hash` or `partial`.
    mask        : lake and warehouse have this of the value: `hash` or `redact`.
    checks      : what every value must be.
    description : what the value means, for the warehouse and the catalogue.
    """

    type: str = Field(json_schema_extra=_TYPES)
    path: str | None = None
    format: str | None = None
    nullable: bool = True
    pii: Literal["redact", "hash", "partial"] | None = None
    mask: Literal["hash", "redact"] | None = None
    checks: Checks = Checks()
    description: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> InlineColumn:
        type_ = parse_type(self.type)
        if self.path is not None:
            parse_path(self.path)
        check_format(self.format)
        if self.format == "json" and type_.name != "string":
            raise SpecError("JSON text is kept as a string", field="format", remedy="Make the type string.")
        check_marks("", pii=self.pii, mask=self.mask, text=type_.name == "string", nullable=self.nullable)
        for name in self.checks.given():
            self._fits(name, type_)
        return self

    @property
    def parsed(self) -> ColumnType:
        """The type, read."""
        return parse_type(self.type)

    def _fits(self, check: str, type_: ColumnType) -> None:
        if (check in _TEXT and type_.name != "string") or (check in _ORDER and type_.name in {"boolean", "list", "struct"}):
            raise SpecError(f"a {self.type} cannot be checked by {check}", field=f"checks.{check}", remedy="Drop the check.")
        read = {"timestamp": datetime.fromisoformat, "date": date.fromisoformat}.get(type_.name)
        if read is None:
            return
        for value in _values(self.checks.given()[check]):
            try:
                moment = read(str(value))
            except ValueError:
                raise SpecError(
                    f"{value!r} is no {self.type}", field=f"checks.{check}", remedy="Write it as ISO 8601 does."
                ) from None
            if isinstance(moment, datetime) and moment.tzinfo is None:
                raise SpecError(f"{value!r} has no time zone", field=f"checks.{check}", remedy="Write 2024-01-01T00:00:00Z.")


def _values(given: object) -> Iterable[object]:
    """The values that a check compares with."""
    if isinstance(given, Mapping):
        return [given["min_value"], given["max_value"]]
    return given if isinstance(given, tuple) else [given]


class InlineContract(Spec):
    """What a stream's rows must be, written in the spec itself.

    description : what a row is.
    columns     : the table's columns by name, in their order.
    """

    description: str = ""
    columns: Mapping[ColumnName, InlineColumn] = Field(min_length=1)
