"""What the scheduler reads from its environment beyond what all services share.

Rule: a setting is bounded here; nothing else in the scheduler reads the environment.
"""

from __future__ import annotations

from pydantic import Field

from schemas.groups import SCHEDULER_GROUP
from services.runtime.settings import ADMIN_PORT, RuntimeSettings


class SchedulerSettings(RuntimeSettings):
    """The scheduler's settings."""

    admin_port: int = Field(9092, ge=0, le=65_535, description=ADMIN_PORT)
    scheduler_group: str = Field(
        SCHEDULER_GROUP, min_length=1, max_length=200, description="Consumer group, after the topic prefix."
    )
