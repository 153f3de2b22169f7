"""Whole batches of a fetch hold what the client itself makes of it, skip what it skips, and raise what it raises."""

from __future__ import annotations

import asyncio
import gc
import struct
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import (
    READ_COMMITTED,
    READ_UNCOMMITTED,
    Fetcher,
    FetchError,
    FetchResult,
    PartitionRecords,
)
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, OffsetOutOfRangeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import Topic, topic_name
from services.evaluator import fetching
from services.evaluator.fetching import fetch
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics
from tests.waiting import until

AT = TopicPartition("t", 0)
NOW = 1_790_000_000_000
WITHIN_S = 20.0
ATTRIBUTES_AT = 21
CONTROL_BIT = 0x20
NO_PRODUCER = -1
CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
"""How a producer may compress its batches, by the number in their attributes."""


class Batch(NamedTuple):
    """A batch as a broker keeps it: `holes` offsets at its end were taken by compaction."""

    records: int
    holes: int = 0
    producer: int = NO_PRODUCER
    marker: int | None = None  # 0 aborts what the producer wrote, 1 commits it
    codec: int = 0


def as_fetched(batches: Sequence[Batch]) -> bytes:
    fetched, base = b"", 0
    for batch in batches:
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=batch.codec,
            is_transactional=batch.producer != NO_PRODUCER,
            producer_id=batch.producer,
            producer_epoch=0,
            base_sequence=0,
            batch_size=1 << 20,
        )
        if batch.marker is not None:
            builder.append(0, NOW, struct.pack(">hh", 0, batch.marker), b"\0" * 6, [])
        else:
            for number in range(batch.records):
                builder.append(number, NOW + number, b"k%d" % number, b"v" * number or None, [("h", b"%d" % base)])
        raw = bytearray(builder.build())
        last_delta = struct.unpack_from(">i", raw, 23)[0] + batch.holes
        struct.pack_into(">q", raw, 0, base)
        struct.pack_into(">i", raw, 23, last_delta)
        if batch.marker is not None:
            raw[ATTRIBUTES_AT + 1] |= CONTROL_BIT
        base += last_delta + 1
        fetched += bytes(raw)
    return fetched


def unread(fetched: bytes, aborted: Sequence[tuple[int, int]], start: int, isolation: int) -> PartitionRecords:
    return PartitionRecords(AT, MemoryRecords(fetched), list(aborted), start, None, None, False, isolation)


def read(records: PartitionRecords) -> list[Any]:
    """All that one fetch of a partition gives."""
    return fetching._read(records, fetching.UNPACKED_TOGETHER_BYTES)[0]


def told(records: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [(each.offset, each.timestamp, each.key, each.value, list(each.headers)) for each in records]


producers = st.sampled_from([NO_PRODUCER, 7, 8])
data = st.builds(Batch, st.integers(1, 5), st.integers(0, 3), producers, st.none(), st.sampled_from(list(CODECS)))
markers = st.builds(Batch, st.just(1), st.just(0), st.sampled_from([7, 8]), st.sampled_from([0, 1]), st.just(0))


@given(
    st.lists(st.one_of(data, markers), min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from([7, 8]), st.integers(0, 30)), max_size=4),
    st.integers(0, 12),
    st.sampled_from([READ_COMMITTED, READ_UNCOMMITTED]),
)
def test_whatever_a_fetch_holds_it_is_read_as_the_client_reads_it(
    batches: list[Batch], aborted: list[tuple[int, int]], start: int, isolation: int
) -> None:
    fetched = as_fetched(batches)
    theirs, ours = (unread(fetched, aborted, start, isolation) for _ in range(2))
    assert told(read(ours)) == told(list(theirs))
    assert ours.next_fetch_offset == theirs.next_fetch_offset


def test_a_damaged_batch_is_refused() -> None:
    damaged = bytearray(as_fetched([Batch(3), Batch(3)]))
    damaged[-1] ^= 1
    records = PartitionRecords(AT, MemoryRecords(bytes(damaged)), [], 0, None, None, True, READ_COMMITTED)
    with pytest.raises(CorruptRecordException):
        read(records)


class Place:
    """Where the reader of a partition stands, as its assignment knows it."""

    active, paused, position = True, False, 0

    def state_value(self, _: TopicPartition) -> Place:
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


def fetched(**ready: FetchResult | FetchError) -> Fetcher:
    """A client's fetches as they lie ready, without a client."""
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._records = {TopicPartition("t", int(name[1:])): found for name, found in ready.items()}
    fetcher._wait_consume_future = asyncio.get_running_loop().create_future()
    fetcher._subscriptions = SubscriptionState()
    fetcher._loop = asyncio.get_running_loop()
    fetcher._fetch_waiters = set[asyncio.Future[None]]()
    fetcher._closed = False
    return fetcher


