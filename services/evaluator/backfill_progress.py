"""When a partition's backfill is expected to end, from how fast it has come so far.

Rule: time is given, and an estimate is one of now: the next look may say another. Before anything has been seen to move
there is none.
"""

from __future__ import annotations

from segmentation.model import InstantMs


class BackfillProgress:
    """One partition's backfill, look by look. A backfill that goes back has begun again, for a newer definition."""

    def __init__(self) -> None:
        self._began: tuple[float, InstantMs] | None = None
        self._last = 0.0

    def ends_at(self, settled: float, now: InstantMs) -> InstantMs | None:
        """The expected end. Units: `settled` 0 to 1, the part that is done."""
        if self._began is None or settled < self._last:
            self._began = settled, now
        self._last = settled
        before, since = self._began
        if settled <= before or now <= since:
            return None
        return InstantMs(now + round((now - since) * (1 - settled) / (settled - before)))

    def ended(self) -> None:
        """Nothing is behind: the next backfill is another."""
        self._began = None
