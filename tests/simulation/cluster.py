"""Owners of partitions on two machines: started, killed, frozen, moved and thawed while they work.

Rule: an owner runs the evaluator's own recovery, partition and worker; only what is behind its ports is simulated. At
most one living process holds a disk, but a frozen owner may believe that it still owns its partition.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from schemas.topics import Topic
from services.evaluator import rows
from services.evaluator.partition import Partition
from services.evaluator.ports import LogError, TransactionalLog
from services.evaluator.quarantine import is_outdated
from services.evaluator.recovery import Recovery, recover
from services.evaluator.worker import Pace, PartitionWorker
from tests.simulation.world import Disk, Process, SimulatedChangelogs, SimulatedLog, SimulatedStore, World

MACHINES = 2
INPUT_TOPIC = "contact-changes"


@dataclass
class Owner:
    """One process that owns, or believes that it owns, a partition."""

    process: Process
    partition: int
    machine: int
    next_offset: int = 0
    worker: PartitionWorker | None = None
    task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it is ready to be fed."""
        return self.worker is not None and not self.process.dead and self.process.thawed is None and not self.ended

    @property
    def ended(self) -> bool:
        """Whether its task is over."""
        return self.task is not None and self.task.done()


@dataclass
class Parts:
    """The code under test, so that a planted fault can take the place of a part."""

    log: Callable[[World, Process, int], SimulatedLog] = SimulatedLog
    partition: Callable[..., Partition] = Partition
    worker: Callable[..., PartitionWorker] = PartitionWorker