def ready(batches: Sequence[Batch], place: Place | None = None) -> FetchResult:
    records = unread(as_fetched(batches), [], 0, READ_COMMITTED)
    return FetchResult(AT, assignment=place or Place(), partition_records=records, backoff=0)


async def test_an_error_is_told_after_what_was_taken_of_other_partitions_and_once() -> None:
    """Told at once, it would take along records of which the reader has moved on."""
    fetcher = fetched(p0=ready([Batch(3)]), p1=FetchError(error=OffsetOutOfRangeError(), backoff=0))
    wanted = set(fetcher._records)
    assert [len(found) for found in fetching._take(fetcher, wanted, 100).values()] == [3]
    with pytest.raises(OffsetOutOfRangeError):
        fetching._take(fetcher, wanted, 100)
    assert fetching._take(fetcher, wanted, 100) == {}


async def test_once_there_are_enough_records_no_other_partition_is_taken() -> None:
    fetcher = fetched(p0=ready([Batch(3), Batch(5)]), p1=ready([Batch(2)]), p2=ready([Batch(2)]))
    wanted = set(fetcher._records)
    assert [len(found) for found in fetching._take(fetcher, wanted, 10).values()] == [8, 2]
    assert [len(found) for found in fetching._take(fetcher, wanted, 1).values()] == [2]


async def test_what_was_taken_has_its_partition_fetched_on_at_once() -> None:
    fetcher = fetched(p0=ready([Batch(1)]))
    fetching._take(fetcher, set(fetcher._records), 100)
    assert fetcher._wait_consume_future.done()


@pytest.mark.parametrize("active", [True, False])
async def test_what_was_fetched_goes_when_it_was_taken_or_dropped_without_a_collection(active: bool) -> None:
    place = Place()
    place.active = active
    fetcher = fetched(p0=ready([Batch(3)], place))
    left = weakref.ref(fetcher._records[TopicPartition("t", 0)]._partition_records)
    gc.disable()
    try:
        taken = fetching._take(fetcher, set(fetcher._records), 100)
        assert (len(taken), left()) == (active, None)
    finally:
        gc.enable()


@pytest.mark.parametrize(("name", "value"), [("active", False), ("paused", True), ("position", 7)])
async def test_what_was_fetched_is_dropped_when_its_reader_was_moved_or_paused_or_the_assignment_is_another(
    name: str, value: object
) -> None:
    place = Place()
    setattr(place, name, value)
    before = place.position
    fetcher = fetched(p0=ready([Batch(3)], place))
    assert fetching._take(fetcher, set(fetcher._records), 100) == {}
    assert (place.position, dict(fetcher._records)) == (before, {})


