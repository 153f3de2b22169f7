"""Members of the evaluator's group on machines of their own: started, killed, frozen, moved, fenced and thawed.

Rule: a member runs the evaluator's own `PartitionOwner`, with its recovery, partitions and workers; only what is around
it is simulated. The group moves as Kafka's eager protocol does: everybody gives everything up, whoever does not answer
is left out, then the partitions are shared anew. A member that was left out may still believe that it owns its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from schemas.topics import Topic, topic_name
from segmentation.model import InstantMs
from services.evaluator import rows
from services.evaluator.owner import Owned, PartitionOwner
from services.evaluator.pace import Pace
from services.evaluator.partition import Partition
from services.evaluator.ports import LogError
from services.evaluator.quarantine import Opened, is_outdated
from services.evaluator.surroundings import Workspace
from services.evaluator.worker import PartitionWorker
from tests.simulation.broker import offset_of
from tests.simulation.world import (
    DOUBT_AFTER_MS,
    Disk,
    Process,
    SimulatedChangelogs,
    SimulatedLog,
    SimulatedStore,
    World,
)

GROUP = "evaluator"
MEMBERS_MAX = 2
REVOKED_WITHIN_S = 10.0
"""Whoever has not given its partitions up by then is left out of the group."""
UNSETTLED, UNSETTLED_WITHIN_S = 0.25, 0.06
"""How likely the group moves again right after it has moved, and how soon: recoveries are then broken off halfway."""


@dataclass
class Parts:
    """The code under test, so that a planted fault can take the place of a part."""

    log: Callable[[World, Process, int], SimulatedLog] = SimulatedLog
    partition: type[Partition] = Partition
    worker: type[PartitionWorker] = PartitionWorker


class Machine:
    """The disks of one machine, by partition. `holder` is the process that runs on it."""

    def __init__(self) -> None:
        self.disks: dict[int, Disk] = {}
        self.holder: Process | None = None


class SimulatedSurroundings:
    """`Surroundings` of one process: its machine's disks, and the one broker."""

    def __init__(self, cluster: Cluster, process: Process, machine: Machine) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._process = process
        self._machine = machine

    def log(self, partition: int) -> SimulatedLog:
        """A producer that is not started."""
        return self._cluster.parts.log(self._world, self._process, partition)

    def changelogs(self) -> SimulatedChangelogs:
        """A reader."""
        return SimulatedChangelogs(self._world, self._process)

    async def positions(self) -> dict[int, int]:
        """What the group has committed."""
        await self._world.point(self._process, "positions", may_fail=True)
        return dict(self._world.broker.positions)

    async def open_store(self, partition: int) -> Opened:
        """The store on this machine; one that was away for too long is begun anew."""
        await self._world.point(self._process, "open:before")
        disk = self._machine.disks.setdefault(partition, Disk())
        self._cluster.check_prefix(self._process, partition, disk)
        store = SimulatedStore(self._process, disk)
        outdated = is_outdated(store, self._world.wall_ms())
        if outdated:
            disk.wipe()
        await self._world.point(self._process, "open:after")
        return Opened(store, None, outdated)

    def now_ms(self) -> InstantMs:
        """The clock on the wall."""
        return self._world.wall_ms()

    def monotonic(self) -> float:
        """The loop's own time."""
        return asyncio.get_running_loop().time()


@dataclass(eq=False)
class Member:
    """One process of the group, and what its consumer would fetch next."""

    process: Process
    machine: Machine
    owner: PartitionOwner
    fetched: dict[int, int] = field(default_factory=dict)
    disturbed: set[tuple[int, int]] = field(default_factory=set)
    """Where a fetch has gone wrong, by partition and offset."""

    @property
    def working(self) -> bool:
        """Whether it lives and turns."""
        return not self.process.dead and self.process.thawed is None and not self.owner.failed.done()


