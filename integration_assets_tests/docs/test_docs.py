"""What the documentation shows works as it is written."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from integration_assets import settings
from integration_assets.cli.app import main
from integration_assets.sandbox.process import SandboxProcess
from integration_assets_tests.docs.blocks import PAGES, ROOT, Block, blocks

GUIDE = ROOT / "docs" / "add-a-source.md"
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def run(command: list[str] | str, folder: Path, environ: dict[str, str]) -> str:
    """Run a command as a reader would; its output. Fails with all that it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "COV_"))}
    done = subprocess.run(  # noqa: S603 - the documentation is ours
        command,
        cwd=folder,
        env={**plain, "PATH": path, "COLUMNS": "200", **environ},
        shell=isinstance(command, str),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def execute(line: str, environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a line of a shell, an `integration …` one in this process: each of its own would import everything again."""
    if not line.startswith("integration "):
        run(line, ROOT, dict(environ))
        return
    with monkeypatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", shlex.split(line))
        for name, value in environ.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as left:
            main()
    assert not left.value.code, line


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of someone who follows the README: the sandbox runs, its key is set, and nothing was pulled yet."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copy(ROOT / "dagster.yaml", folder / "dagster.yaml")
    with SandboxProcess(days=6, clock="2013-01-06T00:00:00Z") as sandbox:
        yield {
            "NYC_OPS_KEY": sandbox.key,
            "INTEGRATION_NYC_OPS_BASE_URL": sandbox.url,
            "INTEGRATION_LAKE_URI": str(folder / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(folder / "warehouse.duckdb"),
            "DAGSTER_HOME": str(folder),
        }


@pytest.fixture(scope="module")
def pulled(reader: dict[str, str]) -> dict[str, str]:
    """The same reader after a first sync: what a snippet that reads the lake or the warehouse needs."""
    with pytest.MonkeyPatch.context() as patch:
        execute("integration sync nyc_ops.flights --partition 2013-01-01", reader, patch)
    return reader


@pytest.mark.parametrize("block", [block for block in blocks("python") if not block.file], ids=lambda block: block.name)
def test_python_snippets_run(block: Block, pulled: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Python snippet runs, and its assertions hold."""
    for name, value in pulled.items():
        monkeypatch.setenv(name, value)
    snippet = ModuleType("snippet")
    monkeypatch.setitem(sys.modules, "snippet", snippet)
    exec(compile(block.text, block.name, "exec", dont_inherit=True), vars(snippet))  # noqa: S102 - the documentation is ours


@pytest.mark.parametrize("block", blocks("bash", ROOT / "README.md"), ids=lambda block: block.name)
def test_the_commands_of_the_readme_run(block: Block, reader: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of the README succeeds, in the order in which it stands there; the first of a block as an installed one."""
    first, *others = block.text.splitlines()
    run(first, ROOT, reader)
    for line in others:
        execute(line, reader, monkeypatch)


@pytest.mark.parametrize("block", blocks("bash", ROOT / "docs" / "operate.md"), ids=lambda block: block.name)
def test_the_commands_of_the_runbook_run(block: Block, pulled: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of the runbook succeeds, in the order in which it stands there."""
    for line in block.text.splitlines():
        execute(line, pulled, monkeypatch)


def test_a_source_is_added_by_one_folder(tmp_path: Path) -> None:
    """Writing the guide's files into a copy of the project, and nothing else, passes the conformance suite and loads."""
    for name in ("integration_assets", "integration_assets_tests"):
        shutil.copytree(ROOT / name, tmp_path / name)  # what is compiled already as well
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    environ = {"PYTHONPATH": str(tmp_path), "DAGSTER_DG_UPDATE_CHECK_ENABLED": "false"}
    for block in blocks("sh", GUIDE):
        for line in block.text.splitlines():
            run(line, tmp_path, environ)
    for language in ("python", "yaml", "json"):
        for block in blocks(language, GUIDE):
            if block.file:
                target = tmp_path / block.file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.text, encoding="utf-8")
    commands = [block.text.strip().partition(" -k ") for block in blocks("bash", GUIDE)]
    chosen = " or ".join(name for _, _, name in commands)
    assert " passed" in run(f"python -m {commands[0][0]} -k '{chosen}' -p no:cacheprovider", tmp_path, environ)
    loaded = "from integration_assets.definitions import defs; print([str(k) for k in defs().resolve_all_asset_keys()])"
    keys = run([sys.executable, "-c", loaded], tmp_path, environ)
    assert "helpdesk" in keys
    assert "parcels" in keys


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    """No page links to a file that is not there."""
    missing = [target for target in _LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / target).exists()]
    assert missing == []


def test_the_table_of_settings_is_the_code_s() -> None:
    """Every setting is documented with its name, default and meaning, word for word."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, default, meaning in settings.TABLE:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        assert default in row
        assert meaning in row
