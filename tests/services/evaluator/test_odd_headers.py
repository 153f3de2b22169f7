"""A header whose name is no text, as a producer in C may send it, holds nothing up: neither its record nor others."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from schemas.topics import Topic, topic_name
from services.evaluator.fetching import fetch
from services.runtime.kafka import client_options
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics
from tests.services.evaluator.test_fetching import AT, NOW, Batch, as_fetched, read, told
from tidegate.kafka.batches import Records

CRC_AT, SUMMED_FROM = 17, 21
NAMED, NAME, READ_AS = b"odd-name", b"odd\xe9name", "odd\ufffdname"


def with_odd_name(raw: bytes) -> bytes:
    """A batch in which one header has another name, of as many bytes."""
    changed = bytearray(raw.replace(NAMED, NAME))
    struct.pack_into(">I", changed, CRC_AT, calc_crc32c(bytes(changed[SUMMED_FROM:])))
    return bytes(changed)


def odd_batch() -> bytes:
    """Three records, of which the second has the odd header."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for number in range(3):
        headers = [(NAMED.decode(), b"x"), ("empty", None)] if number == 1 else [("plain", b"x")]
        builder.append(number, NOW + number, b"k%d" % number, b"v" * number or None, headers)
    return with_odd_name(bytes(builder.build()))


def unread(records: Any, start: int = 0) -> PartitionRecords:
    return PartitionRecords(AT, records, [], start, None, None, True, READ_COMMITTED)


def moved(raw: bytes, base_offset: int) -> bytes:
    """The batch as it stands further on in a log."""
    return struct.pack(">q", base_offset) + raw[8:]


@pytest.mark.parametrize("start", [0, 4, 5])
def test_every_record_is_read_and_the_odd_name_as_far_as_it_is_text(start: int) -> None:
    before = as_fetched([Batch(4)]) if start == 0 else b""  # a broker begins with the batch in which the start is
    fetched = before + moved(odd_batch(), 4) + moved(as_fetched([Batch(2)]), 7)
    assert told(list(unread(Records(fetched), start))) == told(read(unread(Records(fetched), start)))
    records = unread(Records(fetched), start)
    found = read(records)
    assert [each.offset for each in found] == list(range(start, 9))
    odd = next(each for each in found if each.offset == 5)
    assert told([odd]) == [(5, NOW + 1, b"k1", b"v", [(READ_AS, b"x"), ("empty", None)])]
    assert records.next_fetch_offset == 9


def test_other_records_of_its_batch_are_as_the_client_reads_them() -> None:
    theirs = unread(MemoryRecords(odd_batch().replace(NAME, NAMED)))
    theirs._check_crcs = False
    ours = read(unread(Records(odd_batch())))
    expected = told(list(theirs))
    assert [told([each]) for each in (ours[0], ours[2])] == [expected[:1], expected[2:]]


def test_the_client_by_itself_cannot_read_it() -> None:
    """When it can, the module can go."""
    with pytest.raises(UnicodeDecodeError):
        read(unread(MemoryRecords(odd_batch())))


@pytest.mark.broker
async def test_a_broker_takes_it_and_what_comes_behind_is_read(
    broker: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RuntimeSettings(kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=1)
    await ensure_topics(settings)
    topic = topic_name(topic_prefix, Topic.CONTACT_CHANGES)
    async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
        batch = producer.create_batch()
        batch.append(key=b"odd", value=b"1", timestamp=None, headers=[(NAMED.decode(), b"x")])
        build: Callable[[], bytes] = batch._build
        monkeypatch.setattr(batch, "_build", lambda: with_odd_name(bytes(build())))
        await (await producer.send_batch(batch, topic, partition=0))
        await producer.send_and_wait(topic, b"2", b"behind", partition=0)
    at = TopicPartition(topic, 0)

    async def by_batches(consumer: AIOKafkaConsumer) -> list[Any]:
        return (await fetch(consumer, {at}, 1.0, 100)).get(at, [])

    async def by_the_client(consumer: AIOKafkaConsumer) -> list[Any]:
        return list((await consumer.getmany(at, timeout_ms=1_000)).get(at, []))

    for reading in (by_batches, by_the_client):
        async with AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False) as consumer:
            consumer.assign([at])
            consumer.seek(at, 0)
            found: list[Any] = []
            while len(found) < 2:
                found += await reading(consumer)
        assert [each.key for each in found] == [b"odd", b"behind"]
        assert list(found[0].headers) == [(READ_AS, b"x")]
