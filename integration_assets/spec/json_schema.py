"""A contract as versioned JSON Schema, and what a change of it means to those who read the table.

The file of a stream is `sources/<source>/schemas/<stream>.json`. Its version is `MAJOR.MINOR`: a change that every reader
survives (a new nullable column, a wider range, one more allowed value) is the next minor version; one that narrows (a column
gone, retyped, required or bounded tighter, another key) is the next major one, and asks to be said so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from integration_assets.errors import SpecError
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.contract_model import checks_of
from integration_assets.spec.source import Source, Stream

Schema = dict[str, Any]
VERSION = "x-version"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LOWER = ("minimum", "exclusiveMinimum", "minLength")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength")
_EXACT = ("pattern", "format", "x-checks")
_TOLD = {"greater_than_or_equal_to", "less_than_or_equal_to", "greater_than", "less_than", "isin", "str_matches", "str_length"}


@dataclass(frozen=True)
class Change:
    """One difference between two versions. `narrows`: a reader or a record that was right before may be wrong now."""

    what: str
    narrows: bool


def to_json_schema(source: Source, stream: Stream, contract: Contract, version: str) -> Schema:
    """The rows of the stream's table as JSON Schema, with the keywords that JSON Schema lacks under `x-`."""
    checks = {column.name: contract.schema.columns[column.name].checks for column in contract.columns}
    return {
        "$schema": _DIALECT,
        "title": f"{source.name}.{stream.name}",
        "description": contract.description,
        VERSION: version,
        "x-key": list(stream.key),
        "type": "object",
        "properties": {
            column.name: _typed(column.type, nullable=column.nullable)
            | ({"description": column.description} if column.description else {})
            | {"x-path": ".".join(map(str, column.path))}
            | _bounds(checks[column.name])
            | ({"x-checks": custom} if (custom := _custom(contract.schema.columns[column.name])) else {})
            for column in contract.columns
        },
        "required": [column.name for column in contract.columns if not column.nullable],
        **({"x-checks": custom} if (custom := _custom(contract.schema)) else {}),
        "additionalProperties": False,
    }


def changes(old: Schema, new: Schema) -> list[Change]:
    """What differs from `old` to `new`, column by column."""
    before, after = old["properties"], new["properties"]
    found = [Change(f"{name} is gone", narrows=True) for name in sorted(before.keys() - after.keys())]
    for name in sorted(after.keys() - before.keys()):
        required = name in new["required"]
        found.append(Change(f"{name} is new" + (" and required" if required else ""), narrows=required))
    for name in sorted(before.keys() & after.keys()):
        found += _column_changes(name, before[name], after[name])
    if old["x-key"] != new["x-key"]:
        found.append(Change(f"the key was {_list(old['x-key'])} and is {_list(new['x-key'])}", narrows=True))
    if old.get("x-checks") != new.get("x-checks"):
        found.append(Change("the checks over whole rows changed", narrows=bool(new.get("x-checks"))))
    return found


def next_version(version: str, found: Sequence[Change]) -> str:
    """The version that a schema with these changes has."""
    major, minor = (int(part) for part in version.split("."))
    if any(change.narrows for change in found):
        return f"{major + 1}.0"
    return f"{major}.{minor + 1}" if found else version


def compare(source: Source, stream: Stream, contract: Contract, stored: Schema | None) -> tuple[Schema, list[Change]]:
    """The schema as it should be stored now, with its version, and what changed since `stored`. None begins with 1.0."""
    if stored is None:
        return to_json_schema(source, stream, contract, "1.0"), []
    version = str(stored.get(VERSION, ""))
    if version.count(".") != 1 or not version.replace(".", "").isdigit():
        raise SpecError(
            f"the stored schema's {VERSION} is {version!r}",
            source=source.name,
            stream=stream.name,
            field=VERSION,
            remedy="Restore the file: a version is MAJOR.MINOR.",
        )
    found = changes(stored, to_json_schema(source, stream, contract, version))
    return to_json_schema(source, stream, contract, next_version(version, found)), found


