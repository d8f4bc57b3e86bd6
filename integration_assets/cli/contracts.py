"""`integration contracts`: each stream's contract as a versioned JSON Schema file, written or compared."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from integration_assets.errors import SpecError
from integration_assets.sources import load_source, load_sources
from integration_assets.spec.source import Source, Stream

contracts_app = typer.Typer(no_args_is_help=True, help="Contracts as versioned JSON Schema: write the files, or compare.")
out = Console()


@contracts_app.command("check")
def check(name: Annotated[str | None, typer.Argument(help="SOURCE; all when left out.")] = None) -> None:
    """Compare each contract with its stored schema; a difference is an error that says what changed and what it asks for."""
    wrong = 0
    for source, stream in _streams(name):
        path, current, found = _compared(source, stream)
        if not path.exists():
            wrong += 1
            _say(f"{source.name}.{stream.name} has no schema file yet: integration contracts write {source.name}")
        elif path.read_text(encoding="utf-8") != current:
            wrong += 1
            narrows = [change for change in found if change[1]]
            how = " --major" if narrows else ""
            _say(f"{source.name}.{stream.name} differs from {path.name}: integration contracts write {source.name}{how}")
            _list(found)
    if wrong:
        raise typer.Exit(1)
    _say("Every contract is as its schema says.")


@contracts_app.command("write")
def write(
    name: Annotated[str | None, typer.Argument(help="SOURCE; all when left out.")] = None,
    *,
    major: Annotated[bool, typer.Option("--major", help="Allow changes that narrow: the next major version.")] = False,
) -> None:
    """Write each contract's schema with its next version. A narrowing change needs `--major`, and nothing is written without."""
    compared = [(source, stream, *_compared(source, stream)) for source, stream in _streams(name)]
    for source, stream, _, _, found in compared:
        narrows = [what for what, narrowing in found if narrowing]
        if narrows and not major:
            raise SpecError(
                f"the contract narrows: {'; '.join(narrows)}",
                source=source.name,
                stream=stream.name,
                field="contract",
                remedy="Say --major if the table's readers know, or give the change a new column.",
            )
    for source, stream, path, current, found in compared:
        if not path.exists() or path.read_text(encoding="utf-8") != current:
            path.parent.mkdir(exist_ok=True)
            path.write_text(current, encoding="utf-8")
            _say(f"{source.name}.{stream.name}: version {json.loads(current)['x-version']}")
            _list(found)


def schema_path(source: Source, stream: Stream) -> Path:
    """Where the stream's schema file is. Raises `SpecError` for a source that is no folder under `sources`."""
    found = importlib.util.find_spec("integration_assets.sources")
    assert found is not None  # noqa: S101 - our own package
    for folder in found.submodule_search_locations or ():
        if (Path(folder) / source.name).is_dir():
            return Path(folder) / source.name / "schemas" / f"{stream.name}.json"
    raise SpecError("the source has no folder under sources/", source=source.name, remedy="Make one; see docs/add-a-source.md.")


def _compared(source: Source, stream: Stream) -> tuple[Path, str, list[tuple[str, bool]]]:
    """The file's place, the text that it should have, and what changed: sentences, and whether each narrows."""
    from integration_assets.spec.contract_loading import check_stream
    from integration_assets.spec.json_schema import compare, dump

    path = schema_path(source, stream)
    stored = None
    if path.exists():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SpecError(
                f"{path.name} is no JSON: {error}", source=source.name, stream=stream.name, remedy="Restore the file."
            ) from None
    schema, found = compare(source, stream, check_stream(source, stream), stored)
    return path, dump(schema), [(change.what, change.narrows) for change in found]


def _streams(name: str | None) -> list[tuple[Source, Stream]]:
    chosen = [load_source(name)] if name else list(load_sources())
    return [(source, stream) for source in chosen for stream in source.streams]


def _list(found: list[tuple[str, bool]]) -> None:
    for what, narrows in found:
        _say(f"  {'narrows' if narrows else 'adds'}: {what}")


def _say(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
