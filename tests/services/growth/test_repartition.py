"""A workspace is moved to another number of partitions: members go on, versions go on growing, nobody notices twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy.workspace.broker import connected
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.moving import SIZE_SETTING, Move, Moved, MoveOptions
from schemas.partitioner import partition_for_key
from schemas.topics import Topic
from services.runtime.errors import StartRefusedError
from services.runtime.topics import verify_topics
from tests.faults.process import Evaluator
from tests.faults.workspace import Workspace
from tests.oracle.checker import fold
from tests.services.growth.continued import differences, load_later
from tests.transactions import Transactions
from tests.waiting import until
from tidegate.cli.connection import EXIT_INTERRUPTED

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

GROUP = "trial-emails"
READ_TIMEOUT_S = 60.0
READY_WITHIN_S = 120.0
POLL_MS = 200
READERS_AWAITED = "Waiting for every consumer to read all changes and stop"
SEALED_WITHIN_S = 60.0
ENDS_WITHIN_S = 30.0
LOOKED_WITHIN_S = 20.0
"""How long the sealed workspace is looked at; the move that waits so long for a consumer is then refused."""


async def test_members_go_on_after_a_move_to_more_partitions(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    before = Workspace(broker, f"{topic_prefix}old-", seed=41, partitions=3)
    after = Workspace(broker, f"{topic_prefix}new-", seed=42, partitions=5)
    await before.create()
    group = f"{topic_prefix}{GROUP}"
    async with evaluated(before, tmp_path / "old"):
        await before.load(1_000, rate_per_s=2_000)
        await before.settled()
        read = await read_as(group, before)
        moved = await move(before, after)
    assert not await before.violations()
    assert moved.groups == [group]
    assert moved.members == sum(map(len, fold(await before.published()).values())) > 100
    assert await read_as(group, after) == [], "a consumer that has read everything is told nothing again"
    async with evaluated(after, tmp_path / "new"):
        await load_later(before, after, 600)
        await after.settled()
        read_later = await read_as(group, after)
    assert len(read) > 100
    assert len(read_later) > 100
    assert await differences(before, after) == []


async def test_a_move_to_fewer_partitions_that_is_killed_again_and_again_ends_as_if_it_never_was(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    before = Workspace(broker, f"{topic_prefix}old-", seed=45, partitions=4)
    after = Workspace(broker, f"{topic_prefix}new-", seed=46, partitions=3)
    await before.create()
    sizes = {Topic.CONTACT_CHANGES: "5000000", Topic.SEGMENTS: "12000000"}
    async with connected(before.settings) as admin:
        for topic, size in sizes.items():
            await admin.change_settings(before.name(topic), {SIZE_SETTING: size})
    async with evaluated(before, tmp_path / "old"):
        await before.load(600, rate_per_s=2_000)
        await before.settled()
        # A consumer that is behind keeps each of these moves from ending, however long the kill takes to come.
        group = f"{topic_prefix}{GROUP}"
        await read_as(group, before, records_max=1)
        for said, later_s in (("Copied", 0.0), ("Copied", 0.2), ("Sealed", 0.0), ("Sealed", 0.3), ("Sealed", 0.6)):
            await asyncio.to_thread(killed_move, before, after, said, later_s)
        await read_as(group, before)
        await asyncio.to_thread(killed_move, before, after, "Compared", 0.0)
        # The last kill may have come too late on a busy machine: then the move is over, and nothing is left to repeat.
        if not await is_moved(after):
            assert "Going on with the copies of an earlier run." in await asyncio.to_thread(run_move, before, after)
    async with connected(after.settings) as admin:
        moved = {topic: (await admin.own_settings(after.name(topic)))[SIZE_SETTING] for topic in sizes}
    assert moved == sizes, "what an operator had set outlives every kill"
    async with evaluated(after, tmp_path / "new"):
        await load_later(before, after, 300)
        await after.settled()
    assert await differences(before, after) == []


async def test_a_sealed_workspace_refuses_every_producer_and_the_new_one_starts_only_when_it_is_whole(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    async with held_up(broker, topic_prefix, tmp_path, seed=47) as (before, after):
        moving = await begun(before, after, READERS_AWAITED, wait_s=LOOKED_WITHIN_S)
        with pytest.raises(KafkaError):
            await write(before)
        with pytest.raises(StartRefusedError, match=f"{topic_prefix}new-contact-changes is missing"):
            await verify_topics(after.settings)
        with pytest.raises(OperationRefusedError, match=rf"group {topic_prefix}{GROUP} has .* records of .* to read"):
            await moving
        await write(before)
        await move(before, after, left=(f"{topic_prefix}{GROUP}",))
        with pytest.raises(KafkaError):
            await write(before)
    await verify_topics(after.settings)
    await write(after)


async def test_a_move_whose_seal_somebody_took_away_is_refused_and_may_be_repeated(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    """As an operator of declared topics does, which puts every setting back that it did not make."""
    async with held_up(broker, topic_prefix, tmp_path, seed=51) as (before, after):
        topic = before.name(Topic.CONTACT_CHANGES)
        moving = await begun(before, after, READERS_AWAITED)
        async with connected(before.settings) as admin:
            await admin.change_settings(topic, {SIZE_SETTING: None})
        await read_as(f"{topic_prefix}{GROUP}", before)
        with pytest.raises(OperationRefusedError, match=f"set max.message.bytes of topic {topic} back to its default"):
            await moving
        assert not await is_moved(after)
        asked_at = await stamped(before, Topic.REQUESTS)
        await move(before, after)
    assert [record.timestamp for record in await single(after, Topic.REQUESTS)] == [asked_at]


async def test_a_move_that_is_told_to_stop_opens_the_doors_again(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    """By whoever ends processes, or with the terminal that it was started in."""
    async with held_up(broker, topic_prefix, tmp_path, seed=53) as (before, after):
        # Whoever was started in the background is born deaf to the second, and so is the command then.
        heard = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
        for number in heard:
            assert await asyncio.to_thread(ended_move, before, after, number) == EXIT_INTERRUPTED
            await write(before)


async def test_a_transaction_that_is_open_when_the_doors_close_is_waited_for(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    before = Workspace(broker, f"{topic_prefix}old-", seed=49, partitions=2)
    after = Workspace(broker, f"{topic_prefix}new-", seed=50, partitions=3)
    await before.create()
    topic, key = before.name(Topic.CONTACT_CHANGES), b"merged-late"
    waits = "Waiting for the evaluators to evaluate everything: transactions are being ended"
    async with evaluated(before, tmp_path / "old"):
        await before.load(100, rate_per_s=1_000)
        await before.settled()
        producer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=f"{topic_prefix}merge")
        await producer.start()
        try:
            await producer.begin_transaction()
            place = partition_for_key(key, before.partitions)
            await producer.send_and_wait(topic, b'{"attributes":{"plan":"pro"}}', key, place, before.now + 1)
            moving = await begun(before, after, waits)
            await producer.commit_transaction()
        finally:
            await producer.stop()
        await moving
    assert key in {record.key for record in await after.read(Topic.CONTACTS_CHANGELOG)}


async def test_the_marker_of_a_transaction_is_nothing_to_read(broker: str, topic_prefix: str) -> None:
    workspace = Workspace(broker, topic_prefix, partitions=2)
    await workspace.create()
    topic = workspace.name(Topic.CONTACT_CHANGES)
    producer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=f"{topic_prefix}merge")
    await producer.start()
    try:
        async with producer.transaction():
            sent = await producer.send_and_wait(topic, b"{}", b"a", partition=1)
    finally:
        await producer.stop()
    await Transactions(broker).until_readable(topic, [1])
    async with connected(workspace.settings) as admin:
        assert await admin.ends(topic, 2) == {0: 0, 1: sent.offset + 2}
        assert await admin.unread(topic, {0: 0, 1: sent.offset + 1}) == {}
        assert await admin.unread(topic, {0: 0, 1: sent.offset}) == {1: 2}


async def test_a_wrong_partition_count_is_refused_with_the_command_that_moves(broker: str, topic_prefix: str) -> None:
    workspace = Workspace(broker, topic_prefix, partitions=2)
    await workspace.create()
    with pytest.raises(StartRefusedError, match="tidegate admin repartition --to 3"):
        await verify_topics(workspace.settings.model_copy(update={"partitions": 3}))


@asynccontextmanager
async def evaluated(workspace: Workspace, directory: Path) -> AsyncIterator[None]:
    """An evaluator works the workspace."""
    with Evaluator(workspace, directory, static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready(READY_WITHIN_S)
        yield
        assert await evaluator.stop() == 0


@asynccontextmanager
async def held_up(
    broker: str, topic_prefix: str, directory: Path, seed: int
) -> AsyncIterator[tuple[Workspace, Workspace]]:
    """A workspace at work and where it is to go. A consumer that is behind keeps a move from ending."""
    before = Workspace(broker, f"{topic_prefix}old-", seed=seed, partitions=2)
    after = Workspace(broker, f"{topic_prefix}new-", seed=seed + 1, partitions=3)
    await before.create()
    async with evaluated(before, directory / "old"):
        await before.load(100, rate_per_s=1_000)
        await before.settled()
        await read_as(f"{topic_prefix}{GROUP}", before, records_max=1)
        yield before, after


async def begun(before: Workspace, after: Workspace, waits: str, wait_s: float = 60.0) -> asyncio.Task[Moved]:
    """A move that has closed the doors, and has said that it waits for this."""
    said: list[str] = []
    moving = asyncio.create_task(move(before, after, wait_s=wait_s, say=said.append))
    await until(lambda: any(line.startswith(waits) for line in said), SEALED_WITHIN_S, f"say {waits!r}")
    return moving


async def move(
    before: Workspace,
    after: Workspace,
    left: Sequence[str] = (),
    wait_s: float = 60.0,
    say: Callable[[str], None] = print,
) -> Moved:
    options = MoveOptions(after.prefix, after.partitions, left_groups=frozenset(left), wait_s=wait_s)
    async with connected(before.settings) as broker:
        return await Move(broker, before.settings, options, say).run()


async def is_moved(after: Workspace) -> bool:
    """Whether the switch has been made: the new input log is there."""
    async with connected(after.settings) as broker:
        return bool(await broker.shapes([after.name(Topic.CONTACT_CHANGES)]))


def command(before: Workspace, after: Workspace) -> list[str]:
    arguments = ["admin", "repartition", "--to", str(after.partitions), "--to-prefix", after.prefix]
    return [sys.executable, "-m", "tidegate.cli.main", *arguments]


def told(before: Workspace) -> dict[str, str]:
    return {
        **os.environ,
        "TIDEGATE_KAFKA_BOOTSTRAP": before.broker,
        "TIDEGATE_TOPIC_PREFIX": before.prefix,
        "TIDEGATE_REPLAY_HISTORY": "true",
        "PYTHONUNBUFFERED": "1",
    }


def run_move(before: Workspace, after: Workspace) -> str:
    done = subprocess.run(
        command(before, after), check=False, env=told(before), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def killed_move(before: Workspace, after: Workspace, said: str, later_s: float) -> None:
    """Kill the command some time after it has said how far it is."""
    with subprocess.Popen(command(before, after), env=told(before), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line.startswith(said) for line in lines)
        time.sleep(later_s)
        process.kill()


def ended_move(before: Workspace, after: Workspace, number: int) -> int:
    """Send the command a signal when it waits with the doors closed; its exit code."""
    with subprocess.Popen(command(before, after), env=told(before), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line.startswith(READERS_AWAITED) for line in lines)
        process.send_signal(number)
        return process.wait(ENDS_WITHIN_S)


async def write(workspace: Workspace) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=workspace.broker, acks="all")
    await producer.start()
    try:
        topic = workspace.name(Topic.CONTACT_CHANGES)
        await producer.send_and_wait(topic, b'{"attributes":{"plan":"a plan of some length"}}', b"c1", partition=0)
    finally:
        await producer.stop()


async def stamped(workspace: Workspace, topic: Topic) -> int:
    """Write a record to a topic of one partition; when the broker took it."""
    producer = AIOKafkaProducer(bootstrap_servers=workspace.broker, acks="all")
    await producer.start()
    try:
        return int((await producer.send_and_wait(workspace.name(topic), b"{}", b"asked")).timestamp)
    finally:
        await producer.stop()


async def single(workspace: Workspace, topic: Topic) -> list[Any]:
    """Everything on a topic of one partition, with its timestamps."""
    async with connected(workspace.settings) as admin:
        return [record async for _, records, _ in admin.read(workspace.name(topic), {0: 0}) for record in records]


async def read_as(group: str, workspace: Workspace, records_max: int | None = None) -> list[bytes]:
    """Read memberships as a consumer of the group, which commits and leaves."""
    consumer = AIOKafkaConsumer(
        workspace.name(Topic.MEMBERSHIPS),
        bootstrap_servers=workspace.broker,
        group_id=group,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    found: list[bytes] = []
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            while records_max is None or not found:
                batch = await consumer.getmany(timeout_ms=POLL_MS, max_records=records_max)
                found += [record.key for records in batch.values() for record in records]
                if records_max is None and not batch and await is_read(consumer, workspace.partitions):
                    break
        await consumer.commit()
    finally:
        await consumer.stop()
    return found


async def is_read(consumer: AIOKafkaConsumer, partitions: int) -> bool:
    """Whether the consumer has all partitions and has passed the end of each, markers of transactions included."""
    assigned = consumer.assignment()
    ends = await consumer.end_offsets(list(assigned)) if len(assigned) == partitions else {}
    return bool(ends) and all([await consumer.position(at) >= end for at, end in ends.items()])
