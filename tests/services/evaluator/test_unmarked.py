"""A broker that acknowledges a commit and forgets its markers: readers stand still, and the next owner ends that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.topics import Topic, topic_name
from services.evaluator.kafka_log import KafkaChangelogs, KafkaTransactionalLog
from services.evaluator.measures import COMMITTED_AGAIN
from services.evaluator.owner import Owned, PartitionOwner
from services.evaluator.ports import Bounds, OutputRecord
from services.evaluator.surroundings import Workspace
from services.evaluator.unmarked import OUTPUTS, commit_unmarked
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics
from tests.brokers import local_broker
from tests.services.evaluator.changelogs import RecordedChangelogs
from tests.services.evaluator.inputs import Record, definition, write
from tests.transactions import Transactions

WITHIN_S = 30.0
INPUTS = [
    definition(0, {"plan": "pro"}),
    write(1, "ann", plan="pro"),
    write(2, "bob", plan="pro"),
    write(3, "ann", plan="free"),
    write(4, "bob", plan="free"),
]


def name_of(topic: Topic) -> str:
    return topic_name("", topic)


@pytest.fixture
def trusting_broker(tmp_path: Path) -> Iterator[str]:
    """It takes records of transactions that it was not told of, as older ones did."""
    with local_broker(tmp_path / "broker", {"transaction.partition.verification.enable": "false"}) as kafka:
        yield kafka.bootstrap


@pytest.fixture
async def workspace(tmp_path: Path, trusting_broker: str) -> Workspace:
    """All inputs are in its topic."""
    await ensure_topics(RuntimeSettings(kafka_bootstrap=trusting_broker, partitions=1))
    producer = AIOKafkaProducer(bootstrap_servers=trusting_broker)
    await producer.start()
    for each in INPUTS:
        headers = list(each.headers)
        await producer.send_and_wait(name_of(Topic.CONTACT_CHANGES), each.value, each.key, 0, each.timestamp, headers)
    await producer.stop()
    return Workspace("evaluator", 1, name_of, {"bootstrap_servers": trusting_broker}, tmp_path / "state")


async def until(true: Callable[[], bool], owner: PartitionOwner) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not true():
            if owner.failed.done():
                owner.failed.result()
            await asyncio.sleep(0.01)


async def started(workspace: Workspace) -> tuple[PartitionOwner, Owned]:
    owner = PartitionOwner(workspace)
    owner.assign([0])
    await until(lambda: owner.ready, owner)
    owner.take_seeks()
    return owner, owner.owned[0]


async def work(owner: PartitionOwner, owned: Owned, inputs: Sequence[Record]) -> None:
    """Have records evaluated and committed."""
    worker = owned.worker
    assert worker is not None
    before = worker.commits
    owner.feed(0, cast("Any", inputs))
    await until(lambda: worker.commits > before and not worker.partition.is_ahead, owner)


async def marked(workspace: Workspace) -> None:
    """Wait for the markers of what is committed: one that comes later decides what was written before it."""
    transactions = Transactions(workspace.client["bootstrap_servers"])
    for topic in OUTPUTS:
        await transactions.until_readable(workspace.topic_name(topic), [0])


async def crash(owner: PartitionOwner, owned: Owned) -> None:
    """End the work with nothing said to the broker."""
    assert owned.task is not None
    owned.task.cancel()
    await asyncio.wait({owned.task})
    await owner.revoke()


def forget_markers(owned: Owned) -> None:
    """From now on the coordinator is told of no partition, so it writes no marker anywhere."""
    manager = cast("KafkaTransactionalLog", owned.log)._producer._txn_manager
    manager.maybe_add_partition_to_txn = manager._txn_partitions.add


async def committed_changes(workspace: Workspace) -> list[tuple[str, str]]:
    """Contact and change of what a reader of committed records sees."""
    at = TopicPartition(name_of(Topic.MEMBERSHIPS), 0)
    consumer = AIOKafkaConsumer(**workspace.client, isolation_level="read_committed", auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([at])
        end = (await consumer.end_offsets([at]))[at]
        found: list[tuple[str, str]] = []
        while await consumer.position(at) < end:
            for record in (await consumer.getmany(timeout_ms=200)).get(at, ()):
                change = json.loads(record.value)
                found.append((change["contact_id"], change["change"]))
        return found
    finally:
        await consumer.stop()


def times_committed_again() -> float:
    return sum(sample.value for metric in COMMITTED_AGAIN.collect() for sample in metric.samples[:1])


async def test_a_commit_that_lost_its_markers_is_committed_again_by_the_next_owner(workspace: Workspace) -> None:
    entered = [("ann", "enter"), ("bob", "enter")]
    owner, owned = await started(workspace)
    await work(owner, owned, INPUTS[:3])
    await marked(workspace)
    forget_markers(owned)
    await work(owner, owned, INPUTS[3:4])
    await crash(owner, owned)
    changelogs = KafkaChangelogs(workspace.topic_name, workspace.client)
    await changelogs.start()
    assert (await changelogs.bounds(Topic.CONTROL_CHANGELOG, 0)).end < await changelogs.end(Topic.CONTROL_CHANGELOG, 0)
    assert await committed_changes(workspace) == entered

    before = times_committed_again()
    owner, owned = await started(workspace)
    assert times_committed_again() == before + 1
    assert await committed_changes(workspace) == [*entered, ("ann", "exit")]
    await work(owner, owned, INPUTS[4:])
    await owner.revoke()
    assert (await changelogs.bounds(Topic.CONTROL_CHANGELOG, 0)).end == await changelogs.end(Topic.CONTROL_CHANGELOG, 0)
    await changelogs.close()
    assert await committed_changes(workspace) == [*entered, ("ann", "exit"), ("bob", "exit")]


class Standing(RecordedChangelogs):
    """Logs of ten records each, of which readers see as many as are said."""

    def __init__(self, seen: int) -> None:
        super().__init__()
        self.append({topic: [OutputRecord(b"k", b"v")] * 10 for topic in STANDS})
        self.seen = seen

    async def bounds(self, topic: Topic, _partition: int) -> Bounds:
        return Bounds(0, self.seen)


class Ending:
    """A log whose markers have readers see everything, or nothing more."""

    def __init__(self, changelogs: Standing, sees: int) -> None:
        self.changelogs = changelogs
        self.sees = sees
        self.commits = 0

    async def commit_unmarked(self, topics: Sequence[Topic]) -> None:
        assert topics
        self.commits += 1
        self.changelogs.seen = self.sees


STANDS = {Topic.CONTACTS_CHANGELOG: 10, Topic.CONTROL_CHANGELOG: 10}


@pytest.mark.parametrize(
    ("contacts", "seen", "commits", "ended"),
    [
        (10, 8, 1, True),
        (11, 8, 0, False),  # beyond the log: it was truncated
        (9, 8, 0, False),  # within what has no outcome: nobody knows of the last record
    ],
)
async def test_only_what_the_store_holds_to_the_last_record_is_committed_again(
    contacts: int, seen: int, commits: int, ended: bool
) -> None:
    changelogs = Standing(seen)
    log = Ending(changelogs, 10)
    stands = {**STANDS, Topic.CONTACTS_CHANGELOG: contacts}
    assert await commit_unmarked(0, stands, log, changelogs) is ended
    assert log.commits == commits


async def test_markers_that_stay_away_are_waited_for_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.evaluator.unmarked.LOOK_AFTER_S", 0.001)
    changelogs = Standing(8)
    log = Ending(changelogs, 8)
    assert not await commit_unmarked(0, STANDS, log, changelogs)
    assert log.commits == 1
