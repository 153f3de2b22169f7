"""Forgets the webhooks' given-up deliveries that are about contacts who were erased, for `clear-erased`.

Rule: what is about a contact that is there is kept, to be replayed. The webhooks service reads this topic as it is
written, so nothing here is in a transaction, and everything is a tombstone that it knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from aiokafka import AIOKafkaProducer
from pydantic import ValidationError

from deploy.workspace.broker import Broker
from schemas.webhook import FAILURE_KEY, WebhookFailureRecord, failure_key

PARTITION = 0
NO_FAILURE = failure_key("none", "none")
"""The key of a record that says nothing, but begins the next file."""


async def forget_erased(broker: Broker, webhooks: str, changelog: str, partitions: int) -> int:
    """Write a tombstone for each failure whose contact is no more; how many. `changelog` holds the contacts."""
    failures: dict[bytes, bytes] = {}
    async for _, records, _ in broker.read(webhooks, {PARTITION: 0}):
        for record in records:
            if not record.key.startswith(FAILURE_KEY.encode()):
                continue
            failures.pop(record.key, None)
            if record.value is not None and (contact_id := _contact_of(record.value)) is not None:
                failures[record.key] = contact_id
    there = await _still_there(broker, changelog, partitions, set(failures.values()))
    erased = [key for key, contact_id in failures.items() if contact_id not in there]
    await _append(broker, webhooks, erased)
    return len(erased)


def _contact_of(value: bytes) -> bytes | None:
    """Whom a failure is about; None if it has no sense: the webhooks service passes it by, and tells where it is."""
    try:
        return WebhookFailureRecord.decode(value).contact_id.encode()
    except ValidationError:
        return None


async def close_file(broker: Broker, webhooks: str) -> dict[int, int]:
    """Begin a new file; the end before it."""
    ends = await broker.ends(webhooks, 1)
    await _append(broker, webhooks, [NO_FAILURE])
    return ends


async def _still_there(broker: Broker, changelog: str, partitions: int, asked: Collection[bytes]) -> set[bytes]:
    there: set[bytes] = set()
    if not asked:
        return there
    async for _, records, _ in broker.read(changelog, dict.fromkeys(range(partitions), 0)):
        for record in records:
            if record.key not in asked:
                continue
            if record.value is None:
                there.discard(record.key)
            else:
                there.add(record.key)
    return there


async def _append(broker: Broker, webhooks: str, keys: Iterable[bytes]) -> None:
    producer = AIOKafkaProducer(**broker.client, acks="all")
    await producer.start()
    try:
        for key in keys:
            await producer.send_and_wait(webhooks, None, key, PARTITION)
    finally:
        await producer.stop()
