"""What the owner does with fetched records: drops what is not asked for, and believes a gap only when seen twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from schemas.topics import Topic, topic_name
from services.evaluator.measures import QUEUED
from services.evaluator.owner import Observer, Owned, PartitionOwner
from services.evaluator.ports import Bounds, LogError
from services.evaluator.quarantine import Opened
from services.evaluator.surroundings import ChangelogReader, KafkaSurroundings, OwnedLog, Workspace
from services.evaluator.worker import PartitionWorker


class Record(NamedTuple):
    offset: int


class SlowSurroundings(KafkaSurroundings):
    """The first partition's producer never starts, and opening a store takes its time."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.opening = asyncio.Event()
        self.may_open = asyncio.Event()

    def log(self, partition: int) -> OwnedLog:
        return cast("OwnedLog", NeverStarted() if partition == 0 else Started())

    async def open_store(self, partition: int) -> Opened:
        self.opening.set()
        await self.may_open.wait()
        self.opened = await super().open_store(partition)  # kept here, so that nobody else closes it
        return self.opened


class Started:
    async def start(self) -> None: ...

    async def close(self) -> None: ...


class NeverStarted(Started):
    async def start(self) -> None:
        await asyncio.get_running_loop().create_future()


class RefusingSurroundings(KafkaSurroundings):
    """No producer can be started."""

    def log(self, partition: int) -> OwnedLog:
        return cast("OwnedLog", Refused())


class BoundedSurroundings(KafkaSurroundings):
    """The input log is within `bounds`."""

    bounds = Bounds(0, 1_000)

    def changelogs(self) -> ChangelogReader:
        return cast("ChangelogReader", Bounded(self.bounds))


class Bounded(Started):
    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds

    async def bounds(self, _topic: Topic, _partition: int) -> Bounds:
        return self._bounds


