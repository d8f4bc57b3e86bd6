"""A YAML file as plain values, and the line each of them is on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import yaml

from integration_assets.errors import SpecError

Where = tuple[str | int, ...]
"""The keys and positions that lead to a value, such as `("streams", 0, "paging")`."""

_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + kind for kind in ("str", "int", "float", "bool", "null", "map", "seq")}
_DEEPEST, _MOST = 50, 100_000
"""Levels and values of a file; more is an alias that refers to itself, or many times to many."""


@dataclass(frozen=True)
class Lines:
    """The lines of a file's values. `prefix` leads from the file's top to what is looked at."""

    file: str
    known: Mapping[Where, int] = field(default_factory=dict)
    prefix: Where = ()

    def at(self, where: Where) -> str:
        """`file:line` of the value, or of the nearest one around it that is there; only the file where no line is known."""
        line = self.number(where)
        return f"{self.file}:{line}" if line else self.file

    def number(self, where: Where) -> int:
        """That line; 0 where none is known."""
        path = (*self.prefix, *where)
        return next((self.known[path[:length]] for length in range(len(path), -1, -1) if path[:length] in self.known), 0)

    def below(self, *prefix: str | int) -> Lines:
        """The lines of a value's parts."""
        return Lines(self.file, self.known, (*self.prefix, *prefix))


@dataclass(frozen=True)
class Document:
    """What a YAML file holds: mappings with text keys, lists, text, numbers, booleans and null."""

    value: object
    lines: Lines


class _Loader(yaml.SafeLoader):
    """Dates stay text, as in Dagster's own reading of component files: the spec's types decide what they are."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TAG + "timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path, shown: str | None = None) -> Document:
    """Read a file of one document; `shown` is how messages name it.

    Raises `SpecError` with file and line for what is no YAML, a key that is there twice or is no text, and any other value
    than those of a `Document`.
    """
    name = shown or str(path)
    loader = _Loader(path.read_text(encoding="utf-8"))
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(None, Lines(name, {(): 1}))
        known = dict(islice(_walk(node, (), name), _MOST + 1))
        if len(known) > _MOST:
            raise SpecError(f"{name}: more than {_MOST:,} values", remedy="Use fewer aliases.")
        return Document(loader.construct_document(node), Lines(name, known))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise SpecError(f"{name}{line}: {error.problem or error.context}", remedy="Mend the YAML.") from None
    finally:
        loader.dispose()


def _walk(node: yaml.Node, where: Where, file: str, line: int | None = None) -> Iterator[tuple[Where, int]]:
    """Each value's place and line, that of its key where it has one. Aliases are followed, as YAML does."""
    line = node.start_mark.line + 1 if line is None else line
    if node.tag not in _PLAIN or len(where) > _DEEPEST:
        raise SpecError(f"{file}:{line}: not a value that a spec can hold", remedy="Write text, numbers, lists and mappings.")
    yield where, line
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _walk(item, (*where, position), file)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            below = key.start_mark.line + 1
            if key.tag == _TAG + "merge":
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag != _TAG + "str":
                raise SpecError(f"{file}:{below}: a key is no text", remedy="Put it in quotes.")
            if key.value in seen:
                raise SpecError(f"{file}:{below}: {key.value!r} is there twice", remedy="Keep one of them.")
            seen.add(key.value)
            yield from _walk(value, (*where, key.value), file, below)
