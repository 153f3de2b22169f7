"""The order of the write protocol, and when a worker commits. What crashes do to it is the simulation's to show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from schemas.topics import Topic
from segmentation.model import ContactId, InstantMs
from services.evaluator import background
from services.evaluator.background import BackgroundTurns
from services.evaluator.commit_gap import CommitGap, ProcessCommits
from services.evaluator.pace import Pace
from services.evaluator.partition import Partition
from services.evaluator.ports import LogError, OutputRecord
from services.evaluator.restored import restore
from services.evaluator.worker import TURNS_BETWEEN_SLICES, CommitListener, Committed, PartitionWorker
from tests.services.evaluator.inputs import NOW, Record, definition, tick, write
from tests.waiting import until

TURNS = 200
WAIT_S = 60.0
PROMPT = Pace(commit_gap_ms=0, position_after_ms=60_000)
TICK_BYTES = len(tick(0, NOW).value or b"")


class RecordingLog:
    """Remembers the order of calls; `refuse` names the call that fails."""

    def __init__(self, refuse: str = "") -> None:
        self.calls: list[str] = []
        self.told: list[int] = []
        self.commit_s = 0.0
        self._refuse = refuse

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self._refuse:
            raise LogError(f"refused: {name}")

    async def begin(self) -> None:
        self._call("begin")

    async def append(self, topic: Topic, records: Sequence[OutputRecord]) -> None:
        assert records
        self._call(topic.value)

    async def acknowledged(self) -> Mapping[Topic, int]:
        self._call("acknowledged")
        return {}

    async def commit(self, offset: int, *, tell_group: bool) -> None:
        await asyncio.sleep(self.commit_s)
        self.told += [offset] if tell_group else []
        self._call(f"commit {offset}")

    async def close(self) -> None:
        self._call("close")


class Driven:
    """A worker with its log, its time, and what it said."""

    def __init__(
        self, partition: Partition, refuse: str = "", pace: Pace = PROMPT, group_offset: int | None = None
    ) -> None:
        self.log = RecordingLog(refuse)
        self.passed: list[int] = []
        loop = asyncio.get_running_loop()
        self.worker = PartitionWorker(
            partition,
            self.log,
            monotonic=loop.time,
            now_ms=lambda: InstantMs(NOW),
            pace=pace,
            on_passed=self.passed.append,
            group_offset=group_offset,
        )
        self.task = asyncio.create_task(self.worker.run())

    async def feed(self, *records: Record) -> None:
        self.worker.feed(records)
        await turns()

    async def stop(self) -> None:
        self.worker.stop()
        await self.task


async def turns() -> None:
    """Let the worker do what it can: so many turns of the loop, however long the machine makes it wait between them."""
    await asyncio.sleep(0.05)
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_outputs_state_and_position_go_out_in_the_protocols_order(partition: Partition) -> None:
    driven = Driven(partition)
    await driven.feed(definition(0, [{"plan": "pro"}]), write(1, plan="pro"))
    await driven.stop()
    assert driven.log.calls[:6] == [
        "begin",
        "memberships",
        "contacts-changelog",
        "control-changelog",
        "acknowledged",
        "commit 2",
    ]


async def test_a_commit_in_doubt_is_applied_and_then_the_worker_ends(partition: Partition) -> None:
    driven = Driven(partition, pace=replace(PROMPT, doubt_after_ms=10))
    driven.log.commit_s = 0.1
    await driven.feed(write(0, plan="pro"))
    with pytest.raises(LogError, match=r"a commit took 0\.1 s"):
        await asyncio.wait_for(driven.task, WAIT_S)
    assert driven.log.calls[-1] == "commit 1"
    assert partition.next_offset == restore(partition._store).marks.input == 1


async def test_the_last_commit_tells_the_group_however_lately_it_was_told(partition: Partition) -> None:
    driven = Driven(partition, pace=replace(PROMPT, commit_gap_ms=60_000, group_after_ms=60_000))
    await driven.feed(write(0, plan="pro"))
    await driven.feed(write(1, plan="free"))
    await driven.stop()
    assert driven.log.told == [1, 2]


async def test_a_worker_that_has_ended_keeps_nobody_from_background_work(partition: Partition) -> None:
    shared, another = BackgroundTurns(), object()
    worker = PartitionWorker(
        partition, RecordingLog(), monotonic=lambda: 0.0, now_ms=lambda: InstantMs(NOW), turns=shared
    )
    assert shared.take(worker, lambda: None)
    worker.stop()
    await worker.run()
    assert shared.take(another, lambda: None)
    shared.leave(another)


def behind(partition: Partition, contacts: int) -> None:
    """Leave so many contacts to be brought through a definition."""
    partition.consume([write(offset, f"c{offset}", plan="pro") for offset in range(contacts)])
    partition.seal()
    partition.committed({}, InstantMs(NOW))
    partition.consume([definition(contacts, [{"plan": "pro"}])])


def standing(
    partition: Partition, pace: Pace, turns: BackgroundTurns | None = None, on_commit: CommitListener | None = None
) -> PartitionWorker:
    """A worker for which no time passes."""
    still, now_ms = (lambda: 0.0), (lambda: InstantMs(NOW))
    log = RecordingLog()
    return PartitionWorker(partition, log, monotonic=still, now_ms=now_ms, pace=pace, turns=turns, on_commit=on_commit)


async def test_each_commit_says_what_it_holds_and_nothing_of_the_one_before(partition: Partition) -> None:
    said: list[Committed] = []
    worker = standing(partition, Pace(commit_gap_ms=0), on_commit=said.append)
    task = asyncio.create_task(worker.run())
    worker.feed([write(0, at=NOW, plan="p0")])
    await until(lambda: len(said) == 1, WAIT_S, "the first commit")
    worker.feed([write(1, at=NOW + 1, plan="p1")])
    await until(lambda: len(said) > 1, WAIT_S, "the second commit")
    worker.stop()
    await task
    assert [(each.records, each.stamps) for each in said[:2]] == [(1, [NOW, NOW]), (1, [NOW + 1, NOW + 1])]


async def test_after_each_commit_of_background_work_others_have_their_turn(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "HELD_S_MAX", 1_000.0)
    behind(partition, 40)
    shared, still_behind = BackgroundTurns(), list[bool]()
    worker = standing(partition, Pace(commit_contacts=10, slice_contacts=5, slice_ms=0), shared)
    assert shared.take(worker, lambda: None)
    assert not shared.take(object(), lambda: still_behind.append(partition.behind_definitions))
    task = asyncio.create_task(worker.run())
    await until(lambda: still_behind, WAIT_S, "the turn to be passed on")
    assert still_behind[0]
    worker.stop()
    await task


async def test_while_it_is_its_turn_a_worker_commits_after_no_slice_and_lets_the_loop_turn_after_each(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "HELD_S_MAX", 1_000.0)
    behind(partition, 40)
    worker = standing(partition, Pace(commit_gap_ms=0, slice_contacts=5, slice_ms=0))
    task = asyncio.create_task(worker.run())
    loop_turns = 0
    while partition.behind_definitions:
        await asyncio.sleep(0)
        loop_turns += 1
    assert loop_turns > 8 * TURNS_BETWEEN_SLICES
    worker.stop()
    await task
    assert worker.commits == 1


async def test_with_many_records_waiting_a_backfill_rests_and_deadlines_do_not(partition: Partition) -> None:
    behind(partition, 1)
    assert not partition.wake_due(1)
    worker = standing(partition, Pace(backfill_queue_max=2))
    worker.feed([tick(2, NOW), tick(3, NOW)])
    assert worker._background_work() == partition.backfill
    worker.feed([tick(4, NOW)])
    assert worker._background_work() is None
    partition.due.note(partition.clock, ContactId("c0"))
    assert worker._background_work() == partition.wake_due


async def test_a_worker_that_has_ended_is_not_counted_among_those_that_commit(partition: Partition) -> None:
    shared = ProcessCommits()
    worker = PartitionWorker(
        partition, RecordingLog(), monotonic=lambda: 0.0, now_ms=lambda: InstantMs(NOW), commits=shared
    )
    await worker.commit()
    another = CommitGap(0.0, shared)
    assert shared.ended(another, 0.0) == 2
    worker.stop()
    await worker.run()
    assert shared.ended(another, 0.0) == 1


async def test_a_tick_that_nothing_waits_for_needs_no_transaction_until_the_stop(partition: Partition) -> None:
    driven = Driven(partition)
    await driven.feed(tick(0, NOW), tick(1, NOW + 1_000))
    assert driven.log.calls == []
    assert set(driven.passed) == {2}
    await driven.stop()
    assert driven.log.calls == ["begin", "control-changelog", "acknowledged", "commit 2"]


async def test_a_write_that_changes_nothing_has_passed_without_a_commit(partition: Partition) -> None:
    driven = Driven(partition)
    await driven.feed(write(0, plan="pro"))
    commits = driven.worker.commits
    await driven.feed(write(1, plan="pro"))
    assert driven.passed[-1] == 2
    assert driven.worker.commits == commits
    await driven.stop()


async def test_many_writes_that_change_nothing_are_committed_by_their_number(partition: Partition) -> None:
    driven = Driven(partition, pace=Pace(commit_gap_ms=0, backlog_commit_records=10, position_after_ms=60_000))
    await driven.feed(write(0, plan="pro"))
    commits = driven.worker.commits
    for offset in range(1, 26):
        await driven.feed(write(offset, plan="pro"))
    assert driven.worker.commits - commits == 2
    await driven.stop()


async def test_nothing_has_passed_while_a_change_waits_for_its_commit(partition: Partition) -> None:
    driven = Driven(partition, pace=Pace(commit_gap_ms=60_000, commit_after_ms=60_000))
    driven.worker._last_commit = asyncio.get_running_loop().time()
    await driven.feed(write(0, plan="pro"))
    await driven.feed(tick(1, NOW))
    assert driven.passed == []
    await driven.stop()
    assert driven.worker.commits == 1


async def test_the_group_hears_of_the_position_seldom_under_load_and_of_the_last_one_at_the_stop(
    partition: Partition,
) -> None:
    driven = Driven(partition)
    for offset in range(5):
        await driven.feed(write(offset, plan=f"p{offset}"))
    assert driven.worker.commits == 5
    assert driven.log.told == [1]
    await driven.stop()
    assert driven.log.told == [1, 5]


async def test_the_group_hears_of_the_last_position_when_nothing_follows(partition: Partition) -> None:
    driven = Driven(partition, pace=Pace(commit_gap_ms=0, position_after_ms=2_000))
    await driven.feed(write(0, plan="pro"))
    await driven.feed(write(1, plan="free"))
    assert driven.log.told == [1]
    await until(lambda: driven.log.told == [1, 2], WAIT_S, "the group to hear of the last position")
    commits = driven.worker.commits
    await turns()
    assert driven.worker.commits == commits
    await driven.stop()


async def test_the_group_hears_what_an_owner_that_was_killed_did_not_tell_it(partition: Partition) -> None:
    before = Driven(partition)
    await before.feed(write(0, plan="pro"))
    await before.feed(write(1, plan="free"))
    assert before.log.told == [1]
    before.task.cancel()
    await asyncio.wait({before.task})

    after = Driven(partition, pace=Pace(position_after_ms=1_150), group_offset=1)
    await until(lambda: after.log.told == [2], WAIT_S, "the group to hear what the first owner did not tell it")
    await after.stop()
    assert after.log.told == [2]


async def test_commits_that_take_long_are_made_less_often(partition: Partition) -> None:
    driven = Driven(partition)
    await driven.feed(write(0, plan="p0"))
    began = asyncio.get_running_loop().time()
    driven.log.commit_s = 0.02
    for offset in range(1, 60):
        driven.worker.feed([write(offset, plan=f"p{offset}")])
        await asyncio.sleep(0.005)
    took = asyncio.get_running_loop().time() - began
    commits = driven.worker.commits - 1
    assert 2 <= commits <= took / 0.02 / 2
    await driven.stop()


async def test_transactions_grow_while_many_records_wait_and_shrink_with_the_queue(partition: Partition) -> None:
    pace = Pace(batch_records_max=10, commit_records=20, backlog_queue_min=50, backlog_commit_records=100)
    log = RecordingLog()
    worker = PartitionWorker(partition, log, monotonic=lambda: 0.0, now_ms=lambda: InstantMs(NOW), pace=pace)
    worker.feed([write(offset, plan=f"p{offset}") for offset in range(200)])
    task = asyncio.create_task(worker.run())
    await turns()
    worker.stop()
    await task
    commits = [call for call in log.calls if call.startswith("commit ")]
    assert commits[:4] == ["commit 100", "commit 160", "commit 180", "commit 200"]


def test_a_transaction_may_be_open_the_longer_the_more_records_wait_up_to_a_limit() -> None:
    pace = Pace(backlog_queue_min=50, backlog_commit_after_ms=100, backlog_commit_after_ms_max=400)
    assert [pace.backlog_after_ms(waiting) for waiting in (50, 125, 200, 10_000)] == [100, 250, 400, 400]


async def test_deadlines_of_one_instant_are_committed_a_few_contacts_at_a_time(partition: Partition) -> None:
    pace = Pace(commit_contacts=10, slice_contacts=5, slice_ms=0, commit_gap_ms=60_000, commit_after_ms=60_000)
    driven = Driven(partition, pace=pace)
    due = NOW + 1_000
    names = [f"c{number}" for number in range(100)]
    writes = [write(1 + place, name, ends_at=due) for place, name in enumerate(names)]
    await driven.feed(definition(0, [{"ends_at": {"in_past": True}}]), *writes)
    before = driven.worker.commits
    await driven.feed(tick(101, due))
    assert partition.tally.deadlines_fired == len(names)
    assert driven.worker.commits - before == len(names) / 10
    await driven.stop()


@pytest.mark.parametrize("refuse", ["begin", "contacts-changelog", "control-changelog", "acknowledged", "commit 1"])
async def test_a_refused_step_ends_the_worker_before_it_touches_the_store(partition: Partition, refuse: str) -> None:
    driven = Driven(partition, refuse)
    await driven.feed(write(0, plan="pro"))
    with pytest.raises(LogError, match="refused"):
        await driven.task
    assert partition._store.scan(b"\0", b"\xff", 10) == []
    assert driven.log.calls[-1] == refuse


@pytest.mark.parametrize(
    "pace", [Pace(queue_records_max=10), Pace(queue_bytes_max=10 * TICK_BYTES)], ids=["records", "bytes"]
)
async def test_a_queue_that_is_full_and_then_has_room_says_so(partition: Partition, pace: Pace) -> None:
    said: list[tuple[bool, int]] = []
    pace = replace(pace, batch_records_max=2)
    worker = PartitionWorker(
        partition,
        RecordingLog(),
        monotonic=lambda: 0.0,
        now_ms=lambda: InstantMs(NOW),
        pace=pace,
        on_flow=lambda full: said.append((full, worker.queued)),
    )
    ticks = [tick(offset, NOW) for offset in range(11)]
    worker.feed(ticks[:10])
    assert said == []
    worker.feed(ticks[10:])
    assert said == [(True, 11)]
    task = asyncio.create_task(worker.run())
    await until(lambda: len(said) > 1, WAIT_S, "the queue to have room")
    worker.stop()
    await task
    assert said == [(True, 11), (False, 3)]
