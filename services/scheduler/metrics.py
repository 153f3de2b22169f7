"""What the scheduler measures."""

from __future__ import annotations

from services.runtime.metrics import counter, gauge, histogram

TICKS_APPENDED = counter("tidegate_ticks", "Ticks appended, one per partition and interval.")
TICK_LATENESS_SECONDS = histogram(
    "tidegate_tick_lateness_seconds", "From the instant a tick was due to its acknowledgement by every partition."
)
TICK_ROUNDS_FAILED = counter("tidegate_tick_rounds_failed", "Rounds of ticks that the broker did not acknowledge.")
DEFINITIONS_APPENDED = counter("tidegate_definitions_appended", "Segment versions appended to every partition.")
DEFINITIONS_REFUSED = counter("tidegate_definitions_refused", "Proposed segment versions that were not accepted.")
LEADER = gauge("tidegate_scheduler_leader_info", "1 while this scheduler leads.")
