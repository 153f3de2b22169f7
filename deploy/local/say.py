"""Telling a person what is going on, one line at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable

Say = Callable[[str], None]
"""Shows one line."""


def to_standard_error(line: str) -> None:
    """Show the line at once, apart from a command's results."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def quiet(_line: str) -> None:
    """Show nothing: for callers that wait in silence."""
