"""A steady stream of writes on a running workspace, and a reader that times every membership change it leads to.

Rule: writes leave at planned instants, whether or not earlier ones are acknowledged. A change's delay is from the
broker's timestamp of the write (or from the exact instant of a time rule) to its being read, committed.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import JsonValue

from schemas.groups import EVALUATOR_GROUP, group_name
from schemas.partitioner import partition_for_key
from schemas.segment_definition import SegmentDefinitionRecord
from schemas.topics import Topic, topic_name
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.jsonform import to_json
from segmentation.expression.source import parse_where
from segmentation.model import SegmentId

PLANS = ("free", "pro", "team")
SEGMENTS: dict[str, str] = {
    "pros": 'plan is "pro"',
    "scorers": "score > 50",
    "fresh": "seen_at within last 10 seconds",
    "fading": "seen_at within last 40 seconds and not seen_at within last 20 seconds",
    "fresh_pros": 'plan is "pro" and seen_at within last 15 seconds',
    "quiet_scorers": "score > 80 and seen_at more than 30 seconds ago",
    "not_free": 'plan is not "free"',
    "top": 'score > 95 and plan is "team"',
}
SEEN_SHARE = 0.05
"""Writes that renew a contact's `seen_at`: seldom enough that it goes out of date by itself in between."""
POLL_MS = 200
DRAIN_POLL_S = 0.5
DEADLINES_S = 2.0
"""What is due when the last record is committed is fired in slices after it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to write and read."""

    bootstrap: str
    prefix: str
    partitions: int

    def name(self, topic: Topic) -> str:
        """The topic's name in the workspace."""
        return topic_name(self.prefix, topic)


@dataclass(slots=True)
class Delay:
    """One change as it was read. Units: seconds on the monotonic clock, milliseconds."""

    partition: int
    read_at: float
    cause: str
    delay_ms: float


class Stream:
    """Writes until stopped."""

    def __init__(self, target: Target, rate_per_s: float, contacts: int, seed: int = 1) -> None:
        self._target = target
        self._rate_per_s = rate_per_s
        self._contacts = contacts
        self._rng = random.Random(seed)
        self.sent = 0
        self.failed = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Send at the rate; every contact first once."""
        producer = AIOKafkaProducer(bootstrap_servers=self._target.bootstrap, acks="all", linger_ms=2)
        await producer.start()
        began = time.perf_counter()
        pending: set[asyncio.Future[Any]] = set()
        try:
            while not stop.is_set():
                due = int((time.perf_counter() - began) * self._rate_per_s) - self.sent
                for _ in range(max(0, due)):
                    future = await self._send(producer)
                    pending.add(future)
                    future.add_done_callback(self._done)
                    future.add_done_callback(pending.discard)
                await asyncio.sleep(0.005)
            await asyncio.gather(*pending, return_exceptions=True)
        finally:
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer) -> asyncio.Future[Any]:
        number = self.sent if self.sent < self._contacts else self._rng.randrange(self._contacts)
        self.sent += 1
        key = b"c%d" % number
        attributes: dict[str, object] = {"score": self._rng.randrange(100)}
        if self._rng.random() < SEEN_SHARE or self.sent <= self._contacts:
            attributes["seen_at"] = int(time.time() * 1_000)
        if self._rng.random() < 0.5:
            attributes["plan"] = self._rng.choice(PLANS)
        value = orjson.dumps({"attributes": attributes})
        partition = partition_for_key(key, self._target.partitions)
        found: asyncio.Future[Any] = await producer.send(
            self._target.name(Topic.CONTACT_CHANGES), value, key, partition
        )
        return found

    def _done(self, future: asyncio.Future[Any]) -> None:
        self.failed += future.cancelled() or future.exception() is not None


@dataclass(slots=True)
class Watch:
    """Reads memberships from where they end now and keeps each change's delay; `take` empties it."""

    target: Target
    delays: list[Delay] = field(default_factory=list)

    async def run(self, stop: asyncio.Event, started: asyncio.Event) -> None:
        """Read until stopped."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.target.bootstrap, isolation_level="read_committed", fetch_max_wait_ms=POLL_MS
        )
        await consumer.start()
        try:
            name = self.target.name(Topic.MEMBERSHIPS)
            consumer.assign([TopicPartition(name, partition) for partition in range(self.target.partitions)])
            await consumer.seek_to_end()
            started.set()
            while not stop.is_set():
                for at, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                    self._take(at.partition, records)
        finally:
            await consumer.stop()

    def take(self) -> list[Delay]:
        """The delays since the last call."""
        taken, self.delays = self.delays, []
        return taken

    def _take(self, partition: int, records: list[Any]) -> None:
        now, wall_ms = time.monotonic(), time.time() * 1_000
        for record in records:
            if record.value is not None:
                body = json.loads(record.value)
                self.delays.append(Delay(partition, now, body["cause"]["kind"], wall_ms - body["at"]))


def quantile(values: list[float], share: float) -> float:
    """A quantile by rank; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def define(target: Target, segments: dict[str, str]) -> None:
    """Append definitions to `segments`, which the scheduler forwards to every partition."""
    producer = AIOKafkaProducer(bootstrap_servers=target.bootstrap, acks="all")
    await producer.start()
    try:
        for segment_id, where in segments.items():
            parsed = parse_where(where, AttributeCatalogue.empty())
            if isinstance(parsed, Rejection):
                raise ValueError(f"{segment_id}: {parsed.problems[0].message}")
            record = SegmentDefinitionRecord(
                segment_id=SegmentId(segment_id),
                version=1,
                replaces=0,
                name=segment_id,
                where=cast("JsonValue", to_json(parsed)),
                text=where,
            )
            await producer.send_and_wait(target.name(Topic.SEGMENTS), record.encode(), segment_id.encode(), 0)
    finally:
        await producer.stop()


async def lag(target: Target) -> int:
    """How many records of the input log the evaluators have not committed."""
    done = await _done(target)
    return sum(end - done.get(partition, 0) for partition, end in (await _ends(target)).items())


async def drained(target: Target, timeout_s: float = 120.0) -> dict[int, int]:
    """Wait until everything that is on the input log now is committed; the ends of the log that were waited for."""
    ends = await _ends(target)
    began = time.monotonic()
    while behind := await _behind(target, ends):
        if time.monotonic() - began > timeout_s:
            raise TimeoutError(f"after {timeout_s:.0f} s these are not evaluated through their ends: {behind}")
        await asyncio.sleep(DRAIN_POLL_S)
    await asyncio.sleep(DEADLINES_S)
    return ends


async def _behind(target: Target, ends: dict[int, int]) -> dict[int, int]:
    done = await _done(target)
    return {partition: end for partition, end in ends.items() if done.get(partition, 0) < end}


async def _ends(target: Target) -> dict[int, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=target.bootstrap)
    await consumer.start()
    try:
        places = [TopicPartition(target.name(Topic.CONTACT_CHANGES), each) for each in range(target.partitions)]
        return {at.partition: end for at, end in (await consumer.end_offsets(places)).items()}
    finally:
        await consumer.stop()


async def _done(target: Target) -> dict[int, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=target.bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(group_name(target.prefix, EVALUATOR_GROUP))
    finally:
        await admin.close()
    return {at.partition: kept.offset for at, kept in offsets.items()}
