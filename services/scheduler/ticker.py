"""The clock's way into the partitions: one tick a partition every interval.

Rule: a partition has at most one tick under way, and none that waits, so that one without a leader holds up no other;
what is missed is skipped, not made up for. The broker's timestamp is the time, so a late or a double tick is harmless.
Sleeps to an absolute due time, so that ticks do not drift.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiokafka.errors import KafkaError

from schemas.events import TICK_HEADERS, identified
from schemas.tick import TickRecord
from segmentation.model import InstantMs
from services.runtime.logs import get_logger
from services.scheduler import metrics
from services.scheduler.fanout import Appender

log = get_logger("ticker")


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
        self._under_way: set[int] = set()
        self._failing: set[int] = set()
        self._owed: dict[int, float] = {}
        """Of each partition, when the first tick was due since its last acknowledgement."""
        self._acknowledged = 0
        self._latest = 0.0
        """The greatest lateness of what was acknowledged in this interval. Units: seconds."""

    async def run(self) -> None:
        """Tick until cancelled.

        Errors: raises what the appender raises, a client's error only where no partition has acknowledged anything
        since that append began.
        """
        try:
            async with asyncio.TaskGroup() as appends:
                await self._beat(appends)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _beat(self, appends: asyncio.TaskGroup) -> None:
        interval_s = self._interval_ms / 1000
        due = self._monotonic()
        while True:
            self._begin(due, appends)
            missed = max(0, int((self._monotonic() - due) // interval_s))
            due += interval_s * (missed + 1)
            await asyncio.sleep(max(0.0, due - self._monotonic()))
            self._measure()

    def _begin(self, due: float, appends: asyncio.TaskGroup) -> None:
        """Begin a tick in each partition that has none under way."""
        tick = TickRecord(scheduled_at=self._now_ms(), interval_ms=self._interval_ms)
        value, headers = tick.encode(), identified(TICK_HEADERS, f"tick|{tick.scheduled_at}")
        for partition in range(self._partitions):
            if partition not in self._under_way:
                self._under_way.add(partition)
                self._owed.setdefault(partition, due)
                appends.create_task(self._tick(partition, value, headers))

    async def _tick(self, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        acknowledged = self._acknowledged
        try:
            await self._append(partition, value, headers)
        except KafkaError as error:
            metrics.TICKS_FAILED.inc()
            if self._acknowledged == acknowledged:
                raise
            self._failed(partition, error)
        else:
            self._took(partition)
        finally:
            self._under_way.remove(partition)

    def _failed(self, partition: int, error: KafkaError) -> None:
        """One line until the partition takes ticks again."""
        if partition not in self._failing:
            self._failing.add(partition)
            log.warning("a partition takes no ticks, others do", partition=partition, error=repr(error))

    def _took(self, partition: int) -> None:
        self._acknowledged += 1
        metrics.TICKS_APPENDED.inc()
        self._latest = max(self._latest, self._monotonic() - self._owed.pop(partition))
        if partition in self._failing:
            self._failing.remove(partition)
            log.info("a partition takes ticks again", partition=partition)

    def _measure(self) -> None:
        """The worst partition's lateness in the interval that ends, whether it has acknowledged its tick or not."""
        now = self._monotonic()
        outstanding = (now - due for due in self._owed.values())
        metrics.TICK_LATENESS_SECONDS.observe(max(self._latest, *outstanding, 0.0))
        self._latest = 0.0
