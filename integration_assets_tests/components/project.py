"""A user's own dg project in a folder, and `dg` run in it as they would, with this package installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PYPROJECT = """\
[project]
name = "my_project"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "my_project"
"""
_DEFINITIONS = """\
from pathlib import Path

import dagster as dg


@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


@dataclass(frozen=True)
class Done:
    """Exit status, and what was printed, without colours."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All of it."""
        return self.out + self.err


@dataclass(frozen=True)
class Project:
    """The project's folder, and what the commands run with."""

    root: Path
    environ: Mapping[str, str]

    @classmethod
    def made(cls, root: Path) -> Project:
        """An empty project, as `create-dagster` lays it out, and a Dagster instance of its own."""
        package, home, site = root / "src" / "my_project", root / "home", root / "site"
        for folder in (package / "defs", home):
            folder.mkdir(parents=True)
        (home / "dagster.yaml").touch()
        (root / "pyproject.toml").write_text(_PYPROJECT)
        (package / "__init__.py").touch()
        (package / "definitions.py").write_text(_DEFINITIONS)
        _installed(site)
        bin_ = Path(sys.executable).parent
        environ = {
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(map(str, (site, package.parent, ROOT))),
            "DAGSTER_HOME": str(home),
            "HOME": str(home),
            "COLUMNS": "200",
            "DAGSTER_DG_UPDATE_CHECK_ENABLED": "false",
            "INTEGRATION_LAKE_URI": str(root / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(root / "warehouse.duckdb"),
        }
        return cls(root, environ)

    def folder(self, name: str) -> Path:
        """Where a component of that name is."""
        return self.root / "src" / "my_project" / "defs" / name

    def here(self, *arguments: str) -> Done:
        """The same in this process: most of one of its own is imports."""
        from click.testing import CliRunner
        from dagster_dg_cli.cli import create_dg_cli

        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            for path in reversed(self.environ["PYTHONPATH"].split(os.pathsep)):
                patch.syspath_prepend(path)
            done = CliRunner().invoke(create_dg_cli(), arguments, env=dict(self.environ))
        return Done(done.exit_code, _ANSI.sub("", done.stdout), _ANSI.sub("", done.stderr))

    def dg(self, *arguments: str, **environ: str) -> Done:
        """Run `dg …` and wait for it."""
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "dagster_dg_cli.cli.__main__", *arguments],
            cwd=self.root,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        return Done(done.returncode, _ANSI.sub("", done.stdout), _ANSI.sub("", done.stderr))


def _installed(site: Path) -> None:
    """What an installation of this package leaves for `dg` to find: its entry points, as pyproject.toml has them now."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = site / f"integration_assets-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())])
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
