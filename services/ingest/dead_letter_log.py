"""Reads one dead letter by its place.

Rule: a place whose record retention has removed, or that never held one, is None; a broker that does not answer in time
is a ServiceError. Nothing is kept between two reads.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import Topic, topic_name
from services.ingest.replaying import DeadLetter
from services.ingest.settings import IngestSettings
from services.runtime.errors import ServiceError
from services.runtime.kafka import client_options

READ_TIMEOUT_S: Final = 4.0
READERS_MAX: Final = 2
"""At the same time; a letter may have seven MiB."""


class DeadLetterLog:
    """The topic `dead-letters`."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._topic = topic_name(settings.topic_prefix, Topic.DEAD_LETTERS)
        self._turns = asyncio.Semaphore(READERS_MAX)

    async def read(self, partition: int, offset: int) -> DeadLetter | None:
        """The dead letter at a place. Errors: ServiceError."""
        if not 0 <= partition < self._settings.partitions:
            return None
        place = TopicPartition(self._topic, partition)
        options = client_options(self._settings)
        consumer = AIOKafkaConsumer(enable_auto_commit=False, isolation_level="read_committed", **options)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S), self._turns:
                await consumer.start()
                consumer.assign([place])
                begin = (await consumer.beginning_offsets([place]))[place]
                end = (await consumer.end_offsets([place]))[place]
                if not begin <= offset < end:
                    return None
                consumer.seek(place, offset)
                record = await _next(consumer, place, end)
        except (KafkaError, OSError, TimeoutError) as error:
            raise ServiceError(
                "the dead letter could not be read in time", topic=self._topic, partition=partition, offset=offset
            ) from error
        finally:
            await consumer.stop()
        if record is None or record.offset != offset:
            return None
        headers = [(name, content or b"") for name, content in record.headers]
        return DeadLetter(partition, offset, record.key, record.value, headers)


async def _next(consumer: Any, place: TopicPartition, end: int) -> Any:
    """The first record from where the consumer stands; None if only markers of transactions are left."""
    while await consumer.position(place) < end:
        for records in (await consumer.getmany(place, timeout_ms=200, max_records=1)).values():
            return records[0]
    return None
