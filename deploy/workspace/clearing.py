"""Takes what was erased off the disks now, instead of when the broker's and RocksDB's own compaction come by.

Erasing a contact writes tombstones and deletes rows; the bytes behind them leave by compaction, on the topics within a
week. Rule: what is still in force is kept, and what webhooks could not deliver unless its contact is erased; what is
dropped whole (the input log, dead letters, answers to requests) is dropped only when named. A consumer that is behind
would lose changes that compaction folds, so nobody may be behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from deploy.workspace.broker import Broker
from deploy.workspace.eager_settings import eager
from deploy.workspace.ended_imports import imports_place, remove_ended
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.evaluators import compact_stores, owners
from deploy.workspace.failed_deliveries import close_file, forget_erased
from deploy.workspace.settings import OperatorSettings
from schemas.groups import EVALUATOR_GROUP, group_name
from schemas.topics import Topic, topic_name
from services.runtime import clock

COMPACTED = (Topic.CONTACTS_CHANGELOG, Topic.MEMBERSHIPS)
DROPPABLE = (Topic.CONTACT_CHANGES, Topic.DEAD_LETTERS, Topic.REQUESTS)
"""What is in force is elsewhere, and their retention would do the same later."""
CLOSED_AFTER_S = 0.3
"""Longer than `segment.ms`, so that the next record begins a new file."""
NOTHING = b"tidegate-nothing"
POLL_S = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ClearOptions:
    """What to drop whole beside compaction, and how long to wait for the broker's cleaner."""

    dropped: frozenset[Topic] = frozenset()
    imports: bool = False
    left_groups: frozenset[str] = frozenset()
    wait_s: float = 180.0


@dataclass(slots=True)
class Cleared:
    """What was done."""

    stores: list[int]
    records_before: int
    records_after: int
    dropped: dict[str, int]
    imports: int
    failures: int


async def clear_erased(broker: Broker, settings: OperatorSettings, options: ClearOptions, say: Say) -> Cleared:
    """Clear one workspace. Errors: `OperationRefusedError`; the topics then have their settings back."""
    await _refuse_readers_behind(broker, settings, options)
    topics = [*COMPACTED, *options.dropped]
    names = [topic_name(settings.topic_prefix, topic) for topic in topics]
    webhooks = topic_name(settings.topic_prefix, Topic.WEBHOOKS)
    counts = {name: shape.partitions for name, shape in (await broker.shapes([*names, webhooks])).items()}
    if missing := [name for name in (*names, webhooks) if name not in counts]:
        raise OperationRefusedError(
            f"there is no topic {missing[0]}: set TIDEGATE_TOPIC_PREFIX to the workspace's prefix"
        )
    stores = await compact_stores(await owners(broker, settings.topic_prefix))
    if missed := sorted(set(range(counts[names[0]])) - set(stores)):
        raise OperationRefusedError(
            f"the stores of partitions {missed} were not compacted, since they changed hands meanwhile or are being "
            "recovered: repeat"
        )
    say(f"Compacted the local stores of {len(stores)} partitions.")
    compacted = {name: counts[name] for name in names[: len(COMPACTED)]}
    before = await _records(broker, compacted)
    failures = await forget_erased(broker, webhooks, names[0], counts[names[0]])
    say(f"Forgot {failures:,} deliveries of webhooks that were given up, of erased contacts.")
    clearable = (*COMPACTED, Topic.WEBHOOKS, *DROPPABLE)
    async with eager(broker, settings.topic_prefix, [*topics, Topic.WEBHOOKS], clearable):
        closed = await _close_files(broker, settings.topic_prefix, {name: counts[name] for name in names})
        closed[webhooks] = await close_file(broker, webhooks)
        dropped = {}
        for name in names[len(COMPACTED) :]:
            if name == topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES):
                await _evaluated(broker, settings, closed[name], options.wait_s)
            dropped[name] = await _drop(broker, name, closed[name])
        say("Waiting for the broker to compact …")
        await _compacted(broker, {name: closed[name] for name in (*compacted, webhooks)}, options.wait_s)
    after = await _records(broker, compacted)
    imports = 0
    if options.imports:
        imports = await asyncio.to_thread(remove_ended, imports_place(settings), clock.now_ms())
    return Cleared(stores, before, after, dropped, imports, failures)


