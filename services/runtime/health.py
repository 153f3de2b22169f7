"""What a process says about itself: alive (its loop turns) and ready (it can do its work), each with a reason.

Rule: readiness is declared by the service, with a sentence that an operator can act on; liveness is observed, from the
age of the last beat. Reads come from the admin server's thread, so every read is of one immutable snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.runtime import clock

LIVE_BEAT_AGE_MAX_MS = 15_000
"""A loop that has not turned for this long is stuck: `/live` fails and the orchestrator restarts the process."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """One declared state: whether work is accepted, and why or why not."""

    ready: bool
    reason: str


class Health:
    """Readiness and liveness of one process. Starts alive and not ready."""

    def __init__(self, monotonic: Callable[[], float] = clock.monotonic) -> None:
        self._monotonic = monotonic
        self._readiness = Readiness(ready=False, reason="starting")
        self._last_beat = monotonic()

    def ready(self, reason: str = "ready") -> None:
        """Declare that work is accepted from now on."""
        self._readiness = Readiness(ready=True, reason=reason)

    def not_ready(self, reason: str) -> None:
        """Declare that no work should be sent here, and why."""
        self._readiness = Readiness(ready=False, reason=reason)

    def beat(self) -> None:
        """Record that the event loop has just turned."""
        self._last_beat = self._monotonic()

    @property
    def readiness(self) -> Readiness:
        """The state last declared."""
        return self._readiness

    @property
    def beat_age_ms(self) -> int:
        """Milliseconds since the loop last turned."""
        return int((self._monotonic() - self._last_beat) * 1000)

    @property
    def live(self) -> bool:
        """Whether the loop turned recently enough."""
        return self.beat_age_ms <= LIVE_BEAT_AGE_MAX_MS
