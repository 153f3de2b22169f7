"""One task a partition, the only writer of its state: drain, decide, send, maybe commit; then one slice of other work.

The write protocol: outputs, changed contacts, control rows and the input position are one transaction; only after its
commit does one local write put the same into the store. So the disk is always a committed prefix, and a crash anywhere
replays from the last commit and repeats identical records. Rule: any failure ends the worker before it touches local
state; it never aborts, retries or skips. Live records come first, background work in slices between them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from schemas.topics import Topic
from segmentation.model import Change, InstantMs
from services.evaluator.background import BackgroundTurns
from services.evaluator.commit_gap import CommitGap, ProcessCommits
from services.evaluator.pace import Pace
from services.evaluator.partition import Partition
from services.evaluator.ports import RECORD_BYTES, InputRecord, LogError, TransactionalLog

TURNS_BETWEEN_SLICES = 5
"""From socket to answer a live record goes through so many turns of the loop; without work a turn is some 20 µs."""


class Stages(NamedTuple):
    """Where the time of one transaction went. Units: seconds; several batches may be in it."""

    evaluated: float
    sent: float
    gathered: float
    """From the first output to the start of the commit."""
    acknowledged: float
    committed: float
    applied: float


NO_STAGES = Stages(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Committed(NamedTuple):
    """What one transaction committed.

    `stamps` holds broker timestamps of the first and the last input of each batch that led to something, for measuring
    latency.
    """

    next_offset: int
    records: int
    changes: Sequence[Change]
    stamps: Sequence[int]
    took_s: float
    stages: Stages = NO_STAGES


CommitListener = Callable[[Committed], None]
FlowListener = Callable[[bool], None]
"""Called with True when the queue is full and with False when it has room again."""


class _Fed(NamedTuple):
    """Records that wait, and about how many bytes their values have."""

    records: Sequence[InputRecord]
    size: int


def _fed(records: Sequence[InputRecord]) -> _Fed:
    return _Fed(records, sum([len(record.value or b"") for record in records]))


class PartitionWorker:
    """Drives one `Partition` against one `TransactionalLog`.

    `on_passed` is told the next input offset when everything before it is committed or left nothing to commit.
    `group_offset` is where the consumer group stands: behind the partition when the owner before was killed. None: at
    the partition's own position.
    `commits` and `turns` are shared by the workers of a process.
    `run` ends when `stop` has been called and everything decided is committed, or raises what broke it.
    """

    def __init__(
        self,
        partition: Partition,
        log: TransactionalLog,
        *,
        monotonic: Callable[[], float],
        now_ms: Callable[[], InstantMs],
        pace: Pace | None = None,
        on_commit: CommitListener | None = None,
        on_flow: FlowListener | None = None,
        on_passed: Callable[[int], None] | None = None,
        group_offset: int | None = None,
        commits: ProcessCommits | None = None,
        turns: BackgroundTurns | None = None,
    ) -> None:
        self.partition = partition
        self.pace = pace or Pace()
        self.queued = 0
        self.commits = 0
        self._log = log
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._on_commit = on_commit
        self._on_flow = on_flow
        self._on_passed = on_passed
        self._queue: deque[_Fed] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._full = False
        self._open = False  # a transaction is open on the log
        self._ahead_since: float | None = None  # when the first uncommitted output or position arose
        self._outputs_since: float | None = None
        self._last_commit = 0.0
        self._commits = commits or ProcessCommits()
        self._turns = turns or BackgroundTurns()
        self._gap = CommitGap(self.pace.commit_gap_ms / 1_000, self._commits)
        # So that the first commit tells the group where this owner stands.
        self._group_told = monotonic() - self.pace.group_after_ms / 1_000
        self._group_offset = partition.next_offset if group_offset is None else group_offset
        self._evaluated_s = 0.0
        self._sent_s = 0.0
        self._records_since = 0
        self._batch_limit = self.pace.batch_records_max
        self._stamps: list[int] = []

    @property
    def queued_bytes(self) -> int:
        """What the queue takes in memory, about."""
        return self._queued_bytes + self.queued * RECORD_BYTES

    def feed(self, records: Sequence[InputRecord]) -> None:
        """Take records of the log, in order, each once."""
        if self._stopping or not records:
            return
        fed = _fed(records)
        self._queue.append(fed)
        self.queued += len(records)
        self._queued_bytes += fed.size
        pace = self.pace
        if not self._full and (self.queued > pace.queue_records_max or self._queued_bytes > pace.queue_bytes_max):
            self._full = True
            if self._on_flow is not None:
                self._on_flow(True)
        self._wake.set()

    def stop(self) -> None:
        """Drop what is queued, which the next owner reads again; commit what is decided; then end."""
        self._stopping = True
        self._queue.clear()
        self.queued = self._queued_bytes = 0
        self._wake.set()

    async def run(self) -> None:
        """Work until stopped. Errors: whatever the log, the store or the core raised; the worker is then dead."""
        while not self._stopping:
            await self._work()
        self._turns.leave(self)
        if self.partition.is_ahead or self._group_offset != self.partition.next_offset:
            await self.commit()
        self._commits.leave(self._gap)

    async def _work(self) -> None:
        """One batch, one slice of background work and a commit, whichever there is occasion for; else rest."""
        worked = bool(self._queue)
        if worked:
            batch = self._next_batch()
            began = self._monotonic()
            taken = self.partition.consume(batch, self.pace.batch_work)
            self._evaluated_s += self._monotonic() - began
            if self.partition.has_outputs:
                self._stamps += (batch[0].timestamp, batch[taken - 1].timestamp)
            self._fit_batches(len(batch), taken)
            self._put_back(batch[taken:])
            await self._send()
        if await self._background():
            worked = True
        if self._is_commit_due():
            await self.commit()
            self._turns.pass_on(self)
        elif worked:
            # The log may have taken everything without waiting: reads and heartbeats need their turn.
            await asyncio.sleep(0)
        elif not self._queue and not self._stopping:
            await self._rest()

    def _next_batch(self) -> Sequence[InputRecord]:
        pace = self.pace
        limit = self._batch_limit
        batch, size = self._queue.popleft()
        if len(batch) > limit:
            rest = size * (len(batch) - limit) // len(batch)
            self._queue.appendleft(_Fed(batch[limit:], rest))
            batch, size = batch[:limit], size - rest
        else:
            while self._queue and len(batch) + len(self._queue[0].records) <= limit:
                more = self._queue.popleft()
                batch, size = [*batch, *more.records], size + more.size
        self.queued -= len(batch)
        self._queued_bytes -= size
        self._records_since += len(batch)
        if self._full and self.queued < pace.queue_records_max // 2 and self._queued_bytes < pace.queue_bytes_max // 2:
            self._full = False
            if self._on_flow is not None:
                self._on_flow(False)
        return batch

    def _fit_batches(self, given: int, taken: int) -> None:
        """Have batches as large as what was taken of one that was too large: what is given is read at once, in vain."""
        self._batch_limit = taken if taken < given else min(2 * self._batch_limit, self.pace.batch_records_max)

    def _put_back(self, records: Sequence[InputRecord]) -> None:
        """Have records that were too much for one batch wait at the head of the queue."""
        if not records:
            return
        fed = _fed(records)
        self._queue.appendleft(fed)
        self.queued += len(records)
        self._queued_bytes += fed.size
        self._records_since -= len(records)

    async def _send(self) -> None:
        """Hand what was decided to the broker, where readers of uncommitted records see it at once."""
        partition = self.partition
        now = self._monotonic()
        if self._ahead_since is None and partition.is_ahead:
            self._ahead_since = now
        if self._outputs_since is None and partition.has_outputs:
            self._outputs_since = now
        if self._outputs_since is None and self._on_passed is not None:
            self._on_passed(partition.next_offset)
        unsent = partition.take_unsent()
        if not unsent:
            return
        await self._begin()
        if unsent.memberships:
            await self._log.append(Topic.MEMBERSHIPS, unsent.memberships)
        if unsent.dead_letters:
            await self._log.append(Topic.DEAD_LETTERS, unsent.dead_letters)
        self._sent_s += self._monotonic() - now

    async def _background(self) -> bool:
        """One slice of it, if there is anything to do and it is this worker's turn; whether it did."""
        work = self._background_work()
        if work is None:
            self._turns.leave(self)
            return False
        if not self._turns.take(self, self._wake.set):
            return False
        began = self._monotonic()
        until = began + self.pace.slice_ms / 1_000
        contacts = self.pace.contacts_of_slice(self.partition.unseen_definitions)
        while work(contacts, self.pace.slice_changes) and self._monotonic() < until:
            pass
        self._evaluated_s += self._monotonic() - began
        await self._send()
        for _ in range(TURNS_BETWEEN_SLICES):
            await asyncio.sleep(0)
        return True

    def _background_work(self) -> Callable[[int, int], int] | None:
        """What does some more of the background work that comes first; None if there is none for now."""
        partition = self.partition
        if partition.due.any_due(partition.clock):
            return partition.wake_due
        if self.queued > self.pace.backfill_queue_max:
            return None
        if partition.behind_definitions:
            return None if self._must_commit_first() else partition.backfill
        # It changes nothing, so no number of changes bounds it.
        return (lambda limit, _: partition.count_unreadable(limit)) if partition.unreadable.is_behind else None

    def _must_commit_first(self) -> bool:
        """A scan begins with all contacts that are not committed, at once: those may be no more than a batch has."""
        partition, pace = self.partition, self.pace
        may_begin = self.queued <= pace.backfill_queue_max
        return may_begin and partition.uncommitted_behind > pace.contacts_of_batch(partition.unseen_definitions)

    def _is_commit_due(self) -> bool:
        due = self._commit_due_at()
        return due is not None and self._monotonic() >= due

    def _commit_due_at(self) -> float | None:
        """When the uncommitted should be committed if nothing more arrives; None if there is nothing."""
        pace = self.pace
        if self._outputs_since is not None:
            is_backlog = self.queued >= pace.backlog_queue_min
            records = pace.backlog_commit_records if is_backlog else pace.commit_records
            contacts = pace.backlog_commit_records if is_backlog else pace.commit_contacts
            partition = self.partition
            is_much = self._records_since >= records or partition.changed_contacts >= contacts
            if is_much or partition.uncommitted_changes >= pace.commit_changes or self._must_commit_first():
                return self._last_commit
            after_ms = max(pace.commit_after_ms, pace.backlog_after_ms(self.queued) if is_backlog else 0)
            latest = self._outputs_since + after_ms / 1_000
            is_busy = bool(self._queue) or self._turns.held_by(self)
            return latest if is_busy else min(latest, self._last_commit + self._gap.seconds)
        if self._ahead_since is not None:
            # What writes that change nothing have read is kept until the commit: that is to be bounded too.
            is_much = self._records_since >= pace.backlog_commit_records
            return self._last_commit if is_much else self._ahead_since + pace.position_after_ms / 1_000
        if self._group_offset != self.partition.next_offset:
            return self._group_told + pace.position_after_ms / 1_000
        return None

    async def commit(self) -> None:
        """One transaction, then one local write. Nothing else of this worker runs in between."""
        partition = self.partition
        began = self._monotonic()
        gathered_s = began - self._outputs_since if self._outputs_since is not None else 0.0
        await self._begin()
        contacts, controls = partition.seal()
        if contacts:
            await self._log.append(Topic.CONTACTS_CHANGELOG, contacts)
        await self._log.append(Topic.CONTROL_CHANGELOG, controls)
        ends = await self._log.acknowledged()
        acknowledged = self._monotonic()
        # Without outputs there was time, and at the end there will be none: then the group hears of it too.
        tell_group = (
            self._outputs_since is None
            or self._stopping
            or acknowledged >= self._group_told + self.pace.group_after_ms / 1_000
        )
        await self._log.commit(partition.next_offset, tell_group=tell_group)
        committed = self._monotonic()
        if tell_group:
            self._group_told, self._group_offset = committed, partition.next_offset
        changes = partition.committed(ends, self._now_ms())
        self._open = False
        self._ahead_since = self._outputs_since = None
        self._last_commit = self._monotonic()
        self._gap.took(self._last_commit - began, self._last_commit)
        self.commits += 1
        stages = Stages(
            self._evaluated_s,
            self._sent_s,
            gathered_s,
            acknowledged - began,
            committed - acknowledged,
            self._last_commit - committed,
        )
        self._tell(changes, self._last_commit - began, stages)
        if committed - acknowledged > self.pace.doubt_after_ms / 1_000:
            # Nothing more may be sent before that is looked at: an abort of it would decide this commit too.
            raise LogError(f"a commit took {committed - acknowledged:.1f} s: the next owner looks whether it is whole")

    def _tell(self, changes: Sequence[Change], took_s: float, stages: Stages) -> None:
        """Say what was committed, and begin to count anew."""
        done = Committed(self.partition.next_offset, self._records_since, changes, self._stamps, took_s, stages)
        self._records_since = 0
        self._stamps = []
        self._evaluated_s = self._sent_s = 0.0
        if self._on_commit is not None:
            self._on_commit(done)

    async def _begin(self) -> None:
        if not self._open:
            await self._log.begin()
            self._open = True

    async def _rest(self) -> None:
        """Wait for records or for the time to commit."""
        self._wake.clear()
        due = self._commit_due_at()
        if due is None:
            await self._wake.wait()
            return
        timer = asyncio.get_running_loop().call_later(max(0.0, due - self._monotonic()), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
