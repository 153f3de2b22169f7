"""The one place that reads a clock.

Rule: every other module takes time as an argument or calls these functions, so that a test can drive time by hand
and the core stays a function of its inputs. What must not happen here: arithmetic on instants, sleeping, formatting.
"""

from __future__ import annotations

import time

from segmentation.model import InstantMs


def now_ms() -> InstantMs:
    """Return the wall clock, for logs and metrics only: evaluation uses the broker's timestamps."""
    return InstantMs(time.time_ns() // 1_000_000)


def monotonic() -> float:
    """Return seconds on a clock that never goes back, for measuring durations."""
    return time.monotonic()


def processor_s() -> float:
    """Return the processor time that this process has taken, of all its threads."""
    return time.process_time()
