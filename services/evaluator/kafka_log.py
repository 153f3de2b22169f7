"""The broker behind the ports: one fenced transactional producer a partition, and a groupless changelog reader.

Rule: a transaction commits only after every batch in it was acknowledged, one by one: the client's own commit does not
look at failed batches. Any error makes the producer useless; it is closed, never asked to abort, because the next
owner's first request ends what it left open. Must not retry a transaction: the log is replayed instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced
from aiokafka.producer import sender
from aiokafka.structs import OffsetAndMetadata

from schemas.topics import Topic
from services.evaluator.fetching import fetch
from services.evaluator.ledger import OUTPUTS, Ledger
from services.evaluator.ports import Bounds, Drained, FencedError, LogError, OutputRecord, TopicPart

TRANSACTION_TIMEOUT_MS = 20_000
RETRY_BACKOFF_MS = 5
BATCH_BYTES_MAX = 512 << 10
CONCURRENT_TRANSACTIONS_BACKOFF_S = 0.002
CLOSE_TIMEOUT_S = 5.0
DRAIN_RECORDS_MAX = 10_000
DRAIN_PARTITION_BYTES_MAX = 2 << 20
DRAIN_WAIT_MS = 50
DRAIN_POLL_S = 0.02

READ = (Topic.CONTACT_CHANGES, *OUTPUTS)
"""The topics of which a recovery asks where they begin and end."""

TopicNamer = Callable[[Topic], str]


def lower_transaction_backoff() -> None:
    """Retry in 2 ms, not 20, while the broker still writes the markers of the previous transaction."""
    if not isinstance(sender.BACKOFF_OVERRIDE, float):
        raise AssertionError("aiokafka.producer.sender.BACKOFF_OVERRIDE is no longer a number: see its retry back-off")
    sender.BACKOFF_OVERRIDE = CONCURRENT_TRANSACTIONS_BACKOFF_S


class KafkaTransactionalLog:
    """`TransactionalLog` of one partition. `start` fences every former owner of the same transactional id."""

    def __init__(
        self,
        partition: int,
        *,
        input_topic: str,
        group: str,
        topic_name: TopicNamer,
        client: Mapping[str, Any],
        transaction_timeout_ms: int = TRANSACTION_TIMEOUT_MS,
    ) -> None:
        self._partition = partition
        self._input = TopicPartition(input_topic, partition)
        self._group = group
        self._topic_name = topic_name
        self._sent: list[tuple[Topic, int, asyncio.Future[Any]]] = []
        self._ledger = Ledger()
        self._producer = AIOKafkaProducer(
            **client,
            transactional_id=f"{group}-{partition}",
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES_MAX,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            transaction_timeout_ms=transaction_timeout_ms,
        )

    async def start(self) -> None:
        """Connect and take over the transactional id."""
        try:
            await self._producer.start()
        except KafkaError as error:
            raise self._failed("take over", error) from error

    async def begin(self) -> None:
        """Open a transaction locally."""
        try:
            await self._producer.begin_transaction()
            self._ledger.begin()
        except KafkaError as error:
            raise self._failed("begin a transaction for", error) from error

    async def append(self, topic: Topic, records: Sequence[OutputRecord]) -> None:
        """Hand records over as whole batches: about an eighth of the cost of sending them one by one."""
        name = self._topic_name(topic)
        self._name(self._ledger.name(topic))
        records = self._ledger.enter(topic, records)
        try:
            batch = self._producer.create_batch()
            for record in records:
                if not _fits(batch, record):
                    await self._send(topic, name, batch)
                    batch = self._producer.create_batch()
                    _fits(batch, record)  # an empty batch takes a record of any size
            if batch.record_count():
                await self._send(topic, name, batch)
        except KafkaError as error:
            raise self._failed(f"append to {name}, in the transaction of", error) from error

    async def acknowledged(self) -> Mapping[Topic, int]:
        """Wait for every batch one by one; a batch answers with the offset of its first record."""
        ends: dict[Topic, int] = {}
        try:
            for topic, count, future in self._sent:
                ends[topic] = (await future).offset + count
        except KafkaError as error:
            raise self._failed("have appends acknowledged for", error) from error
        self._sent = []
        self._ledger.acknowledged(ends)
        return ends

    async def commit(self, offset: int, *, tell_group: bool) -> None:
        """Commit; with the group's position if asked, which takes two more requests and one more marker."""
        try:
            if tell_group:
                position = {self._input: OffsetAndMetadata(offset, "")}
                await self._producer.send_offsets_to_transaction(position, self._group)
            await self._producer.commit_transaction()
            self._ledger.committed()
        except KafkaError as error:
            raise self._failed(f"commit position {offset} of", error) from error

    async def decide(self, topics: Sequence[Topic], *, commit: bool) -> None:
        """Add the partitions, send nothing to them, and commit or abort."""
        producer = self._producer
        try:
            await producer.begin_transaction()
            self._name(topics)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        except KafkaError as error:
            raise self._failed("end what has no outcome in", error) from error

    def begin_at(self, ends: Mapping[Topic, int]) -> None:
        """Know where the topics end."""
        self._ledger.begin_at(ends)

    async def close(self) -> None:
        """Close connections within a bound; batches still in flight belong to nobody."""
        for _, _, future in self._sent:
            future.cancel()
        self._sent = []
        try:
            await asyncio.wait_for(self._producer.stop(), CLOSE_TIMEOUT_S)
        except (KafkaError, TimeoutError):
            await self._producer.client.close()

    def _name(self, topics: Iterable[Topic]) -> None:
        """Have the open transaction end in these topics too, whether or not anything is sent there."""
        transaction = self._producer._txn_manager  # noqa: SLF001 - the client adds a partition only when it is sent to
        if transaction.is_in_transaction():
            for topic in topics:
                transaction.maybe_add_partition_to_txn(TopicPartition(self._topic_name(topic), self._partition))

    async def _send(self, topic: Topic, name: str, batch: Any) -> None:
        count = batch.record_count()
        batch.close()
        future = await self._producer.send_batch(batch, name, partition=self._partition)
        self._sent.append((topic, count, future))

    def _failed(self, doing: str, error: KafkaError) -> LogError:
        kind = FencedError if isinstance(error, ProducerFenced | InvalidProducerEpoch) else LogError
        return kind(f"cannot {doing} {self._input.topic} partition {self._input.partition}: {error!r}")