@dataclass
class Cluster:
    """Who owns what. `violations` holds what a member died of that no simulated fault explains."""

    rng: Random
    world: World
    partitions: int
    parts: Parts = field(default_factory=Parts)
    members: list[Member] = field(default_factory=list)
    left_out: list[Member] = field(default_factory=list)
    """Former members that believe that they still own something; some of them are frozen."""
    violations: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    _machines: list[Machine] = field(default_factory=list)
    _rebalancing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start a process on a free machine, and let the group know."""
        self.events["start"] += 1
        process, machine = Process(f"process {self.events['start']}"), self._free_machine()
        machine.holder = process
        surroundings = SimulatedSurroundings(self, process, machine)
        workspace = Workspace(
            GROUP, self.partitions, lambda topic: topic_name("", topic), {}, Path("nowhere"), self._pace()
        )
        owner = PartitionOwner(workspace, None, surroundings)
        owner.partition_type, owner.worker_type = self.parts.partition, self.parts.worker
        self.members.append(Member(process, machine, owner))
        self.rebalance()

    def rebalance(self) -> None:
        """Share the partitions anew, unless that is under way."""
        if self._rebalancing is None or self._rebalancing.done():
            self.events["rebalance"] += 1
            self._rebalancing = asyncio.ensure_future(self._rebalance())

    def kill(self) -> None:
        """End some member without a word."""
        if self.members:
            self.rng.choice(self.members).process.dead = True
            self.events["kill"] += 1

    def look_after(self) -> None:
        """What coordinator and supervisors do: leave out who is silent, start who is missing; and some frozen thaw."""
        for member in list(self.members):
            silent = member.process.dead or member.process.thawed is not None
            if member.owner.failed.done() or (silent and self.rng.random() < 0.3):
                self._leave_out(member)
        if len(self.members) < MEMBERS_MAX and self.rng.random() < (0.3 if not self.members else 0.02):
            self.start()
        for member in list(self.left_out):
            if member.process.thawed is not None and self.rng.random() < 0.1:
                self._thaw(member)
            elif member.owner.failed.done() or member.process.dead or self.rng.random() < 0.1:
                self._end(member)

    def feed(self, member: Member, at_most: int) -> None:
        """One fetch of a member's consumer: what the owner asked for, or what it did not."""
        owner = member.owner
        member.fetched.update(owner.take_seeks())
        for partition in list(owner.owned):
            if partition in owner.paused:
                continue
            records = self.world.broker.log(Topic.CONTACT_CHANGES, partition).records
            first = member.fetched.setdefault(partition, 0)
            if self.rng.random() < 0.03 and (partition, first) not in member.disturbed:
                # A fetch that went to an older place, or one of which the answer got lost. An answer that is lost a
                # second time at one place is taken for a gap of the log, and no consumer loses one even once.
                member.disturbed.add((partition, first))
                first = max(0, first + self.rng.choice((-3, 2)))
            some = records[first : first + at_most]
            if some:
                member.fetched[partition] = some[-1].offset + 1
                owner.feed(partition, some)

    def owned(self, partition: int) -> Owned | None:
        """The partition as its present owner has it, if somebody works it."""
        for member in self.members:
            owned = member.owner.owned.get(partition)
            if owned is not None and owned.worker is not None and member.working:
                return owned
        return None

    def disk(self, partition: int) -> Disk:
        """The disk of a partition's present owner."""
        return next(member.machine.disks[partition] for member in self.members if partition in member.owner.owned)

    async def _rebalance(self) -> None:
        """Everybody gives up; who cannot is left out; the rest share."""
        giving_up = {asyncio.ensure_future(member.owner.revoke()): member for member in self.members}
        if giving_up:
            await asyncio.wait(giving_up, timeout=REVOKED_WITHIN_S)
        for task, member in giving_up.items():
            error = task.exception() if task.done() else None
            if error is not None:
                self._blame(member, error)
            if member in self.members and (not task.done() or not member.working):
                self._leave_out(member)
        present = [member for member in self.members if not member.owner.owned]
        shares: dict[int, list[int]] = {place: [] for place in range(len(present))}
        for partition in range(self.partitions):
            if present:
                shares[self.rng.randrange(len(present))].append(partition)
        for place, member in enumerate(present):
            member.fetched.clear()
            member.owner.assign(shares[place])
        if self.rng.random() < UNSETTLED:
            asyncio.get_running_loop().call_later(self.rng.random() * UNSETTLED_WITHIN_S, self.rebalance)

    def _leave_out(self, member: Member) -> None:
        """The group goes on without it."""
        self.members.remove(member)
        if member.process.thawed is not None:
            self.events["takeover"] += 1
            self.left_out.append(member)
        else:
            self._end(member)
        self.rebalance()

    def _thaw(self, member: Member) -> None:
        """Let it go on as if nothing had happened, with what it may have fetched before."""
        self.events["thaw"] += 1
        thawed, member.process.thawed = member.process.thawed, None
        if thawed is not None:
            thawed.set()
        self.feed(member, 5)

    def _end(self, member: Member) -> None:
        """The process is gone, and sometimes its machine's power or disks with it."""
        if member in self.left_out:
            self.left_out.remove(member)
        if member.owner.failed.done():
            error = member.owner.failed.exception()
            if error is not None and not member.process.dead:
                self._blame(member, error)
        member.process.dead = True
        member.machine.holder = None
        fate = self.rng.random()
        for disk in member.machine.disks.values():
            disk.holder = None
            if fate < 0.2:
                disk.wipe()
                self.events["wipe"] += 1
            elif fate < 0.5:
                disk.lose_power(self.rng)
                self.events["power"] += 1

    def _free_machine(self) -> Machine:
        """Often one on which a process ran before."""
        free = [machine for machine in self._machines if machine.holder is None]
        if free and self.rng.random() < 0.9:
            return self.rng.choice(free)
        self._machines.append(machine := Machine())
        return machine

    def _blame(self, member: Member, error: BaseException) -> None:
        """Anything but a simulated fault is a fault of the code under test."""
        if not isinstance(error, LogError):
            self.violations.append(f"{member.process.name}: stopped by {type(error).__name__}: {error}")
            self.violations.extend(f"  because of {type(each).__name__}: {each}" for each in _causes(error))

    def check_prefix(self, process: Process, partition: int, disk: Disk) -> None:
        """What an owner finds on its disk is what the changelog held at the offset that the disk names, and no more.

        What its writer was told is committed may be there, and so may what readers see, where the two differ.
        """
        written = disk.rows.get(rows.MARKS_KEY)
        marks = rows.Marks.decode(written) if written is not None else None
        end = marks.contacts_changelog if marks is not None else 0
        log = self.world.broker.log(Topic.CONTACTS_CHANGELOG, partition)
        before = [record for record in log.records if record.offset < end]
        gone = [record for record in log.told if record.offset < end]
        seen = {record.key or b"": record.value for record in before if record.is_committed}
        told = {each.key or b"": each.value for each in sorted([*before, *gone], key=offset_of) if each.is_acknowledged}
        # Compaction may have taken older records of what was written later.
        later = {record.key or b"" for record in log.committed(end)}
        found = {key[1:]: row for key, row in disk.rows.items() if key.startswith(rows.CONTACTS_START)}
        # What is gone explains a row and asks for none: what came after it may be gone as well, its tombstone too.
        asked = seen.keys() | {record.key or b"" for record in before if record.is_acknowledged}
        for key in sorted(asked - later):
            if found.get(key) not in (seen.get(key), told.get(key)):
                self.violations.append(
                    f"{process.name}, contact {key.decode()}: expected its disk to hold what the changelog held at "
                    f"offset {end}, {seen.get(key)!r}, found {found.get(key)!r}"
                )

    def _pace(self) -> Pace:
        rng = self.rng
        return Pace(
            batch_records_max=rng.choice((1, 3, 10, 500)),
            batch_work=(evaluations := rng.choice((1, 4, 2_000))),
            commit_records=(most := rng.choice((1, 5, 50))),
            commit_contacts=most,
            commit_changes=rng.choice((1, 10, 20_000)),
            commit_after_ms=rng.choice((0, 20, 100)),
            commit_gap_ms=rng.choice((0, 20)),
            position_after_ms=rng.choice((50, 5_000)),
            doubt_after_ms=DOUBT_AFTER_MS,
            slice_ms=0,
            slice_contacts=rng.choice((1, 2, 3, 100)),
            slice_evaluations=evaluations,
            slice_changes=evaluations,
            queue_records_max=rng.choice((10, 20_000)),
            backfill_queue_max=rng.choice((0, 5, 5_000)),
        )


def _causes(error: BaseException) -> list[Any]:
    found: list[BaseException] = []
    while error.__cause__ is not None:
        error = error.__cause__
        found.append(error)
    return found