async def _refuse_readers_behind(broker: Broker, settings: OperatorSettings, options: ClearOptions) -> None:
    topic = topic_name(settings.topic_prefix, Topic.MEMBERSHIPS)
    for group in await broker.groups():
        offsets = await broker.group_offsets(group, topic) if group not in options.left_groups else {}
        if behind := await broker.unread(topic, offsets):
            raise OperationRefusedError(
                f"group {group} has {sum(behind.values()):,} records of {topic} to read, and compaction would fold "
                "changes that it has not seen: let it catch up, or name it with --leave-group"
            )


async def _close_files(broker: Broker, prefix: str, counts: dict[str, int]) -> dict[str, dict[int, int]]:
    """Begin a new file in every partition; the end of each before it. What begins it is in no transaction committed."""
    await asyncio.sleep(CLOSED_AFTER_S)
    ends = {name: await broker.ends(name, count) for name, count in counts.items()}
    producer = AIOKafkaProducer(**broker.client, transactional_id=f"{prefix}clearing", acks="all")
    await producer.start()
    try:
        await producer.begin_transaction()
        for name, count in counts.items():
            for partition in range(count):
                await producer.send_and_wait(name, b"", NOTHING, partition)
        await producer.abort_transaction()
    finally:
        await producer.stop()
    return ends


async def _compacted(broker: Broker, ends: dict[str, dict[int, int]], wait_s: float) -> None:
    """Wait until no key stands twice before the ends."""
    deadline = clock.monotonic() + wait_s
    for name, until in ends.items():
        while repeated := await _repeated(broker, name, until):
            if clock.monotonic() > deadline:
                raise OperationRefusedError(
                    f"after {wait_s:.0f} s the broker still holds {repeated:,} replaced records of {name}: look at its "
                    "log cleaner, and repeat"
                )
            await asyncio.sleep(POLL_S)


async def _repeated(broker: Broker, name: str, until: dict[int, int]) -> int:
    """How many records before the ends are replaced by later ones before the ends."""
    seen: dict[int, set[bytes]] = {partition: set() for partition in until}
    repeated = 0
    async for partition, records, _ in broker.read(name, dict.fromkeys(until, 0)):
        for record in records:
            if record.offset < until[partition]:
                repeated += record.key in seen[partition]
                seen[partition].add(record.key)
    return repeated


async def _records(broker: Broker, counts: dict[str, int]) -> int:
    found = 0
    for name, count in counts.items():
        async for _, records, _ in broker.read(name, dict.fromkeys(range(count), 0)):
            found += len(records)
    return found


async def _evaluated(broker: Broker, settings: OperatorSettings, ends: dict[int, int], wait_s: float) -> None:
    """Wait until the evaluators have committed everything before the ends of the input log."""
    name = topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES)
    group = group_name(settings.topic_prefix, EVALUATOR_GROUP)
    deadline = clock.monotonic() + wait_s
    while True:
        done = await broker.group_offsets(group, name)
        behind = {partition: done.get(partition, 0) for partition, end in ends.items() if done.get(partition, 0) < end}
        if not behind or not await broker.unread(name, behind):
            return
        if clock.monotonic() > deadline:
            raise OperationRefusedError(f"group {group} is behind in partitions {sorted(behind)} of {name}: see doctor")
        await asyncio.sleep(POLL_S)


async def _drop(broker: Broker, name: str, ends: dict[int, int]) -> int:
    """Delete what stands before the ends; how many records."""
    starts = await broker.starts(name, len(ends))
    wanted = {partition: end for partition, end in ends.items() if end > starts[partition]}
    admin = AIOKafkaAdminClient(**broker.client)
    await admin.start()
    try:
        await admin.delete_records(
            {TopicPartition(name, partition): RecordsToDelete(end) for partition, end in wanted.items()}
        )
    finally:
        await admin.close()
    return sum(end - starts[partition] for partition, end in wanted.items())
