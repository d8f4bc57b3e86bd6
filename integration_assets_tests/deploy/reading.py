"""The overlays as data, and the command lines in them as their own programs parse them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_COMMAND = re.compile(r"^(?:kubectl .*exec .* -- |docker compose .*exec \w+ )?((?:dagster\S*|integration) .+)$")


def load(name: str) -> Any:  # noqa: ANN401 - YAML is what it is
    """One YAML document of deploy/."""
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """The parameters of a command line, as the program that it names reads it; nothing is run.

    A workspace file, which programs look for at once, is the one of deploy/ wherever the container has it.

    Raises the program's own usage error for a command or an option that it does not know.
    """
    command: Any = _program(argv[0])
    rest = [str(DEPLOY / "workspace.yaml") if word.endswith("/workspace.yaml") else word for word in argv[1:]]
    while hasattr(command, "commands"):
        name = rest.pop(0)
        assert name in command.commands, f"{argv[0]} has no command {name}"
        command = command.commands[name]
    found: dict[str, Any] = command.make_context(command.name, rest).params
    return found


def _program(name: str) -> Any:  # noqa: ANN401 - click, or typer's own copy of it
    if name == "integration":
        import typer

        from integration_assets.cli.app import app

        return typer.main.get_command(app)
    if name == "dagster":
        from dagster._cli import create_dagster_cli

        return create_dagster_cli()  # type: ignore[no-untyped-call]
    if name == "dagster-daemon":
        from dagster._daemon.cli import create_dagster_daemon_cli

        return create_dagster_daemon_cli()
    assert name == "dagster-webserver", f"{name} is no program of the image"
    from dagster_webserver.cli import dagster_webserver

    return dagster_webserver


def commands(page: Path) -> Iterator[list[str]]:
    """The lines of a page's fenced blocks that run the image's programs, with backslashes at their ends joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for block in re.findall(r"^```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            match = _COMMAND.match(line.strip())
            if match:
                yield shlex.split(match[1], comments=True)


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - as `load`
    """Every scalar of a document with the keys that lead to it."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, str(key)))
    elif isinstance(tree, list):
        for place, value in enumerate(tree):
            yield from leaves(value, (*path, str(place)))
    else:
        yield path, tree
