"""`contact-changes`, kind `tick`: tells a partition that time has passed. Its instant is the broker's timestamp.

Rule: nothing in the value takes part in evaluation; it says who sent the tick and when it was meant to be sent.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.record import Record, WireInstant

TICK = "tick"


class TickRecord(Record):
    """One tick. `scheduled_at` is the scheduler's own clock, for lateness only."""

    scheduled_at: WireInstant
    interval_ms: Annotated[int, Field(ge=1)]
