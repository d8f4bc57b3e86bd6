"""What docs/guarantees.md promises is shown by tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "guarantees.md"
_TEST = re.compile(r"`(?P<file>[a-z_/0-9]+/test_[a-z_0-9]+\.py)(?:::(?P<name>test_[a-z_0-9]+))?`")


def test_every_test_that_is_named_exists() -> None:
    """A promise whose test was renamed or removed is found out."""
    named = {(found["file"], found["name"]) for found in _TEST.finditer(PAGE.read_text())}
    assert len(named) > 50
    assert sorted(f"{file}::{name}" for file, name in named if not _there(file, name)) == []


def test_every_promise_names_its_tests_and_every_law_its_promise() -> None:
    """Each row of the page ends with a test, and each of the ten laws is in one of them."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| **")]
    assert [row for row in rows if len(row.split(" | ")) != 4 or not _TEST.search(row.split(" | ")[3])] == []
    assert {int(law) for row in rows for law in re.findall(r"\(law (\d+)\)", row)} == set(range(1, 11))


def _there(file: str, name: str | None) -> bool:
    path = TESTS / file
    if not path.exists() or name is None:
        return path.exists()
    return any(isinstance(one, ast.FunctionDef) and one.name == name for one in ast.parse(path.read_text()).body)
