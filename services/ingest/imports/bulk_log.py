"""The input log as an import sees it: append many rows in order, know that they are there, and find what was written.

Rule: a row counts as written only when every replica has it (acks=all, idempotent producer), and the rows of one import
stand in a partition in the file's order. Nothing is handed to the broker for an import that may be another process's by
now: what a frozen process still had would come behind newer rows. The producer is an import's own, so no live write
waits behind a file. Errors: `BulkLogError`, after which this object is closed and thrown away, and the log is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.events import CONTACT_CHANGED_HEADERS, identified
from schemas.partitioner import partition_for_key
from services.ingest.imports.conversion import SOURCE_KIND, ConvertedRow
from services.ingest.producer import give_up
from services.runtime.errors import ServiceError

BATCH_BYTES_MAX: Final = 512 * 1024
"""One request's records of one partition: larger than the largest record, smaller than the broker's limit."""
ACK_TIMEOUT_MS: Final = 60_000
"""How long one request waits for its answer. Rows that were handed over are sent again until they are answered."""
READ_STALL_MAX_S: Final = 20
"""How long reading back may bring nothing before it is given up."""
ANOTHERS: Final = "another process may work on the import"


class BulkLogError(ServiceError):
    """The broker could not be reached, or did not say that it has the rows."""


class BulkLog(Protocol):
    """What an import needs of the input log."""

    async def __aenter__(self) -> Self:
        """Connect."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect. Rows that were not flushed may or may not be written."""

    async def ends(self) -> dict[int, int]:
        """Per partition, the offset that the next record will have."""

    async def rows_since(self, offsets: Mapping[int, int], import_id: str) -> dict[int, int]:
        """Per partition that has any, the last row of this import at or after these offsets."""

    async def append(self, rows: Iterable[ConvertedRow]) -> None:
        """Send rows, without waiting until they are there."""

    async def flush(self) -> dict[int, int]:
        """Wait until every row sent is written. Per partition written to: the offset behind its last row."""