class Assigning:
    """Partitions are being shared anew until `assigned` is set."""

    def __init__(self) -> None:
        self.assigned = asyncio.Event()

    @property
    def reassignment_in_progress(self) -> bool:
        return not self.assigned.is_set()

    def fetch_context(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def wait_for_assignment(self) -> None:
        await self.assigned.wait()


async def test_while_partitions_are_shared_anew_nothing_is_given_of_what_was_fetched_before() -> None:
    fetcher = fetched(p0=ready([Batch(3)]))
    fetcher._subscriptions = sharing = Assigning()
    consumer = SimpleNamespace(_closed=False, _fetcher=fetcher)
    asked = asyncio.create_task(fetch(cast("AIOKafkaConsumer", consumer), set(fetcher._records), WITHIN_S, 100))
    await asyncio.sleep(0)
    assert not asked.done()
    sharing.assigned.set()
    assert [len(found) for found in (await asked).values()] == [3]
    fetcher._records.clear()
    asked = asyncio.create_task(fetch(cast("AIOKafkaConsumer", consumer), {AT}, WITHIN_S, 100))
    await asyncio.sleep(0)
    sharing.assigned.clear()
    fetcher._records[AT] = ready([Batch(2)])
    (waiter,) = fetcher._fetch_waiters
    waiter.set_result(None)
    assert await asked == {}


async def test_what_was_fetched_of_a_partition_that_is_not_assigned_any_more_goes() -> None:
    fetcher = fetched(p0=ready([Batch(1)]))
    assert fetching._take(fetcher, {TopicPartition("t", 7)}, 100) == {}
    assert not fetcher._records


@pytest.fixture
async def consumer(broker: str, topic_prefix: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Reads the one partition of a topic with a committed and an aborted transaction, and plain records around them."""
    await ensure_topics(RuntimeSettings(kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=1))
    topic = topic_name(topic_prefix, Topic.CONTACT_CHANGES)
    for transactional_id in (None, f"{topic_prefix}id"):
        producer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=transactional_id, linger_ms=50)
        async with producer:
            for commits in (True, False, True):
                if transactional_id is not None:
                    await producer.begin_transaction()
                sent = [await producer.send(topic, b"%d" % commits, b"%d" % each, partition=0) for each in range(4)]
                await asyncio.gather(*sent)
                if transactional_id is not None:
                    await (producer.commit_transaction() if commits else producer.abort_transaction())
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker, isolation_level="read_committed", auto_offset_reset="none", enable_auto_commit=False
    )
    async with consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek(TopicPartition(topic, 0), 0)
        yield consumer


async def read_on(consumer: AIOKafkaConsumer, count: int) -> list[Any]:
    (at,) = consumer.assignment()
    found: list[Any] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            found += (await fetch(consumer, {at}, 0.1, 1_000)).get(at, [])
    return found


async def test_committed_records_are_read_to_the_end_and_the_position_is_behind_the_markers(
    consumer: AIOKafkaConsumer,
) -> None:
    (at,) = consumer.assignment()
    found = await read_on(consumer, 20)
    assert [each.key for each in found] == [b"0", b"1", b"2", b"3"] * 5
    assert [each.value for each in found[12:]] == [b"1"] * 8
    end = (await consumer.end_offsets([at]))[at]
    async with asyncio.timeout(WITHIN_S):
        while await consumer.position(at) < end:
            assert await fetch(consumer, {at}, 0.1, 1_000) == {}


@pytest.mark.parametrize("codec", CODECS.values())
async def test_what_producers_in_other_languages_compress_is_read(broker: str, topic_prefix: str, codec: str) -> None:
    await ensure_topics(RuntimeSettings(kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=1))
    topic = topic_name(topic_prefix, Topic.CONTACT_CHANGES)
    producer = Producer({"bootstrap.servers": broker, "compression.type": codec, "linger.ms": 50})
    for number in range(100):
        producer.produce(topic, b"x" * 1_000, b"%d" % number, partition=0)
    assert await asyncio.to_thread(producer.flush, WITHIN_S) == 0
    async with AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek(TopicPartition(topic, 0), 0)
        found = await read_on(consumer, 100)
    assert [each.key for each in found] == [b"%d" % number for number in range(100)]


async def test_a_seek_into_the_middle_of_a_batch_reads_from_there(consumer: AIOKafkaConsumer) -> None:
    (at,) = consumer.assignment()
    await read_on(consumer, 20)
    consumer.seek(at, 2)
    assert (await read_on(consumer, 18))[0].offset == 2


async def test_what_was_fetched_before_a_seek_is_not_given(consumer: AIOKafkaConsumer) -> None:
    (at,) = consumer.assignment()
    await until(lambda: consumer._fetcher._records, WITHIN_S, "fetching")
    consumer.seek(at, 6)
    assert (await read_on(consumer, 14))[0].offset == 6


async def test_partitions_that_are_not_asked_for_keep_what_was_fetched(consumer: AIOKafkaConsumer) -> None:
    (at,) = consumer.assignment()
    assert await fetch(consumer, {TopicPartition(at.topic, 1)}, 0.5, 1_000) == {}
    assert (await read_on(consumer, 20))[0].offset == 0


async def test_an_offset_that_the_log_does_not_have_is_an_error_once(consumer: AIOKafkaConsumer) -> None:
    (at,) = consumer.assignment()
    consumer.seek(at, 10_000)
    with pytest.raises(OffsetOutOfRangeError):
        await read_on(consumer, 1)
    consumer.seek(at, 0)
    assert len(await read_on(consumer, 20)) == 20


async def test_a_consumer_that_was_stopped_says_so(consumer: AIOKafkaConsumer) -> None:
    (at,) = consumer.assignment()
    await consumer.stop()
    with pytest.raises(ConsumerStoppedError):
        await fetch(consumer, {at}, 0.1, 1_000)


async def test_it_comes_back_from_waiting_when_it_is_cancelled_and_reads_on(consumer: AIOKafkaConsumer) -> None:
    (at,) = consumer.assignment()
    await read_on(consumer, 20)
    waiting = asyncio.create_task(fetch(consumer, {at}, WITHIN_S, 1_000))
    await asyncio.sleep(0.3)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not consumer._fetcher._fetch_waiters
    consumer.seek(at, 0)
    assert len(await read_on(consumer, 20)) == 20
