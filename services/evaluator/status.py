"""Tells the world about this process's partitions on the status topic: owner, counts, progress, lag, lateness.

Rule: at most two rounds a second, only records that say something new, and never on the path of evaluation: a round is
done in slices with live work between them, and if the broker does not take a status, the next round says it again.
Partitions have rounds of their own: while thousands of segments settle, one of those takes half a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.evaluator_status import (
    PartitionState,
    PartitionStatusRecord,
    partition_status_key,
    segment_status_key,
)
from segmentation.model import InstantMs, SegmentId
from services.evaluator.measures import LAG
from services.evaluator.ports import LogError
from services.evaluator.reads import ServedPartition
from services.evaluator.segment_news import SegmentNews, UnreadableReport
from services.evaluator.serving import Serving
from services.evaluator.unreadable import UnreadableValues
from services.runtime import clock
from services.runtime.logs import get_logger

ROUND_S = 0.5
SLICE_SEGMENTS = 50
"""Segments looked at between two turns of the event loop: about a millisecond if each has something new."""
UNREADABLE_EVERY_S = 2.0
"""Counts of unreadable values are told this often: an attribute's count concerns every segment that asks for it."""
POSITION_EVERY_S = 10.0
"""Clock and offset alone are told this often: they move with every tick."""
MOVING_FIELDS = {"reported_at", "clock", "offset", "lag_ms"}

