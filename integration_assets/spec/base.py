"""The base of every piece of a spec: frozen, no unknown settings, errors that say where and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from integration_assets.errors import SpecError


class Spec(BaseModel):
    """Typed, frozen data. A wrong value raises `SpecError` naming the spec, the field and the remedy."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - pydantic validates them
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise self._explain(error, values) from None

    def changed(self, **settings: Any) -> Self:  # noqa: ANN401 - pydantic validates them
        """The same with some settings changed, validated as any other."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | settings)

    @classmethod
    def _explain(cls, error: ValidationError, values: dict[str, Any]) -> SpecError:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in place(first["loc"], values, missing=first["type"] == "missing")) or None
        given = str(values.get("name", "")) or None
        unknown = first["type"] == "extra_forbidden"
        what = f"{cls.__name__} has no setting {field!r}" if unknown else f"{cls.__name__}: {first['msg']}"
        # Whoever writes the secret itself where its name belongs must not find it in a log.
        confidential = "secret" in (field or "")
        if not unknown and not confidential and first["type"] != "missing":
            what += f", got {first['input']!r}"
        return SpecError(
            what,
            source=given if cls.__name__ == "Source" else None,
            stream=given if cls.__name__ == "Stream" else None,
            field=field,
            remedy=f"Its settings are: {', '.join(cls.model_fields)}."
            if unknown
            else f"Mend it where the {cls.__name__} is described.",
        )


def place(loc: Sequence[str | int], values: object, *, missing: bool) -> tuple[str | int, ...]:
    """Where in `values` a validation error is: its `loc` without the names of the alternatives that were tried there."""
    found: list[str | int] = []
    for position, part in enumerate(loc):
        try:
            values = _inside(values, part)
        except LookupError:
            if not missing or position < len(loc) - 1:
                continue
        found.append(part)
    return tuple(found)


def _inside(values: object, part: str | int) -> object:
    if isinstance(values, Mapping):
        return values[part]
    if isinstance(values, list | tuple) and isinstance(part, int):
        return values[part]
    raise LookupError(part)
