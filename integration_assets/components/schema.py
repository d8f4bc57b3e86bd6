"""JSON schema that points at the line. A plain `anyOf` or `oneOf` only says that nothing fits, at the place above."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
_PLAIN = {"string", "integer", "number", "boolean", "null"}


def precise(model: Json) -> None:
    """Rewrite the alternatives among a model's properties, in place, so that a mistake inside one is told of where it is."""
    for property_ in model.get("properties", {}).values():
        _rewrite(property_)


def _rewrite(schema: Json) -> None:
    schema.pop("title", None)
    if isinstance(schema.get("default"), dict):
        del schema["default"]  # editors would write it out
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            _rewrite(schema[key])
    if "discriminator" in schema:
        _by_kind(schema)
    elif "anyOf" in schema:
        _by_type(schema)


def _by_kind(schema: Json) -> None:
    """Alternatives that name themselves: the schema of the kind that is given applies, and no other."""
    about = schema.pop("discriminator")
    schema.pop("oneOf")
    name, mapping = about["propertyName"], about["mapping"]
    schema |= {
        "type": "object",
        "properties": {name: {"type": "string", "enum": list(mapping)}},
        "allOf": [
            {"required": [name]},
            *(
                {"if": {"properties": {name: {"const": kind}}, "required": [name]}, "then": {"$ref": ref}}
                for kind, ref in mapping.items()
            ),
        ],
    }


def _by_type(schema: Json) -> None:
    """Alternatives of different JSON types: that of the given value's type applies. Others stay as they are.

    An object that may be null because nothing is the default is left out in YAML, and not written as null.
    """
    plain: list[Json] = []
    objects: list[Json] = []
    for option in schema["anyOf"]:
        _rewrite(option)
        if "$ref" in option or option.get("type") in {"object", "array"} or "allOf" in option:
            objects.append(option)
        elif option.get("type") in _PLAIN:
            plain.append(option)
        else:
            return
    types = [option["type"] for option in plain]
    closed = [option for option in plain if "enum" in option or "const" in option]
    if len(objects) > 1 or len(types) != len(set(types)) or (closed and types != [closed[0]["type"], "null"]):
        return
    merged = _merged(plain)
    del schema["anyOf"]
    if not objects:
        schema |= merged
        return
    if types == ["null"] and schema.get("default", ...) is None:
        del schema["default"]
        schema |= {name: value for name, value in objects[0].items() if name not in schema}
        return
    kind = "array" if objects[0].get("type") == "array" else "object"
    schema["type"] = [kind, *types]
    schema["if"] = {"type": kind}
    schema["then"] = objects[0]
    if rest := {name: value for name, value in merged.items() if name != "type"}:
        schema["else"] = rest


def _merged(options: list[Json]) -> Json:
    """Options of different plain types as one: each of the other keywords looks at values of its own type only."""
    merged: Json = {}
    for option in options:
        merged |= {name: value for name, value in option.items() if name != "type"}
    types = [option["type"] for option in options]
    merged["type"] = types if len(types) > 1 else types[0] if types else []
    if "null" in types and "const" in merged:
        merged["enum"] = [merged.pop("const")]
    if "null" in types and "enum" in merged:
        merged["enum"] = [*merged["enum"], None]
    return merged
