"""One connection to the broker, and the work of a leader for as long as the group says that this process leads.

Rule: whoever is assigned the one partition of `segments` leads. Leadership may be held twice for a while, because both
kinds of records it writes may be repeated; it must never be held by nobody while a scheduler runs and a broker answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition

from schemas.groups import group_name
from schemas.topics import Topic, topic_name
from services.runtime import clock
from services.runtime.application import ServiceContext
from services.runtime.kafka import client_options
from services.runtime.logs import get_logger
from services.scheduler import metrics
from services.scheduler.fanout import FanOut, Proposal
from services.scheduler.settings import SchedulerSettings
from services.scheduler.ticker import Ticker

POLL_TIMEOUT_MS = 1_000
SESSION_TIMEOUT_MS = 10_000
HEARTBEAT_INTERVAL_MS = 3_000
DELIVERY_TIMEOUT_MS = 10_000
PROPOSALS_PER_POLL_MAX = 500
LOOK_S = 1.0
"""How often a leader looks whether it still is one, whatever its appends wait for."""
LEAVE_S = 3.0
"""How long one that no longer is waits for a definition in hand; what is not in every partition is the next one's."""
WAITS_MS_MAX = 365 * 86_400_000
"""The client leaves the group when it is asked for nothing for so long, as while a partition has no leader."""

log = get_logger("leader")


class Leadership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no type information
    """What the group last said: the partition of `segments`, if it is ours. `generation` grows with every answer."""

    def __init__(self) -> None:
        self.partition: TopicPartition | None = None
        self.generation = 0

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Stop leading."""
        if revoked:
            self._hold(None)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Lead, or stand by."""
        self._hold(next(iter(assigned), None))

    def _hold(self, partition: TopicPartition | None) -> None:
        self.partition = partition
        self.generation += 1
        metrics.LEADER.set(partition is not None)


class Connection:
    """The clients of one scheduler while the broker answers. Use `connected`."""

    def __init__(self, context: ServiceContext[SchedulerSettings], consumer: Any, producer: Any) -> None:
        self._settings = context.settings
        self._health = context.health
        self._stopping = context.stopping
        self._consumer = consumer
        self._producer = producer
        self._input_topic = topic_name(context.settings.topic_prefix, Topic.CONTACT_CHANGES)
        self._acknowledged = 0
        self.leadership = Leadership()

    async def serve(self) -> None:
        """Lead or stand by until stopped. Errors: raises the client's when the broker fails us."""
        topic = topic_name(self._settings.topic_prefix, Topic.SEGMENTS)
        self._consumer.subscribe([topic], listener=self.leadership)
        while not self._stopping.is_set():
            partition = self.leadership.partition
            if partition is None:
                self._health.ready("standing by: another scheduler leads, or the group is being formed")
                await self._consumer.getmany(timeout_ms=POLL_TIMEOUT_MS)
            else:
                await self._lead(partition, self.leadership.generation)

    async def _lead(self, partition: TopicPartition, generation: int) -> None:
        """Tick and forward definitions until the group says something new."""
        committed = await self._consumer.committed(partition) or 0
        fan_out = FanOut(self._append, self._settings.partitions, committed, lambda: self._acknowledged)
        ticker = Ticker(
            self._append, self._settings.partitions, self._settings.tick_interval_ms, clock.now_ms, clock.monotonic
        )
        # An explicit offset, which nothing of the topic ever lies before: a seek to the beginning can be overtaken by
        # the client's own first reset.
        self._consumer.seek(partition, 0)
        log.info("leading", forward_from=committed)
        ticking = asyncio.create_task(ticker.run(), name="ticker")
        forwarding = asyncio.create_task(self._forward_all(fan_out, partition, generation), name="definitions")
        works = {ticking, forwarding}
        try:
            self._health.ready("leading: ticks and definitions go to every partition")
            while self._leads(generation):
                done, _ = await asyncio.wait(works, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                for work in done:
                    work.result()
            await asyncio.wait({forwarding}, timeout=LEAVE_S)
            if forwarding.done():
                forwarding.result()
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
        log.info("no longer leading")

    def _leads(self, generation: int) -> bool:
        return not self._stopping.is_set() and self.leadership.generation == generation

    async def _forward_all(self, fan_out: FanOut, partition: TopicPartition, generation: int) -> None:
        """Forward definitions for as long as this process leads. Errors: raises the client's."""
        while self._leads(generation):
            await self._forward(fan_out, partition, generation)

    async def _forward(self, fan_out: FanOut, partition: TopicPartition, generation: int) -> None:
        polled = await self._consumer.getmany(partition, timeout_ms=POLL_TIMEOUT_MS, max_records=PROPOSALS_PER_POLL_MAX)
        if self.leadership.generation != generation:
            return
        position = None
        for record in polled.get(partition, ()):
            if await fan_out.take(Proposal(record.offset, record.value)):
                position = record.offset + 1
        if position is not None:
            await self._consumer.commit({partition: position})

    async def _append(self, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        await self._producer.send_and_wait(self._input_topic, value, partition=partition, headers=list(headers))
        self._acknowledged += 1


@contextlib.asynccontextmanager
async def connected(context: ServiceContext[SchedulerSettings]) -> AsyncIterator[Connection]:
    """Connect to the broker; disconnect at the end. Errors: raises the client's when no broker answers."""
    settings = context.settings
    options = client_options(settings)
    consumer = AIOKafkaConsumer(
        group_id=group_name(settings.topic_prefix, settings.scheduler_group),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
        fetch_max_wait_ms=POLL_TIMEOUT_MS,
        max_poll_interval_ms=WAITS_MS_MAX,
        **options,
    )
    producer = AIOKafkaProducer(acks="all", linger_ms=0, request_timeout_ms=DELIVERY_TIMEOUT_MS, **options)
    async with contextlib.AsyncExitStack() as stack:
        # Registered before any start: one that failed half-way has connections to close too.
        for client in (producer, consumer):
            stack.push_async_callback(client.stop)
        await producer.start()
        await consumer.start()
        yield Connection(context, consumer, producer)
