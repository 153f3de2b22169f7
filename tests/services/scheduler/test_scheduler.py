"""The scheduler on a real broker: ticks and definitions in every partition, one leader, and another when it goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.codec import InputRecord, SegmentDefined, Tick, decode_input
from schemas.segment_definition import SegmentDefinitionRecord
from schemas.topics import Topic, topic_name
from segmentation.model import SegmentId
from services.runtime.application import ServiceContext
from services.runtime.topics import ensure_topics
from services.scheduler.__main__ import main
from services.scheduler.settings import SchedulerSettings

pytestmark = pytest.mark.broker
PARTITIONS = 3
WAIT_S = 120.0


@pytest.fixture
async def settings(broker: str, topic_prefix: str, tmp_path: Path) -> SchedulerSettings:
    settings = SchedulerSettings(
        kafka_bootstrap=broker,
        topic_prefix=topic_prefix,
        partitions=PARTITIONS,
        tick_interval_ms=200,
        data_dir=tmp_path,
    )
    await ensure_topics(settings)
    return settings


@contextlib.asynccontextmanager
async def scheduler(settings: SchedulerSettings) -> AsyncIterator[ServiceContext[SchedulerSettings]]:
    context = ServiceContext("scheduler", settings)
    working = asyncio.create_task(main(context))
    try:
        yield context
    finally:
        context.stopping.set()
        await working


@contextlib.asynccontextmanager
async def input_log(settings: SchedulerSettings) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False)
    name = topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(name, partition) for partition in range(PARTITIONS)])
        await consumer.seek_to_beginning()
        yield consumer
    finally:
        await consumer.stop()


async def read_until(consumer: Any, seen: dict[int, list[InputRecord]], enough: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not enough(seen):
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                seen.setdefault(partition.partition, []).extend(
                    decode_input(record.key, record.value, record.headers) for record in records
                )


def everywhere(kind: type[Any], count: int) -> Any:
    return lambda seen: all(
        sum(isinstance(item, kind) for item in seen.get(partition, ())) >= count for partition in range(PARTITIONS)
    )


async def define(settings: SchedulerSettings, *versions: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        for version in versions:
            record = SegmentDefinitionRecord(
                segment_id=SegmentId("pros"),
                version=version,
                replaces=version - 1,
                name=f"v{version}",
                where={"plan": {"is": "pro"}},
                text="",
            )
            await producer.send_and_wait(
                topic_name(settings.topic_prefix, Topic.SEGMENTS), record.encode(), key=b"pros"
            )
    finally:
        await producer.stop()


def versions(items: list[InputRecord]) -> list[int]:
    return [item.definition.version for item in items if isinstance(item, SegmentDefined)]


async def test_ticks_and_definitions_reach_every_partition(settings: SchedulerSettings) -> None:
    seen: dict[int, list[InputRecord]] = {}
    async with scheduler(settings) as context, input_log(settings) as log:
        await define(settings, 1, 2, 2)
        await read_until(log, seen, lambda s: everywhere(Tick, 3)(s) and everywhere(SegmentDefined, 2)(s))
        assert context.health.readiness.ready
    assert {partition: versions(items) for partition, items in seen.items()} == {n: [1, 2] for n in range(3)}


async def test_a_definition_made_while_no_scheduler_ran_is_forwarded_once_by_the_next(
    settings: SchedulerSettings,
) -> None:
    seen: dict[int, list[InputRecord]] = {}
    async with input_log(settings) as log:
        await define(settings, 1)
        async with scheduler(settings):
            await read_until(log, seen, everywhere(SegmentDefined, 1))
        await define(settings, 2)
        async with scheduler(settings):
            await read_until(log, seen, everywhere(SegmentDefined, 2))
            ticks = sum(isinstance(item, Tick) for item in seen[0])
            await read_until(log, seen, everywhere(Tick, ticks + 2))
    assert all(versions(items) == [1, 2] for items in seen.values())


def one_leads(*contexts: ServiceContext[SchedulerSettings]) -> bool:
    states = sorted(context.health.readiness.reason.partition(":")[0] for context in contexts)
    return states == ["leading", "standing by"]


async def test_of_two_schedulers_one_leads_and_the_other_takes_over(settings: SchedulerSettings) -> None:
    seen: dict[int, list[InputRecord]] = {}
    async with input_log(settings) as log, contextlib.AsyncExitStack() as stack:
        second = contextlib.AsyncExitStack()
        await stack.enter_async_context(second)
        async with scheduler(settings) as first:
            await read_until(log, seen, everywhere(Tick, 1))
            standing_by = await second.enter_async_context(scheduler(settings))
            await read_until(log, seen, lambda _: one_leads(first, standing_by))
        ticks = max(sum(isinstance(item, Tick) for item in items) for items in seen.values())
        await define(settings, 1)
        await read_until(log, seen, lambda s: everywhere(Tick, ticks + 3)(s) and everywhere(SegmentDefined, 1)(s))
