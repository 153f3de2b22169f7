"""A batch that unpacks to more than may be unpacked is said to be one, and what is behind it is read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, codec
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Malformed, decode_input
from schemas.topics import Topic, topic_name
from services.evaluator import fetching
from services.evaluator.fetching import fetch
from services.runtime.kafka import client_options
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics
from tests.services.evaluator.test_fetching import CODECS, NOW, Batch, as_fetched, fetched, read, ready, told
from tests.services.evaluator.test_odd_headers import moved, unread
from tidegate.kafka import mend_client, unpacking
from tidegate.kafka.batches import Records

LIMIT = 256 * 1024
DECODERS: dict[str, tuple[Callable[[Any], bytes], Callable[[Any], bytes], Callable[[Any], bytes]]] = {
    "gzip": (codec.gzip_encode, codec.gzip_decode, unpacking.gzip_decode),
    "snappy": (codec.snappy_encode, codec.snappy_decode, unpacking.snappy_decode),
    "snappy of one block": (
        lambda payload: codec.snappy_encode(payload, xerial_compatible=False),
        codec.snappy_decode,
        unpacking.snappy_decode,
    ),
    "lz4": (codec.lz4_encode, codec.lz4_decode, unpacking.lz4_decode),
    "zstd": (codec.zstd_encode, codec.zstd_decode, unpacking.zstd_decode),
}
CODES = sorted(code for code in CODECS if code)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(unpacking, "UNPACKED_BYTES_MAX", LIMIT)
    return LIMIT


def packed(code: int, size: int) -> bytes:
    """Two records, the first of so many bytes, compressed."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=code,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    builder.append(0, NOW, b"k", b"v" * size, [])
    builder.append(1, NOW + 1, b"l", b"v", [])
    return bytes(builder.build())


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("start", [0, 4, 5])
def test_one_record_says_so_in_the_place_of_the_batch(limit: int, code: int, start: int) -> None:
    mend_client()
    before, behind = as_fetched([Batch(4)]) if start == 0 else b"", moved(as_fetched([Batch(2)]), 6)
    records = unread(Records(before + moved(packed(code, 4 * limit), 4) + behind), start)
    found = read(records)
    assert [each.offset for each in found] == [*([0, 1, 2, 3] if start == 0 else []), 5, 6, 7]
    (said,) = (each for each in found if each.offset == 5)
    assert (said.key, said.timestamp) == (b"", NOW + 1)
    assert b"offsets 4 to 5 unpacks to more than" in (said.value or b"")
    assert isinstance(decode_input(said.key, said.value, list(said.headers)), Malformed)
    assert records.next_fetch_offset == 8
    theirs = unread(Records(moved(packed(code, 4 * limit), 4)), 4)
    assert told(list(theirs)) == told([said])


@pytest.mark.parametrize("code", CODES)
def test_many_batches_of_one_fetch_are_not_unpacked_together_and_all_are_read(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A fetch of a megabyte holds so many that they would be gigabytes."""
    monkeypatch.setattr(fetching, "UNPACKED_TOGETHER_BYTES", LIMIT)
    mend_client()
    log = [moved(packed(code, LIMIT // 2), 2 * number) for number in range(5)]
    found: list[list[int]] = []
    position = 0
    for _ in range(3):
        rest = unread(Records(b"".join(log[position // 2 :])), position)
        found.append([record.offset for record in read(rest)])
        position = rest.next_fetch_offset
    assert position == 10
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_batches_of_many_partitions_are_not_unpacked_together_and_all_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "UNPACKED_TOGETHER_BYTES", LIMIT)
    mend_client()
    fetcher = fetched(**{f"p{number}": ready([]) for number in range(5)})
    for result in fetcher._records.values():
        log = packed(CODES[-1], LIMIT * 3 // 4) + moved(packed(CODES[-1], LIMIT * 3 // 4), 2)
        result._partition_records = unread(Records(log))
    found: list[dict[int, list[int]]] = []
    while fetcher._records:
        taken = fetching._take(fetcher, set(fetcher._records), 1_000)
        found.append({at.partition: [record.offset for record in records] for at, records in taken.items()})
    assert found == [{number: [0, 1, 2, 3]} for number in range(5)]


async def test_what_came_as_it_is_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "UNPACKED_TOGETHER_BYTES", 1)
    fetcher = fetched(p0=ready([Batch(2), Batch(2)]), p1=ready([Batch(2), Batch(2)]))
    assert [len(found) for found in fetching._take(fetcher, set(fetcher._records), 100).values()] == [4, 4]


@pytest.mark.parametrize("code", CODES)
def test_a_batch_up_to_the_limit_is_read(limit: int, code: int) -> None:
    mend_client()
    found = read(unread(Records(packed(code, limit - 100))))
    assert [(each.key, len(each.value or b"")) for each in found] == [(b"k", limit - 100), (b"l", 1)]


@pytest.mark.parametrize("name", DECODERS)
@given(content=st.binary(min_size=1, max_size=1_000), times=st.integers(1, 300))
def test_what_is_within_the_limit_is_unpacked_as_by_the_library(name: str, content: bytes, times: int) -> None:
    encode, theirs, ours = DECODERS[name]
    payload = encode(content * times)
    assert ours(payload) == theirs(payload) == content * times


@pytest.mark.parametrize("name", DECODERS)
@given(cut=st.integers(1, 40), changed=st.integers(0, 60))
def test_what_is_damaged_is_refused_or_read_as_by_the_library(name: str, cut: int, changed: int) -> None:
    encode, theirs, ours = DECODERS[name]
    whole = bytes(encode(b'{"attributes": {"plan": "pro"}}' * 50))
    turned = bytearray(whole)
    turned[changed % len(turned)] ^= 0xFF
    negative = bytearray(whole)
    negative[16:20] = struct.pack(">i", -4)  # a block of snappy's that would never end
    for payload in (whole[:-cut], bytes(turned), bytes(negative)):
        assert outcome(ours, payload) == outcome(theirs, payload)


def outcome(decode: Callable[[Any], bytes], payload: bytes) -> bytes | None:
    """What is unpacked; None for a refusal, whose kind is the decoder's own."""
    try:
        return decode(payload)
    except (OSError, EOFError, ValueError, zlib.error, struct.error, codec.cramjam.DecompressionError):
        return None


@pytest.mark.broker
async def test_a_broker_takes_it_and_what_comes_behind_is_read(broker: str, topic_prefix: str, limit: int) -> None:
    settings = RuntimeSettings(kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=1)
    await ensure_topics(settings)
    topic = topic_name(topic_prefix, Topic.CONTACT_CHANGES)
    large = 32 * limit
    async with AIOKafkaProducer(
        bootstrap_servers=broker, compression_type="zstd", max_batch_size=2 * large, max_request_size=2 * large
    ) as producer:
        await producer.send_and_wait(topic, b"v" * large, b"bomb", partition=0)
        await producer.send_and_wait(topic, b"2", b"behind", partition=0)
    at = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False) as consumer:
        consumer.assign([at])
        consumer.seek(at, 0)
        found: list[Any] = []
        while len(found) < 2:
            found += (await fetch(consumer, {at}, 1.0, 100)).get(at, [])
    assert [(each.offset, each.key) for each in found] == [(0, b""), (1, b"behind")]
