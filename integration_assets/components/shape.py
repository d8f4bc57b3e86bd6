"""What the YAML of a spec may look like: a pydantic model derived from each class of the spec, field by field.

The derived models know types, choices and what is required. They say what is wrong at every place at once, and give editors
and `dg check yaml` their JSON schema. What depends on several fields is the spec's own to check. A new field of a spec is
here by itself.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, create_model
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from integration_assets.components.document import Where
from integration_assets.components.schema import precise
from integration_assets.spec.base import Spec

_FIELD_DOC = re.compile(r"^(\w+(?:, \w+)*)\s*:\s+(\S.*)$")
_NONE = re.compile(r"(?<![-\w])None(?![-\w])")


class Shape(BaseModel):
    """The base of the derived models."""

    model_config = ConfigDict(extra="forbid", strict=True)
    of_spec: ClassVar[type[Spec]] = Spec

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's schema, with errors that name the line: see `schema.precise`."""
        made = handler(core)
        precise(handler.resolve_ref_schema(made))
        return made


@lru_cache(maxsize=256)
def shape(spec: type[Spec]) -> type[Shape]:
    """The model of a spec class's YAML: the same fields, with the models of the classes they hold, described."""
    about, of_fields = described(spec)
    fields: dict[str, Any] = {}
    for name, field in spec.model_fields.items():
        mine = copy(field)
        mine.annotation = _shaped(field.annotation)
        mine.description = field.description or of_fields.get(name) or _kinds(field.annotation) or (None if of_fields else about)
        fields[name] = (mine.annotation, mine)
    made: type[Shape] = create_model(spec.__name__, __base__=Shape, __doc__=about, **fields)
    made.of_spec = spec
    return made


def _shaped(annotation: Any) -> Any:  # noqa: ANN401 - a type is what it works on
    """A field's type, with shapes where it has specs."""
    if isinstance(annotation, type) and not get_args(annotation):
        return shape(annotation) if issubclass(annotation, Spec) else annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None or not any(_holds_spec(argument) for argument in arguments):
        return annotation
    if origin is Annotated:
        return Annotated[(_shaped(arguments[0]), *arguments[1:])]
    inner = tuple(_shaped(argument) for argument in arguments)
    if origin in {Union, types.UnionType}:
        return Union[inner]  # noqa: UP007 - made from a list
    return origin[inner]


def _holds_spec(annotation: Any) -> bool:  # noqa: ANN401
    if isinstance(annotation, type) and not get_args(annotation):
        return issubclass(annotation, Spec)
    return any(_holds_spec(argument) for argument in get_args(annotation))


def _kinds(annotation: Any) -> str | None:  # noqa: ANN401
    """What a field may be, on one line, from the classes that it may hold: `token: The body names … | offset: …`."""
    found = [(kind_of(spec), described(spec)[0].partition("\n")[0]) for spec in _models(annotation) if issubclass(spec, Spec)]
    if len(found) == 1:
        return found[0][1]
    return " | ".join(f"{kind}: {about}" for kind, about in found) or None


def described(spec: type[Spec]) -> tuple[str, dict[str, str]]:
    """A spec's docstring as what it says of the class, and of each field in lines `name, name : text`, in the words of YAML."""
    about: list[str] = []
    fields: dict[str, str] = {}
    current: list[str] = []
    for line in inspect.cleandoc(_NONE.sub("null", spec.__doc__ or "")).splitlines():
        found = _FIELD_DOC.match(line)
        if found and set(found[1].split(", ")) <= set(spec.model_fields):
            current = found[1].split(", ")
            fields |= dict.fromkeys(current, found[2])
        elif current and line.startswith(" "):
            fields |= {name: f"{fields[name]} {line.strip()}" for name in current}
        else:
            current = []
            about.append(line)
    return "\n".join(about).strip(), fields


def models_at(model: type[BaseModel], where: Where, values: object) -> list[type[BaseModel]]:
    """The models that the mapping at a place of `values` may be of: several where it does not say its kind."""
    candidates = [model]
    for part in where:
        held = [field.annotation for each in candidates for name, field in each.model_fields.items() if name == part]
        candidates = [each for annotation in held for each in _models(annotation)] if held else candidates
        try:
            values = values[part]  # type: ignore[index]
        except (LookupError, TypeError):
            return []
        kind = values.get("kind") if isinstance(values, Mapping) else None
        candidates = [each for each in candidates if kind is None or kind_of(each) in {None, kind}]
    return candidates


def kind_of(model: type[BaseModel]) -> str | None:
    """What a model of several alternatives calls itself."""
    kind = model.model_fields.get("kind")
    return kind.default if kind and isinstance(kind.default, str) else None


def _models(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401
    """The models in a type, whatever lists, mappings and alternatives are around them."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for argument in get_args(annotation) for model in _models(argument)]