class KafkaBulkLog:
    """The input log on a real broker, for as long as an import is surely this process's."""

    def __init__(self, options: Mapping[str, Any], topic: str, partitions: int, is_ours: Callable[[], bool]) -> None:
        self._options = dict(options)
        self._topic = topic
        self._partitions = partitions
        self._is_ours = is_ours
        self._producer: AIOKafkaProducer | None = None
        self._open: dict[int, Any] = {}
        self._sent: dict[int, list[tuple[asyncio.Future[Any], int]]] = {}

    async def __aenter__(self) -> Self:
        """Connect."""
        producer = AIOKafkaProducer(
            **self._options,
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=2 * BATCH_BYTES_MAX,
            request_timeout_ms=ACK_TIMEOUT_MS,
        )
        await _start(producer, self._topic)
        self._send_only_while_ours(producer.client)
        self._producer = producer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        if error is not None:
            # Closing would otherwise wait for batches that may never be answered.
            await give_up(producer)
        else:
            await producer.stop()

    async def ends(self) -> dict[int, int]:
        """Per partition, the offset that the next record will have."""
        async with self._reading() as consumer:
            return await self._ends(consumer)

    async def rows_since(self, offsets: Mapping[int, int], import_id: str) -> dict[int, int]:
        """Per partition that has any, the last row of this import at or after these offsets."""
        found: dict[int, int] = {}
        async with self._reading() as consumer:
            ends = await self._ends(consumer)
            behind = {p for p, end in ends.items() if offsets.get(p, 0) < end}
            consumer.assign([TopicPartition(self._topic, p) for p in behind])
            for partition in behind:
                consumer.seek(TopicPartition(self._topic, partition), offsets.get(partition, 0))
            while behind:
                try:
                    records = await asyncio.wait_for(consumer.getmany(timeout_ms=1000), READ_STALL_MAX_S)
                    for tp, batch in records.items():
                        for record in batch:
                            row = _row_of(record.value, import_id)
                            if row is not None:
                                found[tp.partition] = max(row, found.get(tp.partition, 0))
                    for tp in consumer.assignment():
                        if await consumer.position(tp) >= ends[tp.partition]:
                            behind.discard(tp.partition)
                except (KafkaError, OSError, TimeoutError) as error:
                    raise BulkLogError(f"the log cannot be read back: {error!r}", topic=self._topic) from error
        return found

    async def append(self, rows: Iterable[ConvertedRow]) -> None:
        """Send rows, without waiting until they are there."""
        producer = self._connected()
        for row in rows:
            partition = partition_for_key(row.key, self._partitions)
            batch = self._open.get(partition)
            while batch is None or not _appended(batch, row):
                if batch is not None:
                    await self._send(partition, batch)
                batch = self._open[partition] = producer.create_batch()

    async def flush(self) -> dict[int, int]:
        """Wait until every row sent is written. Per partition written to: the offset behind its last row."""
        for partition, batch in list(self._open.items()):
            await self._send(partition, batch)
        self._open.clear()
        behind: dict[int, int] = {}
        try:
            for partition, sent in self._sent.items():
                for future, count in sent:
                    # Shielded: the client still holds the batch, and dies of one whose future was cancelled.
                    behind[partition] = max(behind.get(partition, 0), (await asyncio.shield(future)).offset + count)
        except (KafkaError, OSError) as error:
            raise BulkLogError(f"rows were not acknowledged: {error!r}", topic=self._topic) from error
        if not self._is_ours():
            # They are written, and how far the import has come is for another to say.
            raise BulkLogError(ANOTHERS, topic=self._topic)
        self._sent.clear()
        return behind

    def _send_only_while_ours(self, client: Any) -> None:
        """Ask as late as one can: behind the question nothing is awaited until the bytes are the connection's."""
        send = client.send

        async def send_while_ours(node: Any, request: Any, **options: Any) -> Any:
            await client.ready(node, **options)
            if not self._is_ours():
                raise KafkaError(ANOTHERS)  # of no kind that the client would try again
            return await send(node, request, **options)

        client.send = send_while_ours

    async def _send(self, partition: int, batch: Any) -> None:
        """Hand a batch to the client; waits while an earlier batch of the partition is still on its way."""
        count = batch.record_count()
        if not count:
            return
        try:
            future = await self._connected().send_batch(batch, self._topic, partition=partition)
        except (KafkaError, OSError) as error:
            raise BulkLogError(f"rows could not be sent: {error!r}", topic=self._topic, partition=partition) from error
        self._sent.setdefault(partition, []).append((future, count))

    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise BulkLogError("the log is not connected", topic=self._topic)
        return self._producer

    def _reading(self) -> _Reading:
        return _Reading(self._options, self._topic)

    async def _ends(self, consumer: AIOKafkaConsumer) -> dict[int, int]:
        tps = [TopicPartition(self._topic, partition) for partition in range(self._partitions)]
        try:
            ends = await consumer.end_offsets(tps)
        except (KafkaError, OSError) as error:
            raise BulkLogError(f"the log's ends cannot be read: {error!r}", topic=self._topic) from error
        return {tp.partition: end for tp, end in ends.items()}


class _Reading:
    """A consumer for as long as it is needed."""

    def __init__(self, options: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self._consumer = AIOKafkaConsumer(
            **options, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
        )

    async def __aenter__(self) -> AIOKafkaConsumer:
        await _start(self._consumer, self._topic)
        return self._consumer

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()


async def _start(client: Any, topic: str) -> None:
    """Connect a client; whatever keeps it from that, a stop too, leaves nothing open. Errors: BulkLogError."""
    try:
        await client.start()
    except (KafkaError, OSError) as error:
        await client.stop()
        raise BulkLogError(f"the broker cannot be reached: {error}", topic=topic) from error
    except asyncio.CancelledError:
        await client.stop()
        raise


def _appended(batch: Any, row: ConvertedRow) -> bool:
    """Whether the batch took the row; False means that it is full."""
    taken = batch.append(
        timestamp=None, key=row.key, value=row.value, headers=identified(CONTACT_CHANGED_HEADERS, row.message_id)
    )
    return taken is not None


def _row_of(value: bytes | None, import_id: str) -> int | None:
    """The row that a record was made of, if this import made it. Cost: a search of the bytes for any other record."""
    if value is None or import_id.encode() not in value:
        return None
    try:
        record = orjson.loads(value)
        source, message = record["source"], record["message_id"]
        if source == {"kind": SOURCE_KIND, "ref": import_id} and message.startswith(f"{import_id}:"):
            return int(message.rpartition(":")[2])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError):
        return None
    return None
