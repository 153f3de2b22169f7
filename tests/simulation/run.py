"""One seed, one history: inputs, faults and time in random order, then silence, then judgement.

Rule: a seed and a number of operations determine everything, so a failing seed is replayed by naming it. Run with
`PYTHONHASHSEED=0`, for sets of text are iterated in the order of their hashes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

import structlog

from schemas.topics import Topic
from segmentation.model import ContactId
from tests.oracle.partitions import home_partition
from tests.oracle.reference import DefinitionInput, DeleteInput, Input, LogEntry, PoisonInput, TickInput, WriteInput
from tests.simulation.broker import SimulatedBroker
from tests.simulation.cluster import MEMBERS_MAX, Cluster, Parts
from tests.simulation.judgement import Reader, judge
from tests.simulation.virtual_loop import run_virtually
from tests.simulation.wire import encode
from tests.simulation.workload import START_MS, Workload
from tests.simulation.world import Chances, World

PARTITIONS = 2
QUIET_STEPS_MAX = 4_000
QUIET_STEP_S = 0.05
STORMY, CALM = 0.012, 0.002
"""How likely a process is killed, frozen or failed at one fault point."""

TOMBSTONES_KEPT_MS = 86_400_000
"""Kafka's `delete.retention.ms`."""
FORGETFUL, FORGET = 0.5, 0.3
"""In how many histories the broker forgets markers, and of how many transactions there."""
CLOCK_LEAP = 0.1
"""How likely the broker's clock, which is no machine's, has leapt ahead before a compaction: every tombstone goes."""

home = lru_cache(maxsize=1_000)(home_partition)


@dataclass
class Outcome:
    """What a seed showed."""

    seed: int
    violations: list[str]
    changes: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)