@dataclass
class Cluster:
    """Who owns what. `violations` holds what an owner died of that no simulated fault explains."""

    rng: Random
    world: World
    partitions: int
    parts: Parts = field(default_factory=Parts)
    owners: dict[int, Owner] = field(default_factory=dict)
    frozen: list[Owner] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.disks = {(machine, each): Disk() for machine in range(MACHINES) for each in range(self.partitions)}

    def start(self, partition: int, machine: int) -> None:
        """Give a partition a new owner."""
        self.events["start"] += 1
        owner = Owner(Process(f"owner {self.events['start']} of partition {partition}"), partition, machine)
        self.owners[partition] = owner
        self.disks[machine, partition].holder = owner.process
        owner.task = asyncio.ensure_future(self._own(owner))

    def kill(self, partition: int) -> None:
        """End the owner without a word, and sometimes its machine's power or disk with it."""
        owner = self.owners[partition]
        owner.process.dead = True
        self.events["kill"] += 1

    async def move(self, partition: int) -> None:
        """A rebalance: stop the owner cleanly and start another one elsewhere."""
        owner = self.owners[partition]
        if not owner.running or owner.worker is None or owner.task is None:
            return
        self.events["move"] += 1
        owner.worker.stop()
        await asyncio.wait([owner.task], timeout=5.0)
        if owner.ended:
            self._note_end(owner)
            self.start(partition, self._free_machine(partition, owner))

    def look_after(self) -> None:
        """Replace owners that are gone, take over from frozen ones, thaw some of those."""
        for partition, owner in list(self.owners.items()):
            if owner.process.thawed is not None and self.rng.random() < 0.2:
                self.frozen.append(owner)
                self.events["takeover"] += 1
                self.start(partition, self._free_machine(partition, owner))
            elif (owner.process.dead or owner.ended) and self.rng.random() < 0.3:
                self._bury(owner)
                self.start(partition, self._free_machine(partition, owner))
        for owner in list(self.frozen):
            if self.rng.random() < 0.1:
                self.thaw(owner)

    def thaw(self, owner: Owner) -> None:
        """Let a process that lost its partition go on, as if nothing had happened."""
        self.frozen.remove(owner)
        self.events["thaw"] += 1
        thawed, owner.process.thawed = owner.process.thawed, None
        if thawed is not None:
            thawed.set()

    def feed(self, owner: Owner, at_most: int) -> None:
        """Give an owner the next records of its partition's log."""
        if owner.worker is None or not owner.running:
            return
        records = self.world.broker.log(Topic.CONTACT_CHANGES, owner.partition).records
        some = records[owner.next_offset : owner.next_offset + at_most]
        if some:
            owner.next_offset += len(some)
            owner.worker.feed(some)

    def _bury(self, owner: Owner) -> None:
        self._note_end(owner)
        disk = self.disks[owner.machine, owner.partition]
        if disk.holder is owner.process:
            disk.holder = None
        fate = self.rng.random()
        if fate < 0.2:
            disk.wipe()
            self.events["wipe"] += 1
        elif fate < 0.5:
            disk.lose_power(self.rng)
            self.events["power"] += 1

    def _free_machine(self, partition: int, former: Owner) -> int:
        """Any machine whose disk no other process holds."""
        first = former.machine if self.rng.random() < 0.5 else 1 - former.machine
        for machine in (first, 1 - first):
            holder = self.disks[machine, partition].holder
            if holder is None or holder.dead:
                return machine
        # A frozen process holds one disk and a thawed one may hold the other: the machine is replaced by a new one.
        self.disks[first, partition] = Disk()
        return first

    def _note_end(self, owner: Owner) -> None:
        """Anything but a simulated fault is a fault of the code under test."""
        if owner.task is None or not owner.task.done() or owner.process.dead:
            return
        error = owner.task.exception()
        if error is not None and not isinstance(error, LogError):
            self.violations.append(f"{owner.process.name}: stopped by {type(error).__name__}: {error}")
            self.violations.extend(f"  because of {type(each).__name__}: {each}" for each in _causes(error))

    async def _own(self, owner: Owner) -> None:
        process, partition = owner.process, owner.partition
        disk = self.disks[owner.machine, partition]
        log = self.parts.log(self.world, process, partition)
        await log.start()
        self._check_prefix(owner, disk)
        store = SimulatedStore(process, disk)
        if is_outdated(store, self.world.wall_ms()):
            disk.wipe()
        try:
            recovery = Recovery(partition, store)
            restored = (await recover([recovery], SimulatedChangelogs(self.world, process)))[partition]
            state = self.parts.partition(partition, self.partitions, INPUT_TOPIC, store, restored)
            owner.next_offset = state.next_offset
            owner.worker = self._worker(state, log)
            await owner.worker.run()
        finally:
            if not process.dead:
                store.close()

    def _check_prefix(self, owner: Owner, disk: Disk) -> None:
        """What an owner finds on its disk is what the changelog held at the offset that the disk names, and no more."""
        written = disk.rows.get(rows.MARKS_KEY)
        marks = rows.Marks.decode(written) if written is not None else None
        end = marks.contacts_changelog if marks is not None else 0
        log = self.world.broker.log(Topic.CONTACTS_CHANGELOG, owner.partition)
        newest = {record.key or b"": record.value for record in log.committed(0, end)}
        later = {record.key or b"" for record in log.committed(end)}  # compaction may have taken their older records
        found = {key[1:]: row for key, row in disk.rows.items() if key.startswith(rows.CONTACTS_START)}
        for key in sorted(newest.keys() - later):
            if newest.get(key) != found.get(key):
                self.violations.append(
                    f"{owner.process.name}, contact {key.decode()}: expected its disk to hold what the changelog held "
                    f"at offset {end}, {newest.get(key)!r}, found {found.get(key)!r}"
                )

    def _worker(self, state: Partition, log: TransactionalLog) -> PartitionWorker:
        rng = self.rng
        pace = Pace(
            batch_records_max=rng.choice((1, 3, 10, 500)),
            commit_records=rng.choice((1, 5, 50)),
            commit_after_ms=rng.choice((0, 20, 100)),
            commit_gap_ms=rng.choice((0, 20)),
            position_after_ms=rng.choice((50, 5_000)),
            slice_ms=0,
            slice_contacts=rng.choice((1, 2, 3, 100)),
            queue_records_max=rng.choice((10, 20_000)),
            backfill_queue_max=rng.choice((0, 5, 5_000)),
        )
        monotonic = asyncio.get_running_loop().time
        return self.parts.worker(state, log, monotonic=monotonic, now_ms=self.world.wall_ms, pace=pace)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    while error.__cause__ is not None:
        error = error.__cause__
        found.append(error)
    return found
