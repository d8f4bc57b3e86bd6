"""The emulator's own Python environment, made once from a locked list and used by every test run after that."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-bigquery"
LOCK = Path(__file__).with_name("requirements.lock")
_WANTED = (3, 13)


class EmulatorMissingError(Exception):
    """The emulator cannot run on this machine; the text says what is missing."""


def python() -> Path:
    """The environment's interpreter, after making the environment if it is not there or not of this lock.

    Takes half a minute the first time. Raises `EmulatorMissingError`.
    """
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / ".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        stamp = FOLDER / ".made-of"
        wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
        if not stamp.exists() or stamp.read_text() != wanted:
            _make()
            stamp.write_text(wanted)
    return FOLDER / "env" / "bin" / "python"


def _make() -> None:
    interpreter = _interpreter()
    environment = FOLDER / "env"
    shutil.rmtree(environment, ignore_errors=True)
    _run([str(interpreter), "-m", "venv", str(environment)])
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    there = str(environment / "bin" / "python")
    install = [uv, "pip", "install", "--quiet", "--python", there] if uv else [there, "-m", "pip", "install", "--quiet"]
    _run([*install, "--require-hashes", "--requirement", str(LOCK)])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        raise EmulatorMissingError(f"the BigQuery emulator could not be installed: {done.stderr.strip()[-800:]}")


def _interpreter() -> Path:
    for candidate in _candidates():
        # A pyenv shim is there for every version that is installed, and fails for those that are not chosen.
        code = "import sys; print(sys.version_info[:2] == (3, 13))"
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - an interpreter
        if done.returncode == 0 and done.stdout.strip() == "True":
            return candidate
    raise EmulatorMissingError(
        "the BigQuery emulator needs Python 3.13 (its source uses 3.13's grammar and its wheel says so): put python3.13 on PATH,"
        " or install it with pyenv"
    )


def _candidates() -> Iterator[Path]:
    if sys.version_info[:2] == _WANTED:
        yield Path(sys.executable)
    found = shutil.which("python3.13")
    if found:
        yield Path(found)
    for root in (os.environ.get("PYENV_ROOT"), str(Path.home() / ".pyenv")):
        if root:
            yield from sorted(Path(root, "versions").glob("3.13*/bin/python3.13"), reverse=True)


if __name__ == "__main__":
    print(python())  # noqa: T201 - a command