def dump(schema: Schema) -> str:
    """The schema as the text of its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _typed(type_: pa.DataType, *, nullable: bool) -> Schema:
    found: Schema
    if pa.types.is_struct(type_):
        fields = [type_.field(place) for place in range(type_.num_fields)]
        found = {"type": "object", "properties": {field.name: _typed(field.type, nullable=True) for field in fields}}
    elif pa.types.is_list(type_):
        found = {"type": "array", "items": _typed(type_.value_type, nullable=True)}
    elif pa.types.is_boolean(type_):
        found = {"type": "boolean"}
    elif pa.types.is_integer(type_):
        found = {"type": "integer"}
    elif pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        found = {"type": "number"}
    elif pa.types.is_timestamp(type_):
        found = {"type": "string", "format": "date-time"}
    elif pa.types.is_date(type_):
        found = {"type": "string", "format": "date"}
    else:
        found = {"type": "string"}
    return {**found, "type": [found["type"], "null"] if nullable else found["type"], "x-type": str(type_)}


def _bounds(checks: Sequence[Any]) -> Schema:
    found: Schema = {}
    for check in checks:
        told: Mapping[str, Any] = check.statistics or {}
        match check.name:
            case "greater_than_or_equal_to":
                found["minimum"] = told["min_value"]
            case "greater_than":
                found["exclusiveMinimum"] = told["min_value"]
            case "less_than_or_equal_to":
                found["maximum"] = told["max_value"]
            case "less_than":
                found["exclusiveMaximum"] = told["max_value"]
            case "isin":
                found["enum"] = list(told["allowed_values"])
            case "str_matches":
                found["pattern"] = getattr(told["pattern"], "pattern", told["pattern"])
            case "str_length":
                lengths = {"minLength": told.get("min_value"), "maxLength": told.get("max_value")}
                found |= {name: value for name, value in lengths.items() if value is not None}
    return json.loads(json.dumps(found, default=str))  # type: ignore[no-any-return] # as it comes back from its file


def _custom(schema: Any) -> list[list[str]]:  # noqa: ANN401 - pandera's column or whole schema
    """Checks that JSON Schema has no word for: their names and what they are made of."""
    return [check for check in checks_of(schema) if check[0] not in _TOLD]


def _column_changes(name: str, old: Schema, new: Schema) -> list[Change]:
    found = []
    was, now = old["x-type"], new["x-type"]
    if was != now:
        found.append(Change(f"{name} was {was} and is {now}", narrows=not _wider(was, now)))
    before, after = "null" in old["type"], "null" in new["type"]
    if before != after:
        found.append(Change(f"{name} {'may be' if after else 'must not be'} null now", narrows=before))
    if old["x-path"] != new["x-path"]:
        found.append(Change(f"{name} is read from {new['x-path']} instead of {old['x-path']}", narrows=False))
    if old.get("enum") != new.get("enum"):
        gone = [] if "enum" not in new else [one for one in old.get("enum", ["anything"]) if one not in new["enum"]]
        found.append(Change(f"{name} allows other values{f', not {_list(gone)}' if gone else ''}", narrows=bool(gone)))
    for word in (*_LOWER, *_UPPER):
        low, high = old.get(word), new.get(word)
        if low != high:
            other = isinstance(low, str) != isinstance(high, str)  # of a column that was retyped
            tighter = high is not None and (low is None or other or (high > low if word in _LOWER else high < low))
            found.append(Change(f"{name}: {word} was {low} and is {high}", narrows=tighter))
    found += [
        Change(f"{name}: {word} changed", narrows=new.get(word) is not None)
        for word in _EXACT
        if old.get(word) != new.get(word) and was == now
    ]
    return found


def _wider(old: str, new: str) -> bool:
    """Whether each value of the old type is one of the new and readers of the old can read it: integers into larger ones."""
    sizes = ["int8", "int16", "int32", "int64"]
    floats = ["float", "double"]
    return any(old in kinds and new in kinds and kinds.index(old) <= kinds.index(new) for kinds in (sizes, floats))


def _list(values: Sequence[object]) -> str:
    return ", ".join(map(str, values)) or "none"
