"""One benchmark workspace: topics, segments, contacts and writes, produced by another client than the product's own.

Rule: the load is made before it is measured, and sent with librdkafka, so that making it costs the measured process
nothing. One extra segment, `probe`, flips with every write that toggles the attribute of that name.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from pydantic import JsonValue

from bench.engine.workload import START, Workload
from schemas.events import SEGMENT_DEFINED_HEADERS, TICK_HEADERS
from schemas.partitioner import partition_for_key
from schemas.segment_definition import SegmentDefinitionRecord
from schemas.tick import TickRecord
from schemas.topics import Topic, topic_name
from segmentation.expression.jsonform import to_json
from segmentation.expression.syntax import Compare, Condition, NumberLiteral, Order
from segmentation.model import AttributeName, Attributes, InstantMs, SegmentId, Value
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics

PROBE = AttributeName("probe")
PROBE_SEGMENT = "probe"
SEED = 7
QUEUE_RECORDS_MAX = 500_000
FLUSH_TIMEOUT_S = 120


class Sent(NamedTuple):
    """One record to produce."""

    partition: int
    key: bytes | None
    value: bytes
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass
class BenchWorkspace:
    """Topics under a prefix of its own, and the load for them."""

    broker: str
    partitions: int
    contacts: int
    segments: int
    replay_history: bool = True
    prefix: str = field(default_factory=lambda: f"bench-{uuid.uuid4().hex[:8]}-")

    def __post_init__(self) -> None:
        self.settings = RuntimeSettings(
            kafka_bootstrap=self.broker,
            topic_prefix=self.prefix,
            partitions=self.partitions,
            replay_history=self.replay_history,
        )
        self.workload = Workload(SEED, max(60, self.segments), selective=True)
        self.documents: list[Attributes] = list(self.workload.contacts(self.contacts))
        self.last_write = [START] * self.contacts
        self.defined: dict[str, object] = {}

    def name(self, topic: Topic) -> str:
        """The topic's name here."""
        return topic_name(self.prefix, topic)

    def create(self) -> None:
        """Create the topics."""
        asyncio.run(ensure_topics(self.settings))

    def key(self, contact: int) -> bytes:
        """A contact's id."""
        return b"contact-%07d" % contact

    def partition_of(self, contact: int) -> int:
        """A contact's partition."""
        return partition_for_key(self.key(contact), self.partitions)

    def definitions(self) -> Iterable[Sent]:
        """Every segment, to every partition."""
        expressions = [(f"s{number}", self.workload.segment()) for number in range(self.segments)]
        expressions.append((PROBE_SEGMENT, Condition(PROBE, Compare(Order.GTE, NumberLiteral(1.0)))))
        for segment_id, expression in expressions:
            self.defined[segment_id] = to_json(expression)
            record = SegmentDefinitionRecord(
                segment_id=SegmentId(segment_id),
                version=1,
                replaces=0,
                name=segment_id,
                where=cast("JsonValue", to_json(expression)),
                text="",
            ).encode()
            for partition in range(self.partitions):
                yield Sent(partition, None, record, START, SEGMENT_DEFINED_HEADERS)

    def creations(self) -> Iterable[Sent]:
        """The first write of every contact, with all its attributes."""
        for number, document in enumerate(self.documents):
            yield self._write(number, document, START)

    def updates(self, count: int) -> Iterable[Sent]:
        """Writes of one or two attributes to random contacts."""
        for write in self.workload.writes(self.documents, count):
            self.documents[write.contact] = write.after
            self.last_write[write.contact] = write.now
            changes = {name: write.after.get(name) for name in write.changed}
            yield self._write(write.contact, changes, write.now)

    def live_writes(self, count: int) -> Iterable[tuple[int, int, dict[AttributeName, Value | None]]]:
        """Writes as `updates` draws them, for the present: contact, partition, and what changes, without the time."""
        for write in self.workload.writes(self.documents, count):
            self.documents[write.contact] = write.after
            changes = {name: write.after.get(name) for name in write.changed}
            yield write.contact, self.partition_of(write.contact), changes

    def ticks(self, at: InstantMs) -> Iterable[Sent]:
        """One tick to every partition."""
        value = TickRecord(scheduled_at=at, interval_ms=1_000).encode()
        for partition in range(self.partitions):
            yield Sent(partition, None, value, at, TICK_HEADERS)

    def ends(self) -> dict[int, int]:
        """Where each partition of the input ends now."""
        consumer = Consumer({"bootstrap.servers": self.broker, "group.id": f"{self.prefix}ends"})
        name = self.name(Topic.CONTACT_CHANGES)
        try:
            return {
                partition: consumer.get_watermark_offsets(TopicPartition(name, partition), FLUSH_TIMEOUT_S)[1]
                for partition in range(self.partitions)
            }
        finally:
            consumer.close()

    def _write(self, contact: int, attributes: object, at: InstantMs) -> Sent:
        key = self.key(contact)
        return Sent(partition_for_key(key, self.partitions), key, orjson.dumps({"attributes": attributes}), at)

    def produce(self, records: Iterable[Sent], topic: Topic = Topic.CONTACT_CHANGES) -> float:
        """Send records in order; seconds taken."""
        producer = Producer(
            {
                "bootstrap.servers": self.broker,
                "linger.ms": 5,
                "acks": "all",
                "enable.idempotence": True,
                "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
            }
        )
        began = time.perf_counter()
        name = self.name(topic)
        for record in records:
            while True:
                try:
                    producer.produce(
                        name,
                        value=record.value,
                        key=record.key,
                        partition=record.partition,
                        timestamp=record.timestamp_ms if self.replay_history else 0,
                        headers=list(record.headers),
                    )
                    break
                except BufferError:
                    producer.poll(0.05)
            producer.poll(0)
        if producer.flush(FLUSH_TIMEOUT_S):
            raise RuntimeError("the broker did not take the load in time")
        return time.perf_counter() - began
