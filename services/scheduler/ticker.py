"""The clock's way into the partitions: one tick a partition every interval.

Rule: rounds never overlap and a missed one is skipped, not made up for; the broker's timestamp is the time, so a late
or a double tick is harmless. Sleeps to an absolute due time, so that ticks do not drift.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiokafka.errors import KafkaError

from schemas.events import TICK_HEADERS, identified
from schemas.tick import TickRecord
from segmentation.model import InstantMs
from services.scheduler import metrics
from services.scheduler.fanout import Appender


class Ticker:
    """Appends ticks for as long as it runs. Cancel it to stop."""

    def __init__(
        self,
        append: Appender,
        partitions: int,
        interval_ms: int,
        now_ms: Callable[[], InstantMs],
        monotonic: Callable[[], float],
    ) -> None:
        self._append = append
        self._partitions = partitions
        self._interval_ms = interval_ms
        self._now_ms = now_ms
        self._monotonic = monotonic

    async def run(self) -> None:
        """Tick until cancelled. Errors: raises what the appender raises."""
        interval_s = self._interval_ms / 1000
        due = self._monotonic()
        while True:
            await self._round(due)
            missed = max(0, int((self._monotonic() - due) // interval_s))
            due += interval_s * (missed + 1)
            await asyncio.sleep(max(0.0, due - self._monotonic()))

    async def _round(self, due: float) -> None:
        tick = TickRecord(scheduled_at=self._now_ms(), interval_ms=self._interval_ms)
        value, headers = tick.encode(), identified(TICK_HEADERS, f"tick|{tick.scheduled_at}")
        appends = (self._append(partition, value, headers) for partition in range(self._partitions))
        try:
            await asyncio.gather(*appends)
        except KafkaError:
            metrics.TICK_ROUNDS_FAILED.inc()
            raise
        metrics.TICKS_APPENDED.inc(self._partitions)
        metrics.TICK_LATENESS_SECONDS.observe(max(0.0, self._monotonic() - due))
