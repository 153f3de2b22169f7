"""Tells the world about this process's partitions on the status topic: owner, counts, progress, lag, lateness.

Rule: at most two rounds a second, only records that say something new, and never on the path of evaluation: if the
broker does not take a status, the next round says it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.evaluator_status import (
    PartitionState,
    PartitionStatusRecord,
    SegmentStatusRecord,
    UnreadableAttribute,
    partition_status_key,
    segment_status_key,
)
from segmentation.model import InstantMs, SegmentId
from services.evaluator.measures import LAG
from services.evaluator.reads import ServedPartition
from services.evaluator.rows import Count
from services.evaluator.serving import Serving
from services.evaluator.unreadable import UnreadableCount, UnreadableValues
from services.runtime import clock
from services.runtime.logs import get_logger

ROUND_S = 0.5
UNREADABLE_EVERY_S = 2.0
"""Counts of unreadable values are told this often: an attribute's count concerns every segment that asks for it."""
POSITION_EVERY_S = 10.0
"""Clock and offset alone are told this often: they move with every tick."""
NO_COUNT = Count()
MOVING_FIELDS = {"reported_at", "clock", "offset", "lag_ms"}

EndOffset = Callable[[int], int | None]
"""The end of a partition's input log as the consumer last saw it."""

log = get_logger("status")


class StatusReporter:
    """Publishes what changed since the last round."""

    def __init__(
        self, serving: Serving, owner_url: str, topic: str, client: Mapping[str, Any], end_offset: EndOffset
    ) -> None:
        self._serving = serving
        self._owner = owner_url
        self._topic = topic
        self._client = client
        self._end_offset = end_offset
        self._told: dict[bytes, tuple[object, float]] = {}
        self._unreadable: dict[int, _Report] = {}

    async def run(self) -> None:
        """Report until cancelled."""
        producer = AIOKafkaProducer(**self._client, acks="all", enable_idempotence=True, linger_ms=5)
        await producer.start()
        try:
            while True:
                await asyncio.sleep(ROUND_S)
                self._serving.refresh_metrics()
                await self._round(producer)
        finally:
            await producer.stop()

    async def _round(self, producer: AIOKafkaProducer) -> None:
        for index in sorted(self._serving.recovering):
            record = PartitionStatusRecord(
                partition=index, owner=self._owner, state=PartitionState.RECOVERING, reported_at=clock.now_ms()
            )
            await self._tell(producer, partition_status_key(index), record, PartitionState.RECOVERING)
        for served in list(self._serving.served.values()):
            status = self._partition(served, clock.now_ms())
            key = partition_status_key(status.partition)
            await self._tell(producer, key, status, tuple(status.model_dump(exclude=MOVING_FIELDS).items()))
            for key, news, segment in self._segment_news(served):
                await self._tell(producer, key, segment(), news)

    async def _tell(
        self, producer: AIOKafkaProducer, key: bytes, record: PartitionStatusRecord | SegmentStatusRecord, news: object
    ) -> None:
        now = clock.monotonic()
        told = self._told.get(key)
        is_old = isinstance(record, PartitionStatusRecord) and told is not None and now - told[1] >= POSITION_EVERY_S
        if told is not None and told[0] == news and not is_old:
            return
        try:
            await producer.send(self._topic, key=key, value=record.encode(), partition=0)
        except KafkaError as error:
            log.warning("a status could not be published", error=repr(error))
            return
        self._told[key] = (news, now)

    def _partition(self, served: ServedPartition, now: InstantMs) -> PartitionStatusRecord:
        partition = served.partition
        end = self._end_offset(partition.index)
        lag = max(0, end - partition.next_offset) if end is not None else 0
        LAG.labels(str(partition.index)).set(lag)
        return PartitionStatusRecord(
            partition=partition.index,
            owner=self._owner,
            state=PartitionState.READY,
            reported_at=now,
            clock=partition.clock,
            offset=partition.next_offset - 1,
            lag_records=lag,
            lag_ms=max(0, now - partition.clock) if lag else 0,
            deadline_lateness_ms=partition.tally.deadline_lateness_ms,
            contacts=partition.contacts,
            dead_letters=partition.tally.dead_lettered,
        )

    def _segment_news(
        self, served: ServedPartition
    ) -> Iterator[tuple[bytes, object, Callable[[], SegmentStatusRecord]]]:
        """The segments of which there is something new to say. Cost: one comparison a segment that has not moved."""
        partition = served.partition
        settling = set(partition.settling)
        settled_percent = round(100.0 * partition.settled)
        unreadable = self._unreadable_of(served)
        for segment_id, segment in list(partition.definitions.catalogue.segments.items()):
            count = partition.counts.get(segment_id, NO_COUNT)
            is_settling = segment_id in settling
            found = unreadable.get(segment_id, ())
            moved = (count.members, count.entered, count.exited)
            news = (moved, segment.version, settled_percent if is_settling else None, found)
            key = segment_status_key(segment_id, partition.index)
            told = self._told.get(key)
            if told is None or told[0] != news:
                yield (
                    key,
                    news,
                    partial(
                        SegmentStatusRecord,
                        segment_id=segment_id,
                        partition=partition.index,
                        version=segment.version,
                        reported_at=clock.now_ms(),
                        members=count.members,
                        entered=count.entered,
                        exited=count.exited,
                        settling=is_settling,
                        settled_percent=settled_percent if is_settling else 100,
                        unreadable=[_told_unreadable(count) for count in found],
                    ),
                )

    def _unreadable_of(self, served: ServedPartition) -> Mapping[SegmentId, tuple[UnreadableCount, ...]]:
        """Unreadable values by segment, a moment old when they change all the time."""
        index, values, now = served.partition.index, served.partition.unreadable, clock.monotonic()
        last = self._unreadable.get(index)
        is_news = last is None or last.values is not values or last.generation != values.generation
        if last is None or (is_news and now - last.at >= UNREADABLE_EVERY_S):
            last = self._unreadable[index] = _Report(values, values.generation, now, values.report())
        return last.by_segment


class _Report(NamedTuple):
    """What one partition's values said at an instant of the monotonic clock."""

    values: UnreadableValues
    generation: int
    at: float
    by_segment: Mapping[SegmentId, tuple[UnreadableCount, ...]]


def _told_unreadable(found: UnreadableCount) -> UnreadableAttribute:
    return UnreadableAttribute(
        attribute=found.attribute,
        reading=found.reading,
        count=found.contacts,
        sample=found.sample,
        settling=found.settling,
    )
