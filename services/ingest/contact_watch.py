"""Looks through the input log for records of some contacts: whether they were written since they were read.

Rule: every record counts, also one whose transaction is not decided or was aborted: to read a contact once more is
harmless, to overlook a write is not. Nothing is kept between two looks but the place that was reached.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from segmentation.model import ContactId
from services.runtime.errors import ServiceError
from services.runtime.kafka import client_options
from services.runtime.settings import RuntimeSettings

POLL_TIMEOUT_MS: Final = 200


class ContactsChangedError(ServiceError):
    """One of the contacts was written since it was read."""


class ContactWatch:
    """From some places of the log on; use `watching`. Errors of its methods: KafkaError, ContactsChangedError."""

    def __init__(self, consumer: Any, places: list[TopicPartition], contact_ids: Collection[ContactId]) -> None:
        self._consumer = consumer
        self._places = places
        self._keys = {contact_id.encode() for contact_id in contact_ids}

    @classmethod
    @contextlib.asynccontextmanager
    async def watching(
        cls, settings: RuntimeSettings, topic: str, contact_ids: Collection[ContactId], starts: Mapping[int, int]
    ) -> AsyncIterator[ContactWatch]:
        """Look from `starts` on, offsets by partition. Errors: KafkaError, OSError."""
        consumer = AIOKafkaConsumer(
            enable_auto_commit=False, isolation_level="read_uncommitted", **client_options(settings)
        )
        try:
            await consumer.start()
            places = [TopicPartition(topic, partition) for partition in starts]
            consumer.assign(places)
            for place in places:
                consumer.seek(place, starts[place.partition])
            yield cls(consumer, places, contact_ids)
        finally:
            await consumer.stop()

    async def up_to_now(self) -> None:
        """Return if none of the contacts is in what the log holds now."""
        ends = await self._consumer.end_offsets(self._places)
        await self.up_to({place.partition: end for place, end in ends.items()})

    async def up_to(self, ends: Mapping[int, int], own: Collection[tuple[int, int]] = ()) -> None:
        """Return if none of the contacts is in what stands before these offsets, but for `own`, by their places."""
        while behind := [at for at in self._places if await self._consumer.position(at) < ends[at.partition]]:
            for place, records in (await self._consumer.getmany(*behind, timeout_ms=POLL_TIMEOUT_MS)).items():
                for record in records:
                    if (place.partition, record.offset) in own:
                        continue
                    if record.key in self._keys and record.offset < ends[place.partition]:
                        raise ContactsChangedError(
                            "a contact was written since it was read",
                            topic=place.topic,
                            partition=place.partition,
                            offset=record.offset,
                        )