def _fits(batch: Any, record: OutputRecord) -> bool:
    added = batch.append(key=record.key, value=record.value, timestamp=None, headers=list(record.headers))
    return added is not None


class KafkaChangelogs:
    """`Changelogs` over two consumers that belong to no group: one reads committed records only, one is told of all."""

    def __init__(self, topic_name: TopicNamer, client: Mapping[str, Any]) -> None:
        self._topic_name = topic_name
        self._client = client
        self._consumer = AIOKafkaConsumer(
            **client,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none",
            fetch_max_wait_ms=DRAIN_WAIT_MS,
            max_partition_fetch_bytes=DRAIN_PARTITION_BYTES_MAX,
        )
        self._raw = AIOKafkaConsumer(
            **client, enable_auto_commit=False, isolation_level="read_uncommitted", auto_offset_reset="none"
        )

    async def start(self) -> None:
        """Connect."""
        try:
            await asyncio.gather(self._consumer.start(), self._raw.start())
            for consumer in (self._consumer, self._raw):
                self._have_leaders_known(consumer)
        except KafkaError as error:
            raise LogError(f"cannot connect to read the changelogs: {error!r}") from error

    async def close(self) -> None:
        """Disconnect."""
        await asyncio.gather(self._consumer.stop(), self._raw.stop())

    def _have_leaders_known(self, consumer: AIOKafkaConsumer) -> None:
        """Assign a partition of each topic, to fetch nothing: else each leader is found out by failing, in 100 ms."""
        known = [TopicPartition(self._topic_name(topic), 0) for topic in READ]
        consumer.assign(known)
        consumer.pause(*known)
        for at in known:
            consumer.seek(at, 0)

    async def bounds(self, topic: Topic, partition: int) -> Bounds:
        """First and last stable offset now."""
        wanted = TopicPartition(self._topic_name(topic), partition)
        try:
            first = await self._consumer.beginning_offsets([wanted])
            end = await self._consumer.end_offsets([wanted])
        except KafkaError as error:
            raise LogError(f"cannot read the bounds of {wanted.topic} partition {partition}: {error!r}") from error
        return Bounds(first[wanted], end[wanted])

    async def ends(self, wanted: Collection[TopicPart]) -> dict[TopicPart, Bounds]:
        """Ends first, then last stable offsets: what is appended in between is not taken for undecided."""
        names = {at: TopicPartition(self._topic_name(at[0]), at[1]) for at in wanted}
        try:
            ends = await self._raw.end_offsets(list(names.values()))
            stable = await self._consumer.end_offsets(list(names.values()))
        except KafkaError as error:
            raise LogError(f"cannot read the ends of {sorted({topic for topic, _ in wanted})}: {error!r}") from error
        return {at: Bounds(min(stable[name], ends[name]), ends[name]) for at, name in names.items()}

    async def drain(self, starts: Mapping[TopicPart, Bounds], *, undecided: bool = False) -> AsyncIterator[Drained]:
        """Read all ranges with one consumer, whichever broker answers first."""
        topics = {self._topic_name(topic): topic for topic, _ in starts}
        ranges = {TopicPartition(self._topic_name(topic), partition): at for (topic, partition), at in starts.items()}
        open_ends = {wanted: at.end for wanted, at in ranges.items() if at.first < at.end}
        consumer = self._raw if undecided else self._consumer
        try:
            consumer.assign(list(open_ends))
            for wanted in open_ends:
                consumer.seek(wanted, ranges[wanted].first)
            while open_ends:
                fetched = await fetch(consumer, open_ends, DRAIN_POLL_S, DRAIN_RECORDS_MAX)
                for wanted, records in fetched.items():
                    yield Drained(topics[wanted.topic], wanted.partition, records)
                # The position, not the last record's offset: compaction and markers leave holes at the end.
                for wanted in list(open_ends):
                    if await consumer.position(wanted) >= open_ends[wanted]:
                        del open_ends[wanted]
            # The broker answers one request of a connection after the other, and a fetch that finds nothing waits.
            consumer.pause(*consumer.assignment())
        except KafkaError as error:
            raise LogError(f"cannot read the changelogs {sorted(topics)}: {error!r}") from error
