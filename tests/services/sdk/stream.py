"""Writes membership changes as an evaluator does: in transactions, keyed, partitioned by contact, versions growing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from schemas.codec import encode_membership_change
from schemas.membership_change import membership_key
from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import CauseKind, Change, ChangeKind, ContactId, InstantMs, Offset, SegmentId, Version
from tests.transactions import Transactions

PARTITIONS = 4
START_MS = 1_790_000_000_000


@dataclass(frozen=True)
class Step:
    """One cause: a contact enters or leaves some segments at once."""

    contact: str
    at: int
    segments: tuple[str, ...]
    enters: bool = True

    def changes(self) -> list[Change]:
        kind = ChangeKind.ENTER if self.enters else ChangeKind.EXIT
        version = Version(InstantMs(START_MS + self.at), Offset(self.at))
        return [
            Change(
                SegmentId(name), 1, ContactId(self.contact), kind, version, CauseKind.WRITE, index, len(self.segments)
            )
            for index, name in enumerate(self.segments)
        ]


class Stream:
    """A transactional writer of `memberships`. What it has written is decided for every reader when it returns."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, transactions: Transactions) -> None:
        self._producer = producer
        self._topic = topic
        self._transactions = transactions

    async def commit(self, *steps: Step) -> None:
        async with self._producer.transaction():
            await self._send(steps)
        await self._transactions.until_readable(self._topic, map(partition_of, steps))

    async def abort(self, *steps: Step) -> None:
        await self._producer.begin_transaction()
        await self._send(steps)
        await self._producer.abort_transaction()
        await self._transactions.until_readable(self._topic, map(partition_of, steps))

    async def erase(self, contact: str, segment: str) -> None:
        await self.put(contact, segment, None)

    async def put(self, contact: str, segment: str, value: bytes | None) -> None:
        """Any value under the key of a membership, as somebody else would write it."""
        partition = partition_for(ContactId(contact), PARTITIONS)
        key = membership_key(SegmentId(segment), ContactId(contact))
        async with self._producer.transaction():
            await self._producer.send_and_wait(self._topic, value, key=key, partition=partition)
        await self._transactions.until_readable(self._topic, [partition])

    async def _send(self, steps: Sequence[Step]) -> None:
        for step in steps:
            partition = partition_of(step)
            for change in step.changes():
                key, value, headers = encode_membership_change(change, partition)
                await self._producer.send_and_wait(
                    self._topic, value, key=key, partition=partition, headers=list(headers)
                )


def partition_of(step: Step) -> int:
    """Where the changes of a step go."""
    return partition_for(ContactId(step.contact), PARTITIONS)


@asynccontextmanager
async def open_stream(bootstrap: str, prefix: str) -> AsyncIterator[Stream]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{prefix}writer")
    await producer.start()
    try:
        yield Stream(producer, topic_name(prefix, Topic.MEMBERSHIPS), Transactions(bootstrap))
    finally:
        await producer.stop()
