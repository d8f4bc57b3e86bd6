"""From the attributes of a YAML source to the same `Source` that a Python module would give."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from integration_assets.components.document import Lines, Where
from integration_assets.components.environment import TemplateError, filled
from integration_assets.components.problems import Problem, from_validation, refusal
from integration_assets.components.secrets import literal_secrets
from integration_assets.components.shape import Shape, shape
from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec
from integration_assets.spec.source import Source

_NAMED = "Name it under auth, such as secret: HELPDESK_KEY, and set that variable where the code runs."


def resolve(attributes: object, lines: Lines, environ: Mapping[str, str] | None = None) -> Source:
    """The source that `attributes` describe: templates filled in from `environ`, types, choices and the spec's own rules held.

    Raises one `SpecError` with every mistake that can be told at once, each with its line.
    """
    try:
        values = filled(attributes or {}, os.environ if environ is None else environ)
    except TemplateError as error:
        raise refusal([Problem(error.where, error.what, error.remedy)], lines, attributes) from None
    if secrets := [Problem(where, what, _NAMED) for where, what in literal_secrets(values)]:
        raise refusal(secrets, lines, None)
    model = shape(Source)
    try:
        # As JSON, where text is text and a number a number, but a list may be a tuple and text a date.
        shaped = model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise refusal(from_validation(error, values, model), lines, values) from None
    problems: list[Problem] = []
    source = _built(shaped, (), problems)
    if problems or not isinstance(source, Source):
        raise refusal(problems, lines, values)
    return source


def _built(shaped: Shape, where: Where, problems: list[Problem]) -> Spec | None:
    """The spec of a shape, made from the inside out, so that what its own rules refuse is found where it is."""
    before = len(problems)
    given = {
        name: _value(getattr(shaped, name), (*where, name), problems)
        for name in type(shaped).model_fields
        if name in shaped.model_fields_set
    }
    if len(problems) > before:
        return None
    try:
        return type(shaped).of_spec(**given)
    except SpecError as error:
        problems.append(Problem(_place(error, where, shaped), error.what, error.remedy or ""))
        return None


def _value(value: Any, where: Where, problems: list[Problem]) -> Any:  # noqa: ANN401 - any value of a spec
    if isinstance(value, Shape):
        return _built(value, where, problems)
    if isinstance(value, tuple | list):
        return type(value)(_value(inner, (*where, position), problems) for position, inner in enumerate(value))
    if isinstance(value, Mapping):
        return {name: _value(inner, (*where, name), problems) for name, inner in value.items()}
    return value


def _place(error: SpecError, where: Where, shaped: BaseModel) -> Where:
    """Where the error's field is. A rule names it from its own spec, or from the one around it."""
    parts: list[str | int] = [int(part) if part.isdigit() else part for part in (error.field or "").split(".") if part]
    if parts and where and parts[0] == where[-1] and parts[0] not in type(shaped).model_fields:
        parts = parts[1:]
    return (*where, *parts)
