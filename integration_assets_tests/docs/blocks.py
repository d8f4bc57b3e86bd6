"""The fenced blocks of the documentation: what a reader would copy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(?P<language>\w+)(?: file=(?P<file>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, line, language, text, and the file it is to be written to, if any."""

    page: Path
    line: int
    language: str
    text: str
    file: str | None

    @property
    def name(self) -> str:
        """`page:line`, as pytest shows it."""
        return f"{self.page.name}:{self.line}"


def blocks(language: str, page: Path | None = None) -> list[Block]:
    """Every block of a language, of one page or of all."""
    found = []
    for path in [page] if page else PAGES:
        text = path.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(path, line, match["language"], match["text"], match["file"]))
    return [block for block in found if block.language == language]
