"""Figures that a test has taken, told beside its outcome: `pytest -s` shows them."""

from __future__ import annotations

import sys


def tell(line: str) -> None:
    """Write one line."""
    sys.stderr.write(f"\n{line}\n")
