"""One line a fault, printed after the run: what was done, and how long it took until all was well again.

A test's lines travel in its report, which comes to the printing process from whichever process ran the test.
"""

from __future__ import annotations

from collections.abc import Iterable

PROPERTY = "fault"

_LINES: list[str] = []


def show(fault: str, line: str) -> None:
    """Note what a test of a fault has seen."""
    _LINES.append(f"{fault}: {line}")


def taken() -> list[str]:
    """What was noted since it was last taken."""
    lines = _LINES.copy()
    _LINES.clear()
    return lines


def in_order(lines: Iterable[str]) -> list[str]:
    """Lines in the order of the catalogue."""
    return sorted(lines, key=lambda line: int(line[1 : line.index(":")]))
