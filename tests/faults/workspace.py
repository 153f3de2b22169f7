"""One workspace on a real broker: its topics, a load whose every record is remembered, and the judgement at the end.

Rule: what must have been published is computed from the input log as the broker holds it, by the oracle alone. The
input topic takes its producers' timestamps, so that hours pass in seconds and a clock can be made to jump; or the
broker's, as in production, and then the oracle reads the stamps that the broker acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import Topic, topic_name
from segmentation.model import ContactId, SegmentId
from services.evaluator.ports import OutputRecord
from services.runtime import clock
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics
from tests.oracle.checker import (
    Published,
    check_committed,
    check_readers_agree,
    check_uncommitted,
    fold,
)
from tests.oracle.partitions import home_partition
from tests.oracle.reference import DeleteInput, Input, LogEntry, PoisonInput, Reference, WriteInput
from tests.simulation.wire import encode
from tests.simulation.workload import START_MS, Workload
from tests.transactions import Transactions

POLL_S = 0.1
QUIET_S = 1.5
"""Nothing new on the memberships topic for this long, with every input committed, means that the work is done."""
SETTLE_TIMEOUT_S = 60.0
READ_IDLE_MS = 500
SEGMENTS = 8
REPEATED_SHARE = 0.02
"""How many inputs their producer sends twice."""
LOAD_CHUNK = 25
"""Inputs between two looks at whether the load should go on."""
BUSY_DAY = (62, 26, 9, 3)
"""How often contacts, ticks, definitions and poison come."""


class BusyDay(Workload):
    """The mix of a busy day over many contacts, with far too many definitions."""

    def __init__(self, rng: Random, contacts: int) -> None:
        super().__init__(rng)
        self.contacts = [ContactId(f"c{number}") for number in range(contacts)]
        self.segments = [SegmentId(f"s{number}") for number in range(SEGMENTS)]
        self._mix = BUSY_DAY
        self._erasures = 0.06


@dataclass
class Workspace:
    """The topics of one test and everything that was sent to them."""

    broker: str
    prefix: str
    partitions: int = 4
    seed: int = 1
    contacts: int = 200
    broker_stamps: bool = False
    """Whether time is the broker's own, as in production, and not what the load says."""
    sent: dict[int, dict[int, tuple[int, Input]]] = field(default_factory=dict)
    """By partition and offset: the timestamp and the input."""

    def __post_init__(self) -> None:
        self.settings = RuntimeSettings(
            kafka_bootstrap=self.broker,
            topic_prefix=self.prefix,
            partitions=self.partitions,
            replay_history=not self.broker_stamps,
        )
        self.rng = Random(self.seed)
        self.workload = BusyDay(self.rng, self.contacts)
        self.now: int = START_MS
        self.acknowledged = 0
        self._strangers = {
            partition: next(
                (
                    name
                    for number in range(1_000)
                    if home_partition(name := ContactId(f"stranger{number}"), self.partitions) != partition
                ),
                ContactId(""),
            )
            for partition in range(self.partitions)
        }

    def name(self, topic: Topic) -> str:
        """The topic's name in this workspace."""
        return topic_name(self.prefix, topic)

    async def create(self) -> None:
        """Create the topics."""
        await ensure_topics(self.settings)

    async def load(self, inputs: int, rate_per_s: float, poison: bool = True) -> None:
        """Send so many inputs at a steady rate, each acknowledged by all replicas."""
        async with self._producing() as producer:
            await self._send_inputs(producer, inputs, rate_per_s, poison)

    @asynccontextmanager
    async def _producing(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.broker, acks="all", enable_idempotence=True, request_timeout_ms=60_000
        )
        try:
            await producer.start()
            yield producer
        finally:
            await producer.stop()

    async def _send_inputs(self, producer: AIOKafkaProducer, inputs: int, rate_per_s: float, poison: bool) -> None:
        began = time.monotonic()
        pending: list[asyncio.Task[None]] = []
        for number in range(inputs):
            proposed = self.workload.any_input(self.now)
            if isinstance(proposed, PoisonInput) and not poison:
                continue
            self._pass_time()
            for partition in self._targets(proposed) * (2 if self.rng.random() < REPEATED_SHARE else 1):
                record = encode(self.rng, proposed, self.now, self._strangers[partition])
                pending.append(asyncio.create_task(self._send(producer, partition, record, self.now, proposed)))
            await asyncio.sleep(max(0.0, began + number / rate_per_s - time.monotonic()))
        await asyncio.gather(*pending)

    @asynccontextmanager
    async def under_load(self, rate_per_s: float, *, poison: bool = True) -> AsyncIterator[None]:
        """Inputs at a steady rate until the end of the block, through every outage of the broker in it."""
        done = asyncio.Event()
        loading = asyncio.create_task(self._load_until(done, rate_per_s, poison))
        try:
            yield
        except BaseException as error:
            loading.cancel()
            await asyncio.wait({loading})
            if not loading.cancelled() and (cause := loading.exception()) is not None:
                error.add_note(f"the load had ended before: {cause!r}")
            raise
        done.set()
        await loading

    async def _load_until(self, done: asyncio.Event, rate_per_s: float, poison: bool) -> None:
        # One producer, connected while the broker is there: a new one could not start during an outage.
        async with self._producing() as producer:
            while not done.is_set():
                await self._send_inputs(producer, LOAD_CHUNK, rate_per_s, poison)

    def _pass_time(self) -> None:
        if self.broker_stamps:
            self.now = clock.now_ms()
        else:
            self.now = max(START_MS, self.now + self.workload.clock_step_ms(self.now))

    def _targets(self, proposed: Input) -> list[int]:
        if isinstance(proposed, WriteInput | DeleteInput):
            return [home_partition(proposed.contact_id, self.partitions)]
        return [self.rng.randrange(self.partitions)] if isinstance(proposed, PoisonInput) else [*range(self.partitions)]

    async def _send(
        self, producer: AIOKafkaProducer, partition: int, record: OutputRecord, timestamp: int, proposed: Input
    ) -> None:
        future = await producer.send(
            self.name(Topic.CONTACT_CHANGES),
            key=record.key,
            # A tombstone without a key cannot be produced by this client; an empty key is as unreadable.
            value=record.value if record.value is not None or record.key is not None else b"",
            partition=partition,
            timestamp_ms=None if self.broker_stamps else timestamp,
            headers=list(record.headers),
        )
        placed = await future
        if self.broker_stamps:
            timestamp = placed.timestamp
        self.sent.setdefault(partition, {})[placed.offset] = (timestamp, proposed)
        self.acknowledged += 1

    async def positions(self) -> dict[int, int]:
        """The input positions that are committed, by partition."""
        input_topic = self.name(Topic.CONTACT_CHANGES)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker)
        try:
            await admin.start()
            offsets = await admin.list_consumer_group_offsets(f"{self.prefix}evaluator")
        finally:
            await admin.close()
        return {at.partition: committed.offset for at, committed in offsets.items() if at.topic == input_topic}

    async def passes(self, position: int, timeout_s: float) -> float:
        """Wait until more is committed, over all partitions, than `position`; seconds waited."""
        began = time.monotonic()
        deadline = began + timeout_s
        while (found := sum((await self.positions()).values())) <= position:
            if time.monotonic() > deadline:
                raise AssertionError(f"nothing was committed beyond {position} within {timeout_s:.0f} s, found {found}")
            await asyncio.sleep(POLL_S)
        return time.monotonic() - began

    async def position(self) -> int:
        """How much is committed, over all partitions."""
        return sum((await self.positions()).values())

    async def ends(self) -> dict[int, int]:
        """Where the input log ends, by partition, whoever has written to it."""
        wanted = [TopicPartition(self.name(Topic.CONTACT_CHANGES), partition) for partition in range(self.partitions)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.broker)
        try:
            await consumer.start()
            return {at.partition: end for at, end in (await consumer.end_offsets(wanted)).items()}
        finally:
            await consumer.stop()

    async def settled(self, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
        """Wait until every input is committed and nothing more is published."""
        deadline = time.monotonic() + timeout_s
        ends = await self.ends()
        while True:
            found = await self.positions()
            behind = {at: (found.get(at, 0), end) for at, end in ends.items() if found.get(at, 0) < end}
            if not behind:
                break
            if time.monotonic() > deadline:
                raise AssertionError(f"after {timeout_s:.0f} s still (committed, end) by partition: {behind}")
            await asyncio.sleep(POLL_S)
        seen = -1
        while (count := len(await self.published("read_uncommitted"))) != seen:
            seen = count
            await asyncio.sleep(QUIET_S)
        for topic in (Topic.MEMBERSHIPS, Topic.CONTACTS_CHANGELOG):
            await Transactions(self.broker).until_readable(self.name(topic), range(self.partitions))

    async def read(self, topic: Topic, isolation: str = "read_committed") -> list[Published]:
        """Everything on a topic."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.broker, isolation_level=isolation, auto_offset_reset="earliest"
        )
        try:
            await consumer.start()
            wanted = [TopicPartition(self.name(topic), partition) for partition in range(self.partitions)]
            ends = await consumer.end_offsets(wanted)
            consumer.assign(wanted)
            await consumer.seek_to_beginning(*wanted)
            found: list[Published] = []
            while any([await consumer.position(at) < ends[at] for at in wanted]):
                for at, records in (await consumer.getmany(*wanted, timeout_ms=READ_IDLE_MS)).items():
                    found.extend(Published(at.partition, r.offset, r.key or b"", r.value) for r in records)
            return sorted(found, key=lambda record: record[:2])
        finally:
            await consumer.stop()

    async def published(self, isolation: str = "read_committed") -> list[Published]:
        """All membership records."""
        return await self.read(Topic.MEMBERSHIPS, isolation)

    def references(self) -> dict[int, Reference]:
        """What each partition's log means."""
        return {
            partition: Reference().read_all(
                LogEntry(offset, timestamp, proposed) for offset, (timestamp, proposed) in sorted(log.items())
            )
            for partition, log in self.sent.items()
        }

    async def stale_rows(self) -> list[str]:
        """Contact rows on the changelog that fall behind an earlier one of the same contact."""
        newest: dict[bytes, int] = {}
        stale: list[str] = []
        for row in await self.read(Topic.CONTACTS_CHANGELOG):
            if row.value is None:
                continue
            offset = json.loads(row.value)["offset"]
            if offset < newest.get(row.key, -1):
                stale.append(f"contact {row.key.decode()}: offset {offset} after {newest[row.key]}")
            newest[row.key] = offset
        return stale

    async def violations(self, during: list[Published] | None = None) -> list[str]:
        """Everything that differs from what must have been published, as lines."""
        references = self.references()
        expected = {partition: reference.events for partition, reference in references.items()}
        committed = await self.published()
        uncommitted = await self.published("read_uncommitted")
        found = [
            *check_committed(committed, expected, self.partitions).violations,
            *check_uncommitted(uncommitted, expected, self.partitions).violations,
        ]
        if during is not None:
            found += check_readers_agree(during, committed)
        wanted: dict[str, set[str]] = {}
        for reference in references.values():
            for segment_id, contacts in reference.members().items():
                wanted.setdefault(segment_id, set()).update(contacts)
        members = fold(committed)
        if {segment_id: contacts for segment_id, contacts in wanted.items() if contacts} != members:
            found.append("the fold of the memberships differs from the reference's members")
        letters = len(await self.read(Topic.DEAD_LETTERS))
        poison = sum(isinstance(proposed, PoisonInput) for log in self.sent.values() for _, proposed in log.values())
        if letters != poison:
            found.append(f"dead letters: expected {poison}, found {letters}")
        return found