Telling = tuple[SegmentId, bytes | None]
"""What is said of a segment; None that there is no such segment any more."""
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
        self._told: dict[int, _Said] = {}
        self._unreadable: dict[int, _Report] = {}

    async def run(self) -> None:
        """Report until cancelled."""
        producer = AIOKafkaProducer(**self._client, acks="all", enable_idempotence=True, linger_ms=5)
        try:
            await self._connect(producer)
            async with asyncio.TaskGroup() as telling:
                for told in (self._tell_partitions, self._tell_all_segments):
                    telling.create_task(_in_rounds(told, producer))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        finally:
            await producer.stop()

    async def _connect(self, producer: AIOKafkaProducer) -> None:
        try:
            await producer.start()
        except KafkaError as error:
            raise LogError(
                f"cannot connect to tell the state of the partitions: {error!r}", topic=self._topic
            ) from error

    async def _tell_partitions(self, producer: AIOKafkaProducer) -> None:
        serving = self._serving
        serving.refresh_metrics()
        self._forget()
        recovering = serving.recovering
        for index in sorted(recovering):
            if serving.recovering is not recovering or index not in recovering:
                continue
            record = PartitionStatusRecord(
                partition=index, owner=self._owner, state=PartitionState.RECOVERING, reported_at=clock.now_ms()
            )
            await self._tell(producer, record, recovering, PartitionState.RECOVERING)
        for served in list(serving.served.values()):
            if serving.served.get(served.partition.index) is not served:
                continue
            status = self._partition(served, clock.now_ms())
            await self._tell(producer, status, served, tuple(status.model_dump(exclude=MOVING_FIELDS).items()))

    async def _tell_all_segments(self, producer: AIOKafkaProducer) -> None:
        for served in list(self._serving.served.values()):
            if self._serving.served.get(served.partition.index) is served:
                await self._tell_segments(producer, served)

    def _forget(self) -> None:
        """Of partitions that are not ours nothing was told: whoever had them meanwhile has said that they are its."""
        ours = self._serving.recovering | self._serving.served.keys()
        self._told = {index: said for index, said in self._told.items() if index in ours}
        self._unreadable = {index: report for index, report in self._unreadable.items() if index in ours}

    async def _tell(
        self, producer: AIOKafkaProducer, record: PartitionStatusRecord, held: object, news: object
    ) -> None:
        """Say what is new, or all again when the partition was given up and came back since: `held` is another then."""
        now = clock.monotonic()
        index = record.partition
        told = self._told.get(index)
        is_told = told is not None and told.held is held and told.news == news
        if told is not None and is_told and now - told.at < POSITION_EVERY_S:
            return
        try:
            sent = await producer.send(self._topic, key=partition_status_key(index), value=record.encode(), partition=0)
        except KafkaError as error:
            log.warning("a status could not be published", error=repr(error))
            return
        said = self._told[index] = _Said(held, news, now)

        def settle(done: asyncio.Future[Any]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                log.warning("a status was not taken", partition=index, error=repr(error))
                if self._told.get(index) is said:
                    del self._told[index]

        sent.add_done_callback(settle)

    async def _tell_segments(self, producer: AIOKafkaProducer, served: ServedPartition) -> None:
        """Tell what is new of a partition's segments, a slice at a time."""
        index = served.partition.index
        news = self._serving.news.get(index)
        if news is None:
            return
        segment_ids = news.to_look_at(self._unreadable_of(served), clock.now_ms())
        gone: list[Telling] = [(segment_id, None) for segment_id in news.gone()]
        for start in range(0, len(segment_ids), SLICE_SEGMENTS):
            if self._serving.news.get(index) is not news:
                return
            looked_at = segment_ids[start : start + SLICE_SEGMENTS]
            now = clock.now_ms()
            records = [record for each in looked_at if (record := news.record(each, now)) is not None]
            if not await self._publish(producer, index, [(each.segment_id, each.encode()) for each in records], news):
                news.untold([*segment_ids[start + SLICE_SEGMENTS :], *(segment_id for segment_id, _ in gone)])
                return
            await asyncio.sleep(0)
        for start in range(0, len(gone), SLICE_SEGMENTS):
            if self._serving.news.get(index) is not news:
                return
            if not await self._publish(producer, index, gone[start : start + SLICE_SEGMENTS], news):
                news.untold(segment_id for segment_id, _ in gone[start + SLICE_SEGMENTS :])
                return
            await asyncio.sleep(0)

    async def _publish(
        self, producer: AIOKafkaProducer, partition: int, tellings: Sequence[Telling], news: SegmentNews
    ) -> bool:
        """Hand records over; whether that went well."""
        try:
            await self._append(producer, partition, tellings, news)
        except KafkaError as error:
            log.warning("statuses of segments could not be published", partition=partition, error=repr(error))
            news.untold([segment_id for segment_id, _ in tellings])
            return False
        return True

    async def _append(
        self, producer: AIOKafkaProducer, partition: int, tellings: Sequence[Telling], news: SegmentNews
    ) -> None:
        """As whole batches, which costs a fraction of sending them one by one."""
        batch, told = producer.create_batch(), [segment_id for segment_id, _ in tellings]
        for segment_id, value in tellings:
            key = segment_status_key(segment_id, partition)
            if batch.append(key=key, value=value, timestamp=None) is None:
                await self._send(producer, batch, told, news)
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        if batch.record_count():
            await self._send(producer, batch, told, news)

    async def _send(self, producer: AIOKafkaProducer, batch: Any, told: Sequence[SegmentId], news: SegmentNews) -> None:
        sent = await producer.send_batch(batch, self._topic, partition=0)

        def settle(done: asyncio.Future[Any]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                log.warning("statuses of segments were not taken", error=repr(error))
                news.untold(told)

        sent.add_done_callback(settle)

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
            deadline_lateness_ms=partition.due.lateness_ms(partition.clock),
            contacts=partition.contacts,
            dead_letters=partition.tally.dead_lettered,
        )

    def _unreadable_of(self, served: ServedPartition) -> UnreadableReport:
        """Unreadable values by segment, a moment old when they change all the time."""
        index, values, now = served.partition.index, served.partition.unreadable, clock.monotonic()
        last = self._unreadable.get(index)
        is_another = last is None or last.values is not values  # a partition that came back has values of its own
        if last is None or is_another or (last.generation != values.generation and now - last.at >= UNREADABLE_EVERY_S):
            last = self._unreadable[index] = _Report(values, values.generation, now, values.report())
        return last.by_segment


async def _in_rounds(tell: Callable[[AIOKafkaProducer], Awaitable[None]], producer: AIOKafkaProducer) -> None:
    while True:
        await asyncio.sleep(ROUND_S)
        await tell(producer)


class _Said(NamedTuple):
    """What was last said of a partition, held as this very object then, at an instant of the monotonic clock."""

    held: object
    news: object
    at: float


class _Report(NamedTuple):
    """What one partition's values said at an instant of the monotonic clock."""

    values: UnreadableValues
    generation: int
    at: float
    by_segment: UnreadableReport
