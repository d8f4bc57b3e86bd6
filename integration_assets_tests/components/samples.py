"""Values for any field of any spec, from its type alone: so that a test of all fields needs no line for a new one."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import chain, combinations, islice, product
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec
from integration_assets.spec.source import Source

_TRIES, _FEW = 500, 3
_PLAIN: dict[Any, tuple[Any, ...]] = {
    bool: (True, False),
    int: (7, 1, 450, 0),
    float: (0.25, 7.5, 120.0),
    str: ("some_text", "NAME_OF_IT", "a.b", "a.b:C", "header:X-Y", "Europe/Berlin", "string", "x", "some-name", "0 4 * * *"),
    date: (date(2024, 1, 1),),
    datetime: (datetime(2024, 1, 1, 12, 30, tzinfo=UTC),),
    timedelta: (timedelta(minutes=5), timedelta(hours=36)),
    JsonValue: ({"a": [1, None]}, "text"),
}


def specs() -> list[type[Spec]]:
    """Every class that a source can hold, the source's own first."""
    found: list[type[Spec]] = [Source]
    for spec in found:
        for field in spec.model_fields.values():
            found += [inner for inner in _classes(field.annotation) if inner not in found]
    return found


def fields() -> list[tuple[type[Spec], str]]:
    """Every field of every class."""
    return [(spec, name) for spec in specs() for name in spec.model_fields]


def sample(spec: type[Spec], name: str) -> Any:  # noqa: ANN401 - any value of a spec
    """A value that the field takes, not its default where there is another. AssertionError for a type that has none here."""
    field = spec.model_fields[name]
    values = _taken(field)
    assert values, f"samples.py has no value for {spec.__name__}.{name}: {field.annotation}"
    return next((value for value in values if value != _default(field)), values[0])


def _taken(field: FieldInfo) -> list[Any]:
    adapter = TypeAdapter(Annotated[field.annotation, field])
    return [value for value in _samples(field.annotation) if _takes(adapter, value)]


def _default(field: FieldInfo) -> object:
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _takes(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        return bool(adapter.validate_python(value) == value)
    except (ValidationError, SpecError):
        return False


def _samples(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - a type
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        yield from _PLAIN[annotation]
    elif origin is Annotated:
        yield from (value for value in _samples(arguments[0]) if _takes(TypeAdapter(annotation), value))
    elif origin in {Union, types.UnionType}:
        for argument in arguments:
            yield from _samples(argument)
    elif origin is Literal:
        yield from reversed(arguments)
    elif origin is tuple:
        yield from ((value,) for value in _samples(arguments[0]))
    elif origin is not None and issubclass(origin, Mapping):
        yield from ({key: value} for key in _samples(arguments[0]) for value in _samples(arguments[1]))
    elif isinstance(annotation, type) and issubclass(annotation, Spec):
        yield from _made(annotation)


def _made(spec: type[Spec]) -> Iterator[Spec]:
    """A few of the class: the least that it takes, with one or two more of its fields where the least is refused."""
    fields = spec.model_fields
    needed = [name for name in fields if fields[name].is_required()]
    more = [name for name in fields if name not in needed and name != "kind"]
    tried = chain([()], ((name,) for name in more), combinations(more, 2))
    given = ((*needed, *names) for names in tried)
    combined = (zip(names, values, strict=True) for names in given for values in product(*(_taken(fields[n]) for n in names)))
    yield from islice(filter(None, (_built(spec, dict(values)) for values in islice(combined, _TRIES))), _FEW)


def _built(spec: type[Spec], values: dict[str, Any]) -> Spec | None:
    try:
        return spec(**values)
    except SpecError:
        return None


def _classes(annotation: Any) -> list[type[Spec]]:  # noqa: ANN401 - a type
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, Spec) else []
    return [spec for argument in get_args(annotation) for spec in _classes(argument)]
