"""A broker that acknowledges a commit and forgets its markers: readers stand still, and the next owner ends that.

Whatever it makes of the commit, and whatever disk it has: in the end every change is there once.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.topics import Topic, topic_name
from services.evaluator.kafka_log import KafkaTransactionalLog
from services.evaluator.ledger import OUTPUTS, WROTE_HEADER
from services.evaluator.measures import STORES_DISBELIEVED
from services.evaluator.owner import Owned, PartitionOwner
from services.evaluator.pace import Pace
from services.evaluator.ports import Bounds, Drained, LogError, TopicPart
from services.evaluator.surroundings import Workspace
from services.evaluator.unmarked import Fenced, settle
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
ENTERED = [("ann", "enter"), ("bob", "enter")]
EXITED = [("ann", "exit"), ("bob", "exit")]
numbers = count()
"""Of the workspaces that share a broker."""


@pytest.fixture(scope="module")
def trusting_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """It takes records of transactions that it was not told of, as older ones did."""
    folder = tmp_path_factory.mktemp("broker")
    with local_broker(folder, {"transaction.partition.verification.enable": "false"}) as kafka:
        yield kafka.bootstrap


@pytest.fixture
async def workspace(tmp_path: Path, trusting_broker: str) -> Workspace:
    """All inputs are in its topic. The group is told nothing but the first position."""
    prefix = f"unmarked{next(numbers)}."

    def name_of(topic: Topic) -> str:
        return topic_name(prefix, topic)

    await ensure_topics(RuntimeSettings(kafka_bootstrap=trusting_broker, topic_prefix=prefix, partitions=1))
    producer = AIOKafkaProducer(bootstrap_servers=trusting_broker)
    await producer.start()
    for each in INPUTS:
        headers = list(each.headers)
        await producer.send_and_wait(name_of(Topic.CONTACT_CHANGES), each.value, each.key, 0, each.timestamp, headers)
    await producer.stop()
    pace = Pace(group_after_ms=3_600_000)
    return Workspace(prefix, 1, name_of, {"bootstrap_servers": trusting_broker}, tmp_path / "state", pace)


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


async def work_unmarked(
    owner: PartitionOwner, owned: Owned, inputs: Sequence[Record], forgotten: Collection[str]
) -> None:
    """The same, but the coordinator is not told of some topics, so it writes no marker there."""
    manager = cast("KafkaTransactionalLog", owned.log)._producer._txn_manager
    add = manager.maybe_add_partition_to_txn

    def add_the_others(at: TopicPartition) -> None:
        if at.topic in forgotten:
            manager._txn_partitions.add(at)
        else:
            add(at)

    manager.maybe_add_partition_to_txn = add_the_others
    await work(owner, owned, inputs)
    del manager.maybe_add_partition_to_txn


async def crash_before_the_commit_of(inputs: Sequence[Record], owner: PartitionOwner, owned: Owned) -> None:
    """Have records evaluated and everything sent and acknowledged, and end there."""
    reached = asyncio.Event()

    async def never(_offset: int, *, tell_group: bool) -> None:
        reached.set()
        await asyncio.get_running_loop().create_future()

    cast("Any", owned.log).commit = never
    owner.feed(0, cast("Any", inputs))
    await until(reached.is_set, owner)
    await crash(owner, owned)


async def committed_changes(workspace: Workspace) -> list[tuple[str, str]]:
    """Contact and change of what a reader of committed records sees."""
    at = TopicPartition(workspace.topic_name(Topic.MEMBERSHIPS), 0)
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


def times_disbelieved() -> float:
    return sum(sample.value for metric in STORES_DISBELIEVED.collect() for sample in metric.samples[:1])


async def first_commits(workspace: Workspace, forgotten: Collection[Topic] = OUTPUTS) -> tuple[PartitionOwner, Owned]:
    """An owner that has committed the entries as it should, and one exit without markers in some topics."""
    owner, owned = await started(workspace)
    await work(owner, owned, INPUTS[:3])
    await marked(workspace)
    await work_unmarked(owner, owned, INPUTS[3:4], [workspace.topic_name(topic) for topic in forgotten])
    return owner, owned


async def work_to_the_end(workspace: Workspace, owner: PartitionOwner, owned: Owned) -> None:
    """Evaluate what is left, and compare what readers of committed records see with all that there is to see."""
    worker = owned.worker
    assert worker is not None
    await work(owner, owned, INPUTS[worker.partition.next_offset :])
    await owner.revoke()
    await marked(workspace)
    assert await committed_changes(workspace) == [*ENTERED, *EXITED]


async def test_a_commit_without_markers_that_the_disk_proves_is_committed_again(workspace: Workspace) -> None:
    await crash(*await first_commits(workspace))
    assert await committed_changes(workspace) == ENTERED
    before = times_disbelieved()
    owner, owned = await started(workspace)
    assert times_disbelieved() == before
    assert await committed_changes(workspace) == [*ENTERED, EXITED[0]]
    await work_to_the_end(workspace, owner, owned)


@pytest.mark.parametrize("forgotten", [Topic.MEMBERSHIPS, Topic.CONTROL_CHANGELOG])
async def test_a_commit_with_markers_in_some_topics_is_committed_in_all_even_without_its_disk(
    workspace: Workspace, forgotten: Topic
) -> None:
    await crash(*await first_commits(workspace, [forgotten]))
    shutil.rmtree(workspace.state_dir)
    owner, owned = await started(workspace)
    assert owned.worker is not None
    assert owned.worker.partition.next_offset == INPUTS[4].offset
    assert await committed_changes(workspace) == [*ENTERED, EXITED[0]]
    await work_to_the_end(workspace, owner, owned)


async def test_a_commit_without_markers_is_evaluated_again_where_the_disk_is_lost_too(workspace: Workspace) -> None:
    await crash(*await first_commits(workspace))
    shutil.rmtree(workspace.state_dir)
    owner, owned = await started(workspace)
    await work_to_the_end(workspace, owner, owned)


async def test_a_commit_that_the_abort_of_the_next_transaction_takes_along_is_evaluated_again(
    workspace: Workspace,
) -> None:
    owner, owned = await first_commits(workspace)
    await crash_before_the_commit_of(INPUTS[4:], owner, owned)
    before = times_disbelieved()
    owner, owned = await started(workspace)
    assert times_disbelieved() == before + 1
    await work_to_the_end(workspace, owner, owned)


async def test_a_commit_without_markers_comes_true_as_a_whole_with_the_next(workspace: Workspace) -> None:
    owner, owned = await first_commits(workspace)
    tick = Record(4, INPUTS[4].timestamp, None, None)
    await work(owner, owned, [tick])  # a dead letter: its transaction holds no membership and no contact
    await marked(workspace)
    assert await committed_changes(workspace) == [*ENTERED, EXITED[0]]
    await owner.revoke()


class Undecided(RecordedChangelogs):
    """Something is undecided as often as it is said."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    async def ends(self, wanted: Collection[TopicPart]) -> dict[TopicPart, Bounds]:
        self.looks -= 1
        return dict.fromkeys(wanted, Bounds(1 if self.looks < 0 else 0, 1))


