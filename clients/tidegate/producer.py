"""Writes contact changes straight to the input log, for producers that already live beside Kafka.

Rule: the key is the contact id and the partition is Kafka's murmur2 of it, as for every other writer, so all changes of
a contact are in one order. A write is returned only when all in-sync replicas have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import orjson
from aiokafka import AIOKafkaProducer

from schemas.contact_change import CONTACT_CHANGED, ContactChangeRecord
from schemas.limits import CONTACT_BYTES_MAX
from schemas.partitioner import partition_for_key
from schemas.topics import Topic, topic_name
from segmentation.model import AttributeName, ContactId, InstantMs, Offset, Value
from tidegate.starting import start_or_stop

LINGER_MS: Final = 1
"""A write waits this long for company: small enough not to be noticed, enough to batch a burst."""
HEADERS: Final = [("ce_type", CONTACT_CHANGED.encode())]


class ContactProducer:
    """Sets attributes of contacts and erases contacts, by records on `contact-changes`."""

    def __init__(self, bootstrap: str, *, topic_prefix: str = "", **kafka: Any) -> None:
        """`kafka` goes to the underlying producer: security, client id, compression."""
        self._bootstrap = bootstrap
        self._topic = topic_name(topic_prefix, Topic.CONTACT_CHANGES)
        self._partitions = 0
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=LINGER_MS,
            max_request_size=CONTACT_BYTES_MAX * 2,
            **kafka,
        )

    async def __aenter__(self) -> Self:
        await start_or_stop(self._producer, self._bootstrap)
        try:
            self._partitions = len(await self._producer.partitions_for(self._topic))
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def set(
        self,
        contact_id: str,
        attributes: Mapping[str, Value | None],
        *,
        occurred_at_ms: int | None = None,
        message_id: str | None = None,
    ) -> Offset:
        """Set attributes; None removes one. Returns the offset of the write in the contact's partition.

        Shape: flat names (`address.city`). Errors: pydantic's ValidationError on a value that the log cannot carry.
        """
        change = ContactChangeRecord(
            contact_id=ContactId(contact_id),
            attributes={AttributeName(name): value for name, value in attributes.items()},
            occurred_at=None if occurred_at_ms is None else InstantMs(occurred_at_ms),
            message_id=message_id,
        )
        return await self._send(contact_id, change)

    async def delete(self, contact_id: str) -> Offset:
        """Erase a contact: it leaves every segment, and nothing of it is kept."""
        return await self._send(contact_id, ContactChangeRecord(type="delete", contact_id=ContactId(contact_id)))

    async def _send(self, contact_id: str, change: ContactChangeRecord) -> Offset:
        key = contact_id.encode()
        value = orjson.dumps(change.model_dump(mode="json", exclude_unset=True))
        sent = await self._producer.send_and_wait(
            self._topic, value, key=key, partition=partition_for_key(key, self._partitions), headers=HEADERS
        )
        return Offset(sent.offset)
