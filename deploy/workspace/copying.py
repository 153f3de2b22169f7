"""Copies a workspace's topics into those of another number of partitions, exactly once and in any number of runs.

Rule: what was copied and how far are one transaction: the copies and the offsets of a group of ours on the first
workspace's topics. So a killed run goes on where it stood, and copying may begin while the workspace is in use.
Every record of a contact goes to the contact's new home; values are unchanged but for a row's position in its old log.
A contact's row without sense is left behind: no evaluator could read it, and whoever compares finds it missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from deploy.workspace.broker import Broker
from schemas.partitioner import partition_for_key
from schemas.topics import SPECS, Partitioning, Topic, topic_name
from services.runtime.errors import ServiceError

COPIED = (
    Topic.CONTACTS_CHANGELOG,
    Topic.MEMBERSHIPS,
    Topic.SEGMENTS,
    Topic.ATTRIBUTES,
    Topic.WEBHOOKS,
    Topic.AUDIT,
    Topic.REQUESTS,
    Topic.DEAD_LETTERS,
)
"""The largest first. The control rows are written anew, the status is told anew, the input log begins anew."""
TRANSACTION_RECORDS_MAX = 5_000
TRANSACTION_TIMEOUT_MS = 60_000
TRANSACTION_S = TRANSACTION_TIMEOUT_MS / 1000
"""The broker ends what is open for longer."""
CLOSE_S = 5.0
"""How long a producer may take to say farewell, which a broker that stands still does not hear."""
REQUEST_BYTES_MAX = 16 << 20
NO_OFFSET = -1
"""What stands in a moved row for the offset of the record that led to it: a deadline's."""


class Workspace(NamedTuple):
    """The topics of one prefix, with one number of partitions."""

    prefix: str
    partitions: int

    def name(self, topic: Topic) -> str:
        """The topic's name here."""
        return topic_name(self.prefix, topic)

    def count(self, topic: Topic) -> int:
        """How many partitions the topic has here."""
        return SPECS[topic].partition_count(self.partitions)


class Placed(NamedTuple):
    """A record as the other workspace holds it."""

    partition: int
    key: bytes | None
    value: bytes | None


def place(topic: Topic, key: bytes | None, value: bytes | None, partitions: int) -> Placed:
    """Where a record stands in a workspace of `partitions`, and what of it is another there.

    Errors: `UnreadableRowError`.
    """
    if SPECS[topic].partitioning is Partitioning.SINGLE:
        return Placed(0, key, value)
    if topic is Topic.CONTACTS_CHANGELOG:
        return Placed(partition_for_key(key or b"", partitions), key, None if value is None else moved_row(value))
    if topic is Topic.MEMBERSHIPS:
        _, _, contact = (key or b"").partition(b"|")
        return Placed(partition_for_key(contact, partitions), key, value)
    return Placed(partition_for_key(key, partitions) if key else 0, key, value)


def moved_row(value: bytes) -> bytes:
    """A contact's row for another log: its clock stays, since no change at or before it may be made again.

    Errors: `UnreadableRowError`.
    """
    return orjson.dumps({**read_row(value), "offset": NO_OFFSET, "seq": 0})


def read_row(value: bytes) -> dict[str, Any]:
    """A contact's row, of which what a move asks for has the right type. Errors: `UnreadableRowError`."""
    try:
        row = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise UnreadableRowError(str(error)) from error
    if not isinstance(row, dict):
        raise UnreadableRowError("it is no object")
    if not isinstance(row.get("members"), dict):
        raise UnreadableRowError("it does not say where the contact is a member")
    if "due" not in row or not isinstance(row["due"], int | None):
        raise UnreadableRowError("it does not say when the contact is due")
    return row


class UnreadableRowError(Exception):
    """A record of `contacts-changelog` is no contact's row; the message says why."""


class Copier:
    """One transactional producer into `target`; a second one fences the first. Use `start` and `close`."""

    def __init__(self, broker: Broker, source: Workspace, target: Workspace) -> None:
        self._broker = broker
        self.source = source
        self.target = target
        self._group = f"{target.prefix}repartition"
        self._producer = AIOKafkaProducer(
            **broker.client,
            transactional_id=f"{target.prefix}repartition",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_request_size=REQUEST_BYTES_MAX,
            acks="all",
            linger_ms=5,
        )

    async def start(self) -> None:
        """Connect, and end what a run before left open."""
        await self._producer.start()

    async def close(self) -> None:
        """Disconnect. An open transaction is ended by the broker or by the next run."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._producer.stop()

    async def forget_progress(self) -> None:
        """Begin from the first record: the copies are gone."""
        for topic in COPIED:
            partitions = range(self.source.count(topic))
            await self._broker.commit_offsets(self._group, self.source.name(topic), dict.fromkeys(partitions, 0))

    async def copy_all(self) -> int:
        """Copy what is on the source's topics beyond the last copy; how many records."""
        return sum([await self.copy(topic) for topic in COPIED])

    async def copy(self, topic: Topic) -> int:
        """Copy one topic. Errors: `ServiceError` when the broker takes nothing more: the client asks for ever."""
        name = self.source.name(topic)
        done = await self._broker.group_offsets(self._group, name)
        starts = {partition: done.get(partition, 0) for partition in range(self.source.count(topic))}
        copied = 0
        async for partition, records, following in self._broker.read(name, starts, TRANSACTION_RECORDS_MAX):
            if following > starts[partition]:
                try:
                    async with asyncio.timeout(TRANSACTION_S):
                        await self._copy_batch(topic, TopicPartition(name, partition), records, following)
                except TimeoutError as error:
                    raise ServiceError(
                        f"the broker took no copies for {TRANSACTION_S:.0f} s: look whether it is up, and repeat",
                        topic=self.target.name(topic),
                    ) from error
            copied += len(records)
        return copied

    async def write_rows(self, topic: Topic, rows: Iterable[Placed]) -> None:
        """Write rows that replace whatever stands under their keys, all of them or none."""
        async with self._producer.transaction():
            await _acknowledged(
                [
                    await self._producer.send(self.target.name(topic), value, key, partition)
                    for partition, key, value in rows
                ]
            )

    async def _copy_batch(self, topic: Topic, at: TopicPartition, records: Sequence[Any], following: int) -> None:
        producer, name = self._producer, self.target.name(topic)
        await producer.begin_transaction()
        futures = []
        for record in records:
            try:
                placed = place(topic, record.key, record.value, self.target.partitions)
            except UnreadableRowError:
                continue
            if placed.key is None and placed.value is None:
                futures.append(await self._send_bare(name, placed.partition, record))
                continue
            futures.append(
                await producer.send(
                    name,
                    placed.value,
                    placed.key,
                    placed.partition,
                    timestamp_ms=record.timestamp,
                    headers=list(record.headers),
                )
            )
        await _acknowledged(futures)
        await producer.send_offsets_to_transaction({at: OffsetAndMetadata(following, "")}, self._group)
        await producer.commit_transaction()

    async def _send_bare(self, name: str, partition: int, record: Any) -> asyncio.Future[Any]:
        """Send what has neither key nor value, as the dead letter of such a record: the client's `send` takes none."""
        batch = self._producer.create_batch()
        batch.append(key=None, value=None, timestamp=record.timestamp, headers=list(record.headers))
        batch.close()
        sent: asyncio.Future[Any] = await self._producer.send_batch(batch, name, partition=partition)
        return sent


async def _acknowledged(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Await every record: the client's own commit does not look at those that failed."""
    for future in futures:
        await future
