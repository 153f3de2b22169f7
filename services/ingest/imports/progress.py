"""How far an import that is at work has come, and how fast: for people who watch it.

Rule: counts are of rows that are safely written or reported; rate and time left are estimates and say so by being
rounded. Time comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.ingest.imports.records import Checkpoint

RATE_WEIGHT = 0.3
"""How much of the shown rate is the newest measurement."""


@dataclass
class Progress:
    """One run. Units: `now_s` is seconds of a clock that never goes back."""

    bytes_total: int
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    waiting: str | None = None
    rows_per_s: float | None = None
    bytes_per_s: float | None = None
    _measured_at_s: float | None = None

    def begin(self, checkpoint: Checkpoint, now_s: float) -> None:
        """The run goes on from here."""
        self.checkpoint, self._measured_at_s = checkpoint, now_s

    def advance(self, checkpoint: Checkpoint, now_s: float) -> None:
        """Everything up to this checkpoint is safe."""
        before, since = self.checkpoint, self._measured_at_s
        self.checkpoint, self._measured_at_s = checkpoint, now_s
        if since is None or now_s <= since:
            return
        self.rows_per_s = _smoothed(self.rows_per_s, (checkpoint.row - before.row) / (now_s - since))
        self.bytes_per_s = _smoothed(self.bytes_per_s, (checkpoint.offset - before.offset) / (now_s - since))

    @property
    def eta_s(self) -> int | None:
        """Seconds until the end at the present rate, rounded up; None before a rate is known or while waiting."""
        if self.waiting is not None or not self.bytes_per_s:
            return None
        return int(max(0, self.bytes_total - self.checkpoint.offset) / self.bytes_per_s) + 1


def _smoothed(before: float | None, measured: float) -> float:
    return measured if before is None else before + RATE_WEIGHT * (measured - before)
