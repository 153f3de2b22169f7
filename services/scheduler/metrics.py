"""What the scheduler measures."""

from __future__ import annotations

from services.runtime.metrics import counter, gauge, histogram

TICKS_APPENDED = counter("tidegate_ticks", "Ticks appended, one per partition and interval.")
TICK_LATENESS_SECONDS = histogram(
    "tidegate_tick_lateness_seconds",
    "Each interval, of the worst partition: from when its tick was due to its acknowledgement, or so far without one.",
)
TICKS_FAILED = counter("tidegate_ticks_failed", "Ticks that were not acknowledged; the next follows at its own time.")
DEFINITIONS_APPENDED = counter("tidegate_definitions_appended", "Segment versions appended to every partition.")
DEFINITIONS_REFUSED = counter("tidegate_definitions_refused", "Proposed segment versions that were not accepted.")
LEADER = gauge("tidegate_scheduler_leader_info", "1 while this scheduler leads.")