def say_nothing() -> None:
    """Have this process's services log nothing: of thousands of crashes nobody reads a line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def run_seed(seed: int, operations: int, parts: Parts | None = None, *, faults: bool = True) -> Outcome:
    """Run one history on a loop of its own."""
    return run_virtually(Simulation(seed, parts or Parts(), faults=faults).run(operations))


class Simulation:
    """The driver: everything that happens to the cluster from outside."""

    def __init__(self, seed: int, parts: Parts, *, faults: bool) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.broker = SimulatedBroker()
        self.world = World(self.rng, self.broker)
        self.cluster = Cluster(self.rng, self.world, PARTITIONS, parts)
        self.workload = Workload(self.rng)
        self.now = START_MS
        self.entries: dict[int, list[LogEntry]] = {partition: [] for partition in range(PARTITIONS)}
        self.readers = [Reader(self.broker, partition) for partition in range(PARTITIONS)]
        self._faults = faults
        self._forget = FORGET if faults and self.rng.random() < FORGETFUL else 0.0
        self._undelivered: dict[int, deque[DefinitionInput]] = {partition: deque() for partition in range(PARTITIONS)}

    async def run(self, operations: int) -> Outcome:
        """Storm, silence, judgement."""
        cluster, rng = self.cluster, self.rng
        for _ in range(MEMBERS_MAX):
            cluster.start()
        for _ in range(operations):
            if self._faults and rng.random() < 0.05:
                self._change_weather()
            await self._operate()
            cluster.look_after()
            for member in cluster.members:
                if member.working and rng.random() < 0.5:
                    cluster.feed(member, rng.choice((1, 2, 5, 50)))
            for reader in self.readers:
                if rng.random() < 0.2:
                    reader.read()
            if rng.random() < 0.7:
                await asyncio.sleep(rng.choice((0, 0, 0.005, 0.02, 0.1)))
        await self._come_to_rest()
        violations = cluster.violations or judge(self.broker, cluster, self.entries, self.readers)
        cluster.events["forget"] = self.world.forgotten
        changes = sum(len(reader.committed) for reader in self.readers)
        return Outcome(self.seed, violations, changes, self.world.kills, cluster.events)

    def _change_weather(self) -> None:
        level = self.rng.choice((0.0, 0.0, CALM, STORMY))
        self.world.chances = Chances(kill=level, freeze=level / 4, fail=level / 2, forget=self._forget)

    async def _operate(self) -> None:
        roll = self.rng.random()
        if roll < 0.94 or not self._faults:
            self._append_any()
        elif roll < 0.955:
            self.cluster.kill()
        elif roll < 0.97:
            self.cluster.rebalance()
        elif roll < 0.98:
            self.broker.expire(f"evaluator-{self.rng.randrange(PARTITIONS)}")
        else:
            self._compact()

    def _append_any(self) -> None:
        """One input. A tick goes to every partition, but may be missed or doubled there; so does a definition."""
        proposed = self.workload.any_input(self.now)
        self.now += self.workload.clock_step_ms(self.now)
        self.world.now_ms = self.now
        if isinstance(proposed, WriteInput | DeleteInput):
            for _ in range(2 if self.rng.random() < 0.05 else 1):  # a producer that heard no answer sends again
                self._append(home(proposed.contact_id, PARTITIONS), proposed)
        elif isinstance(proposed, PoisonInput):
            self._append(self.rng.randrange(PARTITIONS), proposed)
        elif isinstance(proposed, DefinitionInput):
            for waiting in self._undelivered.values():
                waiting.append(proposed)
        else:
            for partition in range(PARTITIONS):
                for _ in range(self.rng.choice((0, 1, 1, 1, 1, 2))):
                    self._append(partition, proposed)
        self._deliver_definitions()

    def _deliver_definitions(self) -> None:
        """Each partition gets every definition in order, at its own time, and sometimes one again."""
        for partition, waiting in self._undelivered.items():
            while waiting and self.rng.random() < 0.4:
                definition = waiting[0] if self.rng.random() < 0.1 else waiting.popleft()
                self._append(partition, definition)

    def _append(self, partition: int, proposed: Input) -> None:
        record = encode(self.rng, proposed, self.now, self._stranger(partition))
        offset = self.broker.produce(Topic.CONTACT_CHANGES, partition, record, self.now)
        self.entries[partition].append(LogEntry(offset, self.now, proposed))

    def _stranger(self, partition: int) -> ContactId:
        return next(each for each in _STRANGERS if home(each, PARTITIONS) != partition)

    def _compact(self) -> None:
        topic = self.rng.choice((Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG))
        log = self.broker.log(topic, self.rng.randrange(PARTITIONS))
        leapt = self.rng.random() < CLOCK_LEAP
        oldest_kept = self.world.now_ms + 1 if leapt else self.world.now_ms - TOMBSTONES_KEPT_MS
        log.compact(self.rng.randint(0, log.last_stable), oldest_kept)

    async def _come_to_rest(self) -> None:
        """No more faults: let everything be delivered, replaced, thawed, read and committed."""
        cluster = self.cluster
        self.world.chances = Chances()
        for partition, waiting in self._undelivered.items():
            for definition in waiting:
                self._append(partition, definition)
            self._append(partition, TickInput())
        for _ in range(QUIET_STEPS_MAX):
            cluster.look_after()
            for member in cluster.members:
                if member.working:
                    cluster.feed(member, 100)
            await asyncio.sleep(QUIET_STEP_S)
            if not cluster.left_out and all(self._is_done(partition) for partition in range(PARTITIONS)):
                break
        else:
            unfinished = [partition for partition in range(PARTITIONS) if not self._is_done(partition)]
            cluster.violations.append(f"partitions {unfinished}: expected to come to rest, found work that never ends")
        for reader in self.readers:
            reader.read()

    def _is_done(self, partition: int) -> bool:
        owned = self.cluster.owned(partition)
        if owned is None or owned.worker is None:
            return False
        state = owned.worker.partition
        return (
            state.next_offset == self.broker.log(Topic.CONTACT_CHANGES, partition).end
            and not state.behind_definitions
            and not state.due.any_due(state.clock)
            and not state.is_ahead
        )


_STRANGERS = tuple(ContactId(f"stranger{number}") for number in range(20))
