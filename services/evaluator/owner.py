"""The partitions that this process owns: taken over, recovered, worked and given up, whatever drives the consumer.

Rule: an assignment is taken note of at once and recovered in the background, because the group's heartbeats stop while
its callbacks run; records that arrive before a partition is recovered are dropped, and the consumer is then told where
to read on. Any failure of a worker ends the process: the next start replays from the last commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from schemas.topics import Topic
from services.evaluator.background import BackgroundTurns
from services.evaluator.commit_gap import ProcessCommits
from services.evaluator.measures import QUEUED, RECOVERED_RECORDS, RECOVERY_SECONDS
from services.evaluator.partition import Partition
from services.evaluator.ports import InputRecord, Store, StoreError
from services.evaluator.quarantine import Opened
from services.evaluator.recovery import InputStart, Recovery, check_input, recover
from services.evaluator.restored import RestoredPartition
from services.evaluator.surroundings import KafkaSurroundings, OwnedLog, Surroundings, Workspace
from services.evaluator.worker import CommitListener, PartitionWorker
from services.runtime.logs import get_logger

MARKER_OFFSETS = 1
"""What the end of one transaction takes in a log."""
QUEUED_TOGETHER_BYTES_MAX = 256 << 20
"""Of all partitions of a process: each alone may hold what one fetch unpacks to, and there may be dozens."""
STOP_TIMEOUT_S = 8.0
"""How long giving a partition up may wait for its last commit; then the next owner's fencing settles it."""

log = get_logger("partitions")


class WorkerListeners(NamedTuple):
    """Who is told about a worker's progress."""

    on_commit: CommitListener
    on_passed: Callable[[int], None]
    on_fed: Callable[[Sequence[InputRecord]], None] | None = None


