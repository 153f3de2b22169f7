"""Reads whole topics without a group: every console follows every partition, and keeps no position of its own.

Rule: records of open or aborted transactions are never seen. Knows Kafka, not what the records mean.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.console.settings import ConsoleSettings
from services.runtime.following import count_from_zero
from services.runtime.kafka import client_options

RECORDS_PER_POLL_MAX: Final = 2_000
POLL_TIMEOUT_MS: Final = 5_000
FETCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of all partitions together, fetched ahead: a reader that takes nothing of what it missed holds no more."""
FETCH_WAIT_MS: Final = 2_000
"""The broker answers at once when there is something; this is only how long it waits when there is nothing."""


class TopicLog:
    """One topic's partitions, read from where they are sought to."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, partitions: int) -> None:
        self._consumer = consumer
        self._places = {partition: TopicPartition(topic, partition) for partition in range(partitions)}

    async def ends(self) -> dict[int, int]:
        """The offset after the last committed record, by partition."""
        ends = await self._consumer.end_offsets(list(self._places.values()))
        return {partition: ends[place] for partition, place in self._places.items()}

    async def begins(self) -> dict[int, int]:
        """The first kept offset, by partition."""
        begins = await self._consumer.beginning_offsets(list(self._places.values()))
        return {partition: begins[place] for partition, place in self._places.items()}

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Read on from these offsets."""
        for partition, offset in offsets.items():
            self._consumer.seek(self._places[partition], offset)

    async def position(self, partition: int) -> int:
        """The offset that is read next."""
        return int(await self._consumer.position(self._places[partition]))

    async def span(self, spans: Mapping[int, tuple[int, int]]) -> AsyncIterator[Any]:
        """The committed records from an offset up to another, of these partitions and no other.

        Shape: in order within each partition. Bounds: the first inclusive, the second exclusive and not after the end.
        """
        self._consumer.assign([self._places[partition] for partition in spans])
        self.seek({partition: first for partition, (first, _) in spans.items()})
        while any([await self.position(partition) < last for partition, (_, last) in spans.items()]):
            for record in await self.poll():
                if record.offset < spans[record.partition][1]:
                    yield record

    async def poll(self, timeout_ms: int = POLL_TIMEOUT_MS) -> list[Any]:
        """The next records, in order within each partition. Shape: empty when nothing came within the time."""
        fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=RECORDS_PER_POLL_MAX)
        return [record for records in fetched.values() for record in records]


@asynccontextmanager
async def open_log(settings: ConsoleSettings, topic: str, partitions: int) -> AsyncIterator[TopicLog]:
    """Connect to a topic; closed at the end of the block."""
    count_from_zero(topic)
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_bytes=FETCH_BYTES_MAX,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    try:
        await consumer.start()
        consumer.assign([TopicPartition(topic, partition) for partition in range(partitions)])
        yield TopicLog(consumer, topic, partitions)
    finally:
        await consumer.stop()
