"""One line a fault, printed after the run: what was done, and how long it took until all was well again."""

from __future__ import annotations

_LINES: list[str] = []


def show(fault: str, line: str) -> None:
    """Note what a test of a fault has seen."""
    _LINES.append(f"{fault}: {line}")


def shown() -> list[str]:
    """Every line so far, in the order of the catalogue."""
    return sorted(_LINES, key=lambda line: int(line[1 : line.index(":")]))
