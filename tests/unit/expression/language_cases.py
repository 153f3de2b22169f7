"""The rows of `tests/cases/language`, read once and given to the tests that try them."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

CASES = Path(__file__).parents[2] / "cases" / "language"


@cache
def rows(name: str) -> list[Any]:
    """The rows of one file: tables or lists."""
    with (CASES / f"{name}.toml").open("rb") as file:
        found: list[Any] = tomllib.load(file)["rows"]
    return found
