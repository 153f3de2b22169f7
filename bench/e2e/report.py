"""How the measurements are printed: one table a section, each row with its goal beside it where there is one."""

from __future__ import annotations

from collections.abc import Sequence

UNCOMMITTED, COMMITTED = "read_uncommitted", "read_committed"
BACKLOG_GOALS_PER_S = {100: 40_000, 1_000: 30_000, 10_000: 10_000}
"""Segments → writes a second of one worker, with 20,000 contacts."""
LATENCY_GOALS_MS = {(1_000, UNCOMMITTED): (4, 20), (1_000, COMMITTED): (20, 50), (50, COMMITTED): (8, None)}
"""Writes a second and isolation → p50 and p99."""
BURST_GROWTH_MAX = 2
"""So many times their p99 before a burst may live writes take across it, at the 99th percentile."""
WIPED_GOAL_S, WARM_GOAL_S = 15.0, 3.0
RECOVERED_CONTACTS = 1_000_000
NO_GOAL = "-"


class Table:
    """Columns are as wide as their titles; rows are printed as they come, because a run takes minutes."""

    def __init__(self, section: str, titles: Sequence[str]) -> None:
        self._widths = [max(len(title), 9) for title in titles]
        print(f"\n{section}", flush=True)
        self.row(*titles)

    def row(self, *cells: str, note: str = "") -> None:
        """Print one row, and what is to be said of it below."""
        first, *rest = cells
        line = "  ".join(cell.rjust(width) for cell, width in zip(rest, self._widths[1:], strict=True))
        print(f"  {first.ljust(self._widths[0])}  {line}", flush=True)
        if note:
            print(f"      {note}", flush=True)


def at_most(found: float, goal: float | None, unit: str = "") -> str:
    """A goal that must not be exceeded, and whether it was."""
    return NO_GOAL if goal is None else f"<= {goal:.4g}{unit} {'ok' if found <= goal else 'MISSED'}"


def at_least(found: float, goal: float | None) -> str:
    """A goal that must be reached, and whether it was."""
    return NO_GOAL if goal is None else f">= {goal:,.0f} {'ok' if found >= goal else 'MISSED'}"