class Deciding:
    """Counts."""

    def __init__(self) -> None:
        self.aborts = 0

    async def decide(self, topics: Sequence[Topic], *, commit: bool) -> None:
        assert set(topics) == set(OUTPUTS)
        self.aborts += not commit

    def begin_at(self, ends: Mapping[Topic, int]) -> None:
        assert set(ends) == set(OUTPUTS)


@pytest.mark.parametrize(("looks", "aborts"), [(0, 0), (1, 1), (4, 1)])
async def test_what_is_undecided_is_aborted_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, looks: int, aborts: int
) -> None:
    monkeypatch.setattr("services.evaluator.unmarked.LOOK_AFTER_S", 0.001)
    log = Deciding()
    await settle({0: Fenced(log, 0, None)}, Undecided(looks))
    assert log.aborts == aborts


async def test_markers_that_stay_away_are_waited_for_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.evaluator.unmarked.LOOK_AFTER_S", 0.001)
    log = Deciding()
    with pytest.raises(LogError, match="does not write its markers"):
        await settle({0: Fenced(log, 0, None)}, Undecided(1_000))
    assert log.aborts == 1


class OneTopicUndecided(RecordedChangelogs):
    """Memberships are undecided from 5 on; whoever drains is given whole batches, which begin and end where they do."""

    def __init__(self, committed: Sequence[int]) -> None:
        super().__init__()
        row = Record(0, 0, b"clock", b'{"clock":1,"offset":1}', ((WROTE_HEADER, b'{"memberships":[3,4]}'),))
        self._records[Topic.CONTROL_CHANGELOG] = [row, Record(1, 0, b"cursor", b'{"passed":0}')]
        self._records[Topic.MEMBERSHIPS] = [Record(offset, 0, b"s|c", None) for offset in committed]
        self.decided: list[bool] = []
        self.begun: Mapping[Topic, int] = {}

    async def ends(self, wanted: Collection[TopicPart]) -> dict[TopicPart, Bounds]:
        if self.decided:  # each topic has a marker more
            return {at: Bounds(8, 8) if at[0] is Topic.MEMBERSHIPS else Bounds(3, 3) for at in wanted}
        return {at: Bounds(5, 7) if at[0] is Topic.MEMBERSHIPS else Bounds(2, 2) for at in wanted}

    async def drain(self, starts: Mapping[TopicPart, Bounds], *, undecided: bool = False) -> AsyncIterator[Drained]:
        for topic, partition in starts:
            yield Drained(topic, partition, self._records[topic])

    async def decide(self, topics: Sequence[Topic], *, commit: bool) -> None:
        assert topics == OUTPUTS
        self.decided.append(commit)

    def begin_at(self, ends: Mapping[Topic, int]) -> None:
        self.begun = ends


@pytest.mark.parametrize(("committed", "is_committed"), [([], True), ([2, 5], True), ([3], False), ([2, 4, 5], False)])
async def test_only_what_is_committed_within_the_telling_range_tells(committed: list[int], is_committed: bool) -> None:
    log = OneTopicUndecided(committed)
    await settle({0: Fenced(log, 0, None)}, log)
    assert log.decided == [is_committed]
    assert log.begun == {topic: 8 if topic is Topic.MEMBERSHIPS else 3 for topic in OUTPUTS}
