"""What is wrong with a source that is written as YAML: where, what, and what to do. A secret's value is never repeated."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from integration_assets.components.document import Lines, Where
from integration_assets.components.shape import kind_of, models_at
from integration_assets.errors import SpecError
from integration_assets.spec.base import place

_LONGEST = 60
_CONFIDENTIAL = re.compile(r"auth|secret|password|headers|signature", re.IGNORECASE)


@dataclass(frozen=True)
class Problem:
    """One mistake, at one place."""

    where: Where
    what: str
    remedy: str = ""

    def told(self, lines: Lines) -> str:
        """`file:line: place: what. Remedy.`"""
        dotted = dotted_path(self.where)
        return f"{lines.at(self.where)}: {f'{dotted}: ' if dotted else ''}{self.what}. {self.remedy}".strip()


def dotted_path(where: Where) -> str:
    """`streams[0].paging.limit`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")


def refusal(problems: Sequence[Problem], lines: Lines, values: object) -> SpecError:
    """All of a file's mistakes as one error, in the order of the lines' places."""
    name = values.get("name") if isinstance(values, Mapping) else None
    source = name if isinstance(name, str) and re.fullmatch(r"\w+", name) else None
    if len(problems) == 1:
        (only,) = problems
        said = f"{only.what}, at {lines.at(only.where)}"
        return SpecError(said, source=source, field=dotted_path(only.where) or None, remedy=only.remedy or None)
    told = "\n".join(f"  {problem.told(lines)}" for problem in sorted(problems, key=lambda one: lines.number(one.where)))
    return SpecError(f"{len(problems)} mistakes:\n{told}", source=source)


def from_validation(error: ValidationError, values: object, model: type[BaseModel]) -> list[Problem]:
    """Pydantic's errors in our words: one a place, of the nearest of the alternatives that were tried there."""
    found: dict[Where, list[dict[str, Any]]] = {}
    for one in error.errors(include_url=False):
        found.setdefault(place(one["loc"], values, missing=one["type"] == "missing"), []).append(dict(one))
    problems = []
    for where, here in found.items():
        deeper = any(len(other) > len(where) and other[: len(where)] == where for other in found)
        if deeper and all(_of_type(one) for one in here):
            continue  # it follows from what is wrong inside, or another alternative was meant
        problems.append(_problem(where, here, values, model))
    return problems


def _of_type(error: Mapping[str, Any]) -> bool:
    """Whether all that is wrong is the JSON type, or the number of valid items."""
    return str(error["type"]).endswith("_type") or error["type"] == "too_short"


def _problem(where: Where, here: Sequence[Mapping[str, Any]], values: object, model: type[BaseModel]) -> Problem:
    first = next((one for one in here if not _of_type(one)), here[0])
    last = where[-1] if where else ""
    match first["type"]:
        case "extra_forbidden":
            known = [name for each in models_at(model, where[:-1], values) for name in each.model_fields]
            return Problem(where, f"there is no setting {last!r}", _known(str(last), known))
        case "missing":
            return Problem(where, f"{last} is missing")
        case "union_tag_not_found":
            kinds = [str(kind_of(each)) for each in models_at(model, where, values)]
            return Problem((*where, "kind"), "kind is missing", f"Use one of: {', '.join(kinds)}.")
        case "union_tag_invalid":
            context = first["ctx"]
            return Problem((*where, "kind"), f"there is no kind {context['tag']!r}", f"Use {context['expected_tags']}.")
    given = None if _CONFIDENTIAL.search(dotted_path(where)) else first["input"]
    shown = f", got {given!r}" if isinstance(given, str | int | float) and len(repr(given)) <= _LONGEST else ""
    alternatives = here if _of_type(first) else [first]
    return Problem(where, " or ".join(dict.fromkeys(map(_said, alternatives))).replace(" or this must be", " or") + shown)


_NEEDED = {
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_": "a mapping",
    "string_type": "text",
    "int_": "a whole number",
    "float_": "a number",
    "bool_": "true or false",
    "datetime_": "a time such as 2024-01-01T00:00:00Z",
    "timezone_": "a time with its zone, such as 2024-01-01T00:00:00Z",
    "date_": "a day such as 2024-01-01",
    "time_delta_": "a duration such as PT15M, PT2H or P1D",
    "too_short": "at least one",
}


def _said(error: Mapping[str, Any]) -> str:
    """What is needed instead, or what pydantic says."""
    needed = next((text for kind, text in _NEEDED.items() if error["type"].startswith(kind)), None)
    return f"this must be {needed}" if needed else _plain(error["msg"])


def _plain(message: str) -> str:
    return f"{message[0].lower()}{message[1:]}"


def _known(name: str, known: Sequence[str]) -> str:
    """`Did you mean …?`, or the names that there are."""
    near = get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]}?" if near else f"Its settings are: {', '.join(known)}." if known else ""
