"""A column's type as text: `string`, `decimal(18, 2)`, `list<string>`, `struct<city: string, since: date>`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from integration_assets.errors import SpecError

SIMPLE = ("string", "int64", "float64", "boolean", "date", "timestamp")
WRITTEN = rf"^({'|'.join(SIMPLE)}|decimal\(.+\)|list<.+>|struct<.+>)$"
"""What a type looks like, for editors; `parse_type` knows all of it."""

_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|\d+|[<>(),:])")
_MOST_DIGITS = 38


@dataclass(frozen=True)
class ColumnType:
    """One of `SIMPLE`, or `decimal` with its digits, or `list` with one part, or `struct` with a part a field."""

    name: str
    precision: int = 0
    scale: int = 0
    parts: tuple[tuple[str, ColumnType], ...] = ()


def parse_type(text: str) -> ColumnType:
    """Read a type. Raises `SpecError` that lists the types there are."""
    reading = _Reading(text)
    found = reading.type()
    if reading.ahead:
        raise reading.wrong()
    return found


class _Reading:
    """The words of a type, taken one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        words = [match for match in _TOKEN.finditer(text)]  # noqa: C416 - the matches are used twice
        self._words = [match[1] for match in words]
        if "".join(match[0] for match in words) != text.rstrip():
            raise self.wrong()

    @property
    def ahead(self) -> bool:
        return bool(self._words)

    def wrong(self) -> SpecError:
        return SpecError(
            f"there is no type {self._text!r}",
            field="type",
            remedy=f"Use {', '.join(SIMPLE)}, decimal(18, 2), list<string> or struct<name: string, since: date>.",
        )

    def take(self, wanted: str) -> str:
        """The next word, which must be `wanted`: itself, or any `name` or `number`."""
        word = self._words.pop(0) if self._words else ""
        fits = {"name": word.isidentifier(), "number": word.isdigit()}.get(wanted, word == wanted)
        if not fits:
            raise self.wrong()
        return word

    def more(self) -> bool:
        """Whether a comma follows; it is taken."""
        if self._words[:1] == [","]:
            self._words.pop(0)
            return True
        return False

    def type(self) -> ColumnType:
        name = self.take("name")
        if name in SIMPLE:
            return ColumnType(name)
        match name:
            case "decimal":
                self.take("(")
                precision, _, scale = int(self.take("number")), self.take(","), int(self.take("number"))
                self.take(")")
                if not 1 <= precision <= _MOST_DIGITS or scale > precision:
                    raise self.wrong()
                return ColumnType(name, precision, scale)
            case "list":
                self.take("<")
                part = ("item", self.type())
                self.take(">")
                return ColumnType(name, parts=(part,))
            case "struct":
                return ColumnType(name, parts=self._fields())
        raise self.wrong()

    def _fields(self) -> tuple[tuple[str, ColumnType], ...]:
        self.take("<")
        fields: dict[str, ColumnType] = {}
        while not fields or self.more():
            field, _ = self.take("name"), self.take(":")
            if field in fields:
                raise self.wrong()
            fields[field] = self.type()
        self.take(">")
        return tuple(fields.items())