class Observer(Protocol):
    """Who wants to know which partitions are worked here, such as the read API."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """These partitions are ours and being recovered."""

    def started(self, partition: Partition, store: Store) -> WorkerListeners:
        """A partition is recovered and worked from now on."""

    def stopping(self, index: int) -> None:
        """A partition is about to be given up: its store will be closed."""

    def stopped(self, index: int) -> None:
        """Nothing more of a partition will be committed here."""


@dataclass(slots=True)
class Owned:
    """One partition of this process. `worker` is None until it is recovered."""

    index: int
    log: OwnedLog | None = None
    opened: Opened | None = None
    recovery: Recovery | None = None
    worker: PartitionWorker | None = None
    task: asyncio.Task[None] | None = None
    expected: int | None = None
    on_fed: Callable[[Sequence[InputRecord]], None] | None = None
    doubted: int | None = None  # the offset at which a gap was seen once
    believed: int | None = None  # the offset at which the log was asked about a gap, and lies within it
    asking: asyncio.Task[None] | None = None


class PartitionOwner:
    """Recovers and runs the assigned partitions.

    The consumer's loop calls `feed`, and before each fetch `take_seeks`; it must not fetch partitions in `paused`, nor
    any while `is_full`.
    """

    partition_type = Partition
    worker_type = PartitionWorker
    """What is made of each partition; the self-test plants its bugs here."""

    def __init__(
        self, workspace: Workspace, observer: Observer | None = None, surroundings: Surroundings | None = None
    ) -> None:
        self.workspace = workspace
        self._surroundings = surroundings or KafkaSurroundings(workspace)
        self.owned: dict[int, Owned] = {}
        self.paused: set[int] = set()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.recovered_at: float | None = None
        self._seeks: dict[int, int] = {}
        self._recovering: asyncio.Task[None] | None = None
        self._revoking = asyncio.Lock()
        self._observer = observer
        self._commits, self._turns = ProcessCommits(), BackgroundTurns()

    @property
    def ready(self) -> bool:
        """Whether every assigned partition is recovered."""
        recovering = self._recovering
        done = recovering is not None and recovering.done() and not recovering.cancelled()
        return done and recovering is not None and recovering.exception() is None

    @property
    def is_quiet(self) -> bool:
        """Whether no record waits here, nor anything for a commit."""
        workers = [owned.worker for owned in self.owned.values() if owned.worker is not None]
        return not any(worker.queued or worker.partition.has_outputs for worker in workers)

    @property
    def is_full(self) -> bool:
        """Whether so much waits in all partitions together that none is to be fetched for now."""
        workers = [owned.worker for owned in self.owned.values() if owned.worker is not None]
        return sum(worker.queued_bytes for worker in workers) >= QUEUED_TOGETHER_BYTES_MAX

    @property
    def held(self) -> dict[int, int]:
        """How many contacts are held, of the partitions that hold any."""
        workers = {index: owned.worker for index, owned in self.owned.items() if owned.worker is not None}
        return {index: held for index, worker in workers.items() if (held := len(worker.partition.failures.held))}

    def refresh_metrics(self) -> None:
        """Bring the gauges level with the queues."""
        for owned in self.owned.values():
            QUEUED.labels(str(owned.index)).set(owned.worker.queued if owned.worker is not None else 0)

    def assign(self, partitions: Iterable[int]) -> None:
        """Take over partitions. Returns at once; the work goes on in the background."""
        if self.owned:
            raise AssertionError(f"partitions {sorted(self.owned)} were not given up before a new assignment")
        for index in sorted(partitions):
            self.owned[index] = Owned(index)
        self.paused = set(self.owned)
        # A worker that had to be cancelled has not said that it left.
        self._commits, self._turns = ProcessCommits(), BackgroundTurns()
        if self._observer is not None:
            self._observer.assigned(sorted(self.owned))
        self._recovering = asyncio.create_task(self._recover(), name="recovery")
        self._recovering.add_done_callback(self._check)

    async def revoke(self) -> None:
        """Give every partition up: commit what is decided, then close. Whoever calls meanwhile waits for the same."""
        async with self._revoking:
            await self._revoke()

    async def _revoke(self) -> None:
        recovering, self._recovering = self._recovering, None
        if recovering is not None and not recovering.done():
            recovering.cancel()
            await asyncio.wait({recovering})
        owned, self.owned = self.owned, {}
        self.paused.clear()
        self._seeks.clear()
        await asyncio.gather(*(self._give_up(each) for each in owned.values()))
        if owned:
            log.info("gave partitions up", partitions=sorted(owned))

    def feed(self, partition: int, records: Sequence[InputRecord]) -> None:
        """Take fetched records. Those of a partition that is not ready, or read before a seek, are dropped.

        So are those that were taken before; if there are no others, the log is asked whether it still reaches as far.
        """
        owned = self.owned.get(partition)
        if owned is None or owned.worker is None or owned.expected is None or partition in self._seeks:
            return
        if owned.asking is not None:
            return
        if records[-1].offset < owned.expected:
            # The consumer goes back to where the log begins when it asks for what is behind the log's end.
            log.warning("input came again", partition=partition, expected=owned.expected, found=records[0].offset)
            self._begin_to_ask(owned, owned.expected)
            return
        if records[0].offset < owned.expected:
            records = [record for record in records if record.offset >= owned.expected]
        if records[0].offset > owned.expected and not self._believes(owned, owned.expected, records[0].offset):
            return
        owned.expected = records[-1].offset + 1
        if owned.on_fed is not None:
            owned.on_fed(records)
        owned.worker.feed(records)

    def _believes(self, owned: Owned, expected: int, found: int) -> bool:
        """Whether a gap is the log's own.

        Transaction markers leave gaps in a log, and so would a lost fetch: a gap is believed when seen twice. One that
        is longer than a marker may be aborted records, but also what retention has removed under a slow evaluator: the
        consumer goes on where the log begins then, without a word. So the log is asked where that is.
        """
        if owned.doubted != expected:
            owned.doubted = expected
            self._seeks[owned.index] = expected
            return False
        if found - expected <= MARKER_OFFSETS:
            return True
        if owned.believed == expected:
            log.info("the input log has a gap", partition=owned.index, expected=expected, found=found)
            return True
        self._begin_to_ask(owned, expected)
        return False

    def _begin_to_ask(self, owned: Owned, expected: int) -> None:
        owned.asking = asyncio.create_task(self._ask(owned, expected), name=f"bounds of partition {owned.index}")
        owned.asking.add_done_callback(self._check)

    async def _ask(self, owned: Owned, expected: int) -> None:
        """Look whether what is expected lies within the log still. Errors: `StartRefusedError` if not."""
        changelogs = self._surroundings.changelogs()
        try:
            await changelogs.start()
            bounds = await changelogs.bounds(Topic.CONTACT_CHANGES, owned.index)
        finally:
            await changelogs.close()
        check_input(InputStart(owned.index, expected, None), bounds)
        owned.believed, owned.asking = expected, None
        if self.owned.get(owned.index) is owned:
            self._seeks[owned.index] = expected

    def take_seeks(self) -> dict[int, int]:
        """Where the consumer must read on, by partition; to be applied before the next fetch."""
        seeks, self._seeks = self._seeks, {}
        return seeks

    async def _recover(self) -> None:
        """Fence the former owners, then read what they committed."""
        surroundings = self._surroundings
        began = surroundings.monotonic()
        owned = list(self.owned.values())
        if not owned:
            return
        await _all(self._take_over(each) for each in owned)
        fenced = surroundings.monotonic()
        positions = await surroundings.positions()
        changelogs = surroundings.changelogs()
        try:
            await changelogs.start()
            recoveries = [
                Recovery(each.index, _opened(each).store, _fenced(each), positions.get(each.index)) for each in owned
            ]
            for each, recovery in zip(owned, recoveries, strict=True):
                each.recovery = recovery
            restored = await recover(recoveries, changelogs)
            for each in owned:
                bounds = await changelogs.bounds(Topic.CONTACT_CHANGES, each.index)
                state = restored[each.index]
                start = InputStart(each.index, state.marks.input, positions.get(each.index))
                state.marks = state.marks._replace(input=check_input(start, bounds))
        finally:
            await changelogs.close()
        for each in owned:
            self._start(each, restored[each.index], positions.get(each.index))
        self.recovered_at = surroundings.monotonic()
        RECOVERY_SECONDS.set(self.recovered_at - began)
        RECOVERED_RECORDS.set(sum(recovery.records for recovery in recoveries))
        log.info(
            "partitions recovered",
            partitions=[each.index for each in owned],
            changelog_records=sum(recovery.records for recovery in recoveries),
            fencing_ms=round((fenced - began) * 1_000),
            recovery_ms=round((self.recovered_at - began) * 1_000),
        )

    async def _take_over(self, owned: Owned) -> None:
        """Fence the former owner and open the store."""
        owned.log = self._surroundings.log(owned.index)
        await owned.log.start()
        opening = asyncio.ensure_future(self._surroundings.open_store(owned.index))
        try:
            owned.opened = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread goes on; its store must not stay open behind the next owner.
            owned.opened = await opening
            raise
        if owned.opened.quarantined is not None:
            log.error(
                "local state was broken and is rebuilt", partition=owned.index, aside=str(owned.opened.quarantined)
            )
        if owned.opened.outdated:
            log.warning("local state was older than the broker keeps tombstones and is rebuilt", partition=owned.index)

    def _start(self, owned: Owned, restored: RestoredPartition, group_offset: int | None) -> None:
        store = _opened(owned).store
        input_topic = self.workspace.topic_name(Topic.CONTACT_CHANGES)
        partition = self.partition_type(owned.index, self.workspace.partitions, input_topic, store, restored)
        listeners = self._observer.started(partition, store) if self._observer is not None else None
        owned.worker = self.worker_type(
            partition,
            _fenced(owned),
            monotonic=self._surroundings.monotonic,
            now_ms=self._surroundings.now_ms,
            pace=self.workspace.pace,
            on_commit=listeners.on_commit if listeners is not None else None,
            on_passed=listeners.on_passed if listeners is not None else None,
            on_flow=lambda full: self._on_flow(owned.index, full),
            group_offset=group_offset,
            commits=self._commits,
            turns=self._turns,
        )
        owned.on_fed = listeners.on_fed if listeners is not None else None
        owned.expected = self._seeks[owned.index] = partition.next_offset
        owned.task = asyncio.create_task(owned.worker.run(), name=f"partition {owned.index}")
        owned.task.add_done_callback(self._check)
        self.paused.discard(owned.index)

    def _on_flow(self, partition: int, full: bool) -> None:
        if full:
            self.paused.add(partition)
        else:
            self.paused.discard(partition)

    def _check(self, task: asyncio.Task[None]) -> None:
        """A worker or a recovery that ends by an exception ends the process."""
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)

    async def _give_up(self, owned: Owned) -> None:
        QUEUED.remove(str(owned.index))
        if self._observer is not None:
            self._observer.stopping(owned.index)
        if owned.asking is not None:
            owned.asking.cancel()
            await asyncio.wait({owned.asking})
        if owned.worker is not None and owned.task is not None:
            owned.worker.stop()
            done, _ = await asyncio.wait({owned.task}, timeout=STOP_TIMEOUT_S)
            if not done:
                log.warning("the last commit took too long and is left to the next owner", partition=owned.index)
                owned.task.cancel()
                await asyncio.wait({owned.task})
        if self._observer is not None:
            self._observer.stopped(owned.index)
        if owned.opened is not None:
            try:
                owned.opened.store.close()
            except StoreError as error:
                # What could not be written is on the broker; the next start reads it from there.
                log.error("local state could not be closed", partition=owned.index, reason=str(error))
        if owned.log is not None:
            await owned.log.close()


async def _all(works: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all at once, or none any more: `gather` alone leaves the others behind when one fails or all are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    except (Exception, asyncio.CancelledError):
        for task in tasks:
            if not task.cancelling():  # a second time would interrupt what it does to come to an end
                task.cancel()
        await asyncio.wait(tasks)
        raise


def _fenced(owned: Owned) -> OwnedLog:
    if owned.log is None:
        raise AssertionError(f"partition {owned.index} was recovered before it was fenced")
    return owned.log


def _opened(owned: Owned) -> Opened:
    if owned.opened is None:
        raise AssertionError(f"partition {owned.index} has no store yet")
    return owned.opened
