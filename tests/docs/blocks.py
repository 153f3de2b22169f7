"""The code blocks of a page of the documentation, and what the words behind their language ask for.

```sh                    run, must end with 0
```sh serves             started, must still run after a moment, stopped at the end of the page
```sh elsewhere="why"    not run here: the reason is listed, and its commands are only looked at
```text output           the lines that the block above prints; `…` stands for anything
```python                run; a block that never ends by itself has `until="words it prints"`
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
SHELL = frozenset({"sh", "bash", "console", "shell"})


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `line` is where its content begins, from 1."""

    page: str
    line: int
    language: str
    flags: frozenset[str]
    options: dict[str, str]
    text: str

    @property
    def is_command(self) -> bool:
        """Whether people type it into a shell."""
        return self.language in SHELL

    @property
    def is_output(self) -> bool:
        """Whether it shows what the block above prints."""
        return "output" in self.flags

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Return every page people read. Decisions and the reference tell, and ask nobody to type anything."""
    found = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md")))]
    return [*found, *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "examples").rglob("README.md")))]


def blocks(page: str) -> list[Block]:
    """Return a page's fenced blocks in order."""
    tokens = MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8"))
    found = []
    for token in tokens:
        if token.type == "fence" and token.map is not None:
            language, *words = shlex.split(token.info) or [""]
            options = dict(word.split("=", 1) for word in words if "=" in word)
            flags = frozenset(word for word in words if "=" not in word)
            found.append(Block(page, token.map[0] + 2, language, flags, options, token.content))
    return found