class ReadingSurroundings(KafkaSurroundings):
    """Producers start; the changelogs are never reached."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.reader = Unreached()

    def log(self, partition: int) -> OwnedLog:
        del partition
        return cast("OwnedLog", Started())

    async def positions(self) -> dict[int, int]:
        return {}

    def changelogs(self) -> ChangelogReader:
        return cast("ChangelogReader", self.reader)


class Unreached:
    """A reader of changelogs that waits for the broker."""

    def __init__(self) -> None:
        self.connecting = asyncio.Event()
        self.is_closed = False

    async def start(self) -> None:
        self.connecting.set()
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        self.is_closed = True


class Refused(Started):
    async def start(self) -> None:
        raise LogError("refused")


class FedWorker:
    """Remembers what it was fed."""

    def __init__(self) -> None:
        self.offsets: list[int] = []

    def feed(self, records: Sequence[Any]) -> None:
        self.offsets += [record.offset for record in records]


class WaitingWorker:
    """Has so many records queued; of its decisions some may wait for a commit."""

    def __init__(self, queued: int, has_outputs: bool) -> None:
        self.queued = queued
        self.partition = SimpleNamespace(has_outputs=has_outputs)


class Watching:
    """An observer that takes note of what it is told about a partition's end, and a worker beside it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._stop = asyncio.Event()

    def stopping(self, _index: int) -> None:
        self.told.append("stopping")

    def stopped(self, _index: int) -> None:
        self.told.append("stopped")

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Commit for the last time once told to stop."""
        await self._stop.wait()
        self.told.append("last commit")


@pytest.fixture
async def owner(tmp_path: Path) -> PartitionOwner:
    owner = PartitionOwner(Workspace("group", 8, lambda topic: topic_name("", topic), {}, tmp_path))
    worker = cast("PartitionWorker", FedWorker())
    owner.owned = {3: Owned(3, worker=worker, expected=10)}
    return owner


def records(*offsets: int) -> Any:
    return [Record(offset) for offset in offsets]


def fed(owner: PartitionOwner) -> list[int]:
    return cast("FedWorker", owner.owned[3].worker).offsets


async def test_records_in_sequence_reach_the_worker(owner: PartitionOwner) -> None:
    owner.feed(3, records(10, 11))
    owner.feed(3, records(12))
    assert fed(owner) == [10, 11, 12]


async def test_of_records_that_begin_before_what_is_expected_the_rest_reaches_the_worker(owner: PartitionOwner) -> None:
    owner.feed(3, records(8, 9, 10, 11))
    assert fed(owner) == [10, 11]


async def test_records_of_partitions_that_are_not_ours_are_dropped(owner: PartitionOwner) -> None:
    owner.feed(4, records(10))
    assert fed(owner) == []


async def test_a_gap_seen_once_is_read_again(owner: PartitionOwner) -> None:
    owner.feed(3, records(12, 13))
    assert fed(owner) == []
    owner.feed(3, records(14))
    assert owner.take_seeks() == {3: 10}
    owner.feed(3, records(10, 11, 12))
    assert fed(owner) == [10, 11, 12]


async def test_a_gap_of_a_marker_that_is_seen_again_after_the_seek_is_the_logs_own(owner: PartitionOwner) -> None:
    owner.feed(3, records(11, 12))
    owner.take_seeks()
    owner.feed(3, records(11, 12))
    assert fed(owner) == [11, 12]
    owner.feed(3, records(15))
    assert owner.take_seeks() == {3: 13}


@pytest.fixture
async def asking(tmp_path: Path) -> PartitionOwner:
    workspace = Workspace("group", 8, lambda topic: topic_name("", topic), {}, tmp_path)
    owner = PartitionOwner(workspace, None, BoundedSurroundings(workspace))
    owner.owned = {3: Owned(3, worker=cast("PartitionWorker", FedWorker()), expected=10)}
    return owner


async def test_a_longer_gap_is_believed_once_the_log_says_that_it_begins_before_it(asking: PartitionOwner) -> None:
    for _ in range(2):
        asking.feed(3, records(12, 13))
        asking.take_seeks()
    asking.feed(3, records(12, 13))
    assert fed(asking) == []
    asker = asking.owned[3].asking
    assert asker is not None
    await asker
    assert asking.take_seeks() == {3: 10}
    asking.feed(3, records(12, 13))
    assert fed(asking) == [12, 13]
    assert not asking.failed.done()


async def test_input_that_was_removed_before_it_was_evaluated_ends_the_process(asking: PartitionOwner) -> None:
    cast("BoundedSurroundings", asking._surroundings).bounds = Bounds(500, 1_000)
    for _ in range(2):
        asking.feed(3, records(500, 501))
        asking.take_seeks()
    await asyncio.wait({asking.failed}, timeout=10)
    assert "retention has removed everything before 500" in str(asking.failed.exception())
    assert fed(asking) == []


async def test_records_before_the_recovered_position_are_dropped_and_read_on_from_it(asking: PartitionOwner) -> None:
    asking.feed(3, records(7, 8))
    asking.feed(3, records(9, 10))
    assert fed(asking) == []
    asker = asking.owned[3].asking
    assert asker is not None
    await asker
    assert asking.take_seeks() == {3: 10}
    asking.feed(3, records(10))
    assert fed(asking) == [10]
    assert not asking.failed.done()


async def test_input_that_ends_before_what_was_evaluated_ends_the_process(asking: PartitionOwner) -> None:
    cast("BoundedSurroundings", asking._surroundings).bounds = Bounds(0, 5)
    asking.feed(3, records(0, 1, 2, 3, 4))
    await asyncio.wait({asking.failed}, timeout=10)
    assert "the log ends at 5: it was truncated or created anew" in str(asking.failed.exception())
    assert fed(asking) == []


async def test_the_first_of_several_failures_is_the_reason_and_the_others_are_no_fault(asking: PartitionOwner) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    cast("BoundedSurroundings", asking._surroundings).bounds = Bounds(0, 5)
    asking.owned[4] = Owned(4, worker=cast("PartitionWorker", FedWorker()), expected=10)
    for partition in (3, 4):
        asking.feed(partition, records(0, 1))
    await asyncio.wait({each.asking for each in asking.owned.values() if each.asking is not None})
    assert ("partition 3" in str(asking.failed.exception()), faults) == (True, [])


async def test_nothing_is_asked_any_more_of_a_partition_that_is_given_up(tmp_path: Path) -> None:
    workspace = Workspace("group", 8, lambda topic: topic_name("", topic), {}, tmp_path)
    surroundings = ReadingSurroundings(workspace)
    owner = PartitionOwner(workspace, None, surroundings)
    owner.owned = {3: Owned(3, worker=cast("PartitionWorker", FedWorker()), expected=10)}
    owner.feed(3, records(7, 8))
    await surroundings.reader.connecting.wait()
    await owner.revoke()
    assert surroundings.reader.is_closed
    assert not owner.failed.done()


async def test_an_answer_that_comes_once_the_partition_is_not_ours_seeks_nothing(asking: PartitionOwner) -> None:
    asking.feed(3, records(7, 8))
    asker = asking.owned.pop(3).asking
    assert asker is not None
    await asker
    assert asking.take_seeks() == {}


async def test_a_full_queue_pauses_the_partition_and_room_resumes_it(owner: PartitionOwner) -> None:
    owner._on_flow(3, full=True)
    assert owner.paused == {3}
    owner._on_flow(3, full=False)
    assert owner.paused == set()


@pytest.mark.parametrize(("queued", "has_outputs", "is_quiet"), [(0, False, True), (1, False, False), (0, True, False)])
async def test_an_owner_is_quiet_while_no_record_waits_and_nothing_for_a_commit(
    owner: PartitionOwner, queued: int, has_outputs: bool, is_quiet: bool
) -> None:
    resting, worker = (cast("PartitionWorker", WaitingWorker(*state)) for state in ((0, False), (queued, has_outputs)))
    owner.owned = {0: Owned(0, worker=resting), 1: Owned(1), 2: Owned(2, worker=worker)}
    assert owner.is_quiet is is_quiet


async def test_a_partition_that_was_given_up_has_no_queue_to_be_measured_any_more(owner: PartitionOwner) -> None:
    owner.owned[3].worker = None
    owner.refresh_metrics()
    assert ("3",) in QUEUED._metrics
    await owner.revoke()
    owner.refresh_metrics()
    assert ("3",) not in QUEUED._metrics


async def test_a_store_that_is_still_being_opened_when_partitions_are_given_up_is_closed_before_the_next_assignment(
    tmp_path: Path,
) -> None:
    workspace = Workspace("group", 8, lambda topic: topic_name("", topic), {}, tmp_path)
    surroundings = SlowSurroundings(workspace)
    owner = PartitionOwner(workspace, None, surroundings)
    owner.assign([0, 1])
    await surroundings.opening.wait()
    revoking = asyncio.create_task(owner.revoke())
    asyncio.get_running_loop().call_later(0.1, surroundings.may_open.set)
    await revoking
    await asyncio.sleep(0.2)
    again = await KafkaSurroundings(workspace).open_store(1)
    assert again.quarantined is None
    again.store.close()


async def test_a_reader_that_still_connects_when_partitions_are_given_up_is_closed(tmp_path: Path) -> None:
    workspace = Workspace("group", 8, lambda topic: topic_name("", topic), {}, tmp_path)
    surroundings = ReadingSurroundings(workspace)
    owner = PartitionOwner(workspace, None, surroundings)
    owner.assign([0])
    await surroundings.reader.connecting.wait()
    await owner.revoke()
    assert surroundings.reader.is_closed


async def test_a_stop_during_a_rebalance_waits_until_the_partitions_are_given_up(tmp_path: Path) -> None:
    workspace = Workspace("group", 8, lambda topic: topic_name("", topic), {}, tmp_path)
    surroundings = SlowSurroundings(workspace)
    owner = PartitionOwner(workspace, None, surroundings)
    owner.assign([0, 1])
    await surroundings.opening.wait()
    rebalance, stop = asyncio.create_task(owner.revoke()), asyncio.create_task(owner.revoke())
    await asyncio.sleep(0.1)
    assert not stop.done()
    surroundings.may_open.set()
    await rebalance
    await stop


async def test_an_owner_whose_recovery_failed_is_not_ready(tmp_path: Path) -> None:
    workspace = Workspace("group", 8, lambda topic: topic_name("", topic), {}, tmp_path)
    owner = PartitionOwner(workspace, None, RefusingSurroundings(workspace))
    owner.assign([0])
    await asyncio.wait({owner.failed})
    assert isinstance(owner.failed.exception(), LogError)
    assert not owner.ready
    await owner.revoke()


async def test_an_observer_is_told_that_a_partition_stopped_after_its_last_commit(tmp_path: Path) -> None:
    watching = Watching()
    workspace = Workspace("group", 8, lambda topic: topic_name("", topic), {}, tmp_path)
    owner = PartitionOwner(workspace, cast("Observer", watching))
    owner.owned = {3: Owned(3, worker=cast("PartitionWorker", watching), task=asyncio.create_task(watching.run()))}
    await owner.revoke()
    assert watching.told == ["stopping", "last commit", "stopped"]


async def test_giving_up_twice_is_harmless(owner: PartitionOwner) -> None:
    owner.owned.clear()
    await owner.revoke()
    await owner.revoke()
    assert not owner.ready


async def test_nothing_is_asked_of_the_consumer_about_partitions_that_were_given_up(owner: PartitionOwner) -> None:
    owner.owned[3].worker = None
    owner.refresh_metrics()
    owner.paused, owner._seeks = {3}, {3: 10}
    await owner.revoke()
    assert (owner.paused, owner.take_seeks()) == (set(), {})


async def test_the_turn_of_a_worker_that_was_cancelled_ends_with_the_assignment(tmp_path: Path) -> None:
    owner = PartitionOwner(Workspace("group", 8, lambda topic: topic_name("", topic), {}, tmp_path))
    assert owner._turns.take("cancelled", lambda: None)
    owner.assign(())
    assert owner._turns.take("next", lambda: None)
    await owner.revoke()
