"""The simulated world behind the evaluator's ports: machines, disks and connections that fail by seed.

Every asynchronous call of a port is a fault point: the process may be killed there (before or after the effect), frozen
and thawed later, delayed, or answered with an error although the effect took place. A killed process never runs again:
its tasks wait for ever, as no handler of theirs would run after a `kill -9`. Rule: all chance comes from one generator.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from random import Random

from schemas.topics import Topic
from segmentation.model import InstantMs
from services.evaluator.ledger import OUTPUTS, Ledger
from services.evaluator.ports import Bounds, Drained, LogError, OutputRecord, TopicPart
from tests.simulation.broker import SimulatedBroker

WRITES_LOST_MAX = 3
"""How many of its last writes a disk may lose when the power goes: the store does not sync each one."""
DELAY_MS_MAX = 40
DRAIN_RECORDS = 7
FORGET_ALL = 0.7
"""How likely a broker that forgets markers forgets all of a transaction's; if not, it has stood still."""
DOUBT_AFTER_MS = 3 * DELAY_MS_MAX
SHAKEN_POINTS, SHAKEN_KILL = 20, 0.05
"""After a broker has forgotten markers, so many fault points are this dangerous: its clients have had trouble too."""
STANDSTILL_S = DOUBT_AFTER_MS / 1_000 + 0.03


POINTS: Mapping[str, float] = {
    **dict.fromkeys(("fence:before", "fence:after", "open:before", "open:after"), 1.0),
    **dict.fromkeys(("positions", "connect", "ends", "bounds"), 2.0),
    **dict.fromkeys(("decide:before", "decide:after"), 10.0),
    **{f"drain {topic}": 1.0 for topic in (Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG)},
    **{f"drain {topic}": 80.0 for topic in (Topic.MEMBERSHIPS, Topic.DEAD_LETTERS)},
    "begin": 1.0,
    **{f"append {topic}:{when}": 1.0 for topic in OUTPUTS for when in ("before", "after")},
    **dict.fromkeys((f"append {Topic.DEAD_LETTERS}:before", f"append {Topic.DEAD_LETTERS}:after"), 5.0),
    **dict.fromkeys(("acknowledge:before", "acknowledge:after", "commit:before", "commit:after"), 1.0),
}
"""Every fault point: each await between reading state and committing it, and how much likelier a kill is there than
elsewhere, for points that are rarely passed. A full run must have killed at each of them."""


class ProcessDeadError(BaseException):
    """Raised from a synchronous call of a killed process; nothing catches it."""


class Chances:
    """How likely each fault is at each fault point. Units: probabilities."""

    def __init__(self, kill: float = 0.0, freeze: float = 0.0, fail: float = 0.0, forget: float = 0.0) -> None:
        self.kill = kill
        self.freeze = freeze
        self.fail = fail
        self.forget = forget
        """At the end of a transaction: that the broker writes none of its markers."""


class Process:
    """One incarnation of a partition's owner."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.thawed: asyncio.Event | None = None
        """Set while frozen: what its tasks wait for."""


class World:
    """Chance, time and the broker, shared by all processes."""

    def __init__(self, rng: Random, broker: SimulatedBroker) -> None:
        self.rng = rng
        self.broker = broker
        self.now_ms = 0
        self.chances = Chances()
        self.kills: Counter[str] = Counter()
        self.forgotten = 0
        self._shaken = 0
        broker.forgets = self._forgets

    def wall_ms(self) -> InstantMs:
        """The clock on the wall of every machine."""
        return InstantMs(self.now_ms)

    def _forgets(self, partitions: Sequence[TopicPart]) -> Sequence[TopicPart]:
        """In which of a transaction's partitions the broker writes no marker: all, or some after a standstill."""
        if not self.chances.forget or self.rng.random() >= self.chances.forget:
            return ()
        self.forgotten += 1
        self._shaken = SHAKEN_POINTS
        if self.rng.random() < FORGET_ALL:
            return partitions
        return [each for each in partitions if self.rng.random() < 0.5]

    async def point(self, process: Process, name: str, *, may_fail: bool = False) -> None:
        """A named fault point. Errors: LogError when a failure is due and the call may fail."""
        roll = self.rng.random()
        chances = self.chances
        kill = max(chances.kill * POINTS[name], SHAKEN_KILL if self._shaken else 0.0)
        self._shaken = max(0, self._shaken - 1)
        if roll < kill:
            self.kills[name] += 1
            process.dead = True
        elif roll < kill + chances.freeze and process.thawed is None:
            process.thawed = asyncio.Event()
        elif roll < kill + chances.freeze + chances.fail and may_fail and not process.dead:
            raise LogError(f"simulated failure at {name}")
        elif roll > 0.9:
            await asyncio.sleep(self.rng.random() * DELAY_MS_MAX / 1_000)
        elif roll > 0.5:
            await asyncio.sleep(0)
        while process.dead or process.thawed is not None:
            if process.dead:
                await asyncio.get_running_loop().create_future()
            elif process.thawed is not None:
                await process.thawed.wait()


class SimulatedLog:
    """`TransactionalLog` on the simulated broker. Appends reach it in order, some at once and some only later."""

    def __init__(self, world: World, process: Process, partition: int, group: str = "evaluator") -> None:
        self._world = world
        self._process = process
        self._partition = partition
        self._id = f"{group}-{partition}"
        self._epoch = -1
        self._unsent: deque[tuple[Topic, Sequence[OutputRecord], Sequence[Topic]]] = deque()
        self._ends: dict[Topic, int] = {}
        self._ledger = Ledger()

    async def start(self) -> None:
        """Fence former owners."""
        await self._world.point(self._process, "fence:before")
        self._epoch = self._world.broker.take_over(self._id)
        await self._world.point(self._process, "fence:after")

    async def begin(self) -> None:
        """Open a transaction."""
        self._ends = {}
        self._ledger.begin()
        await self._world.point(self._process, "begin", may_fail=True)

    async def append(self, topic: Topic, records: Sequence[OutputRecord]) -> None:
        """Queue records and let some of the queue reach the broker."""
        await self._world.point(self._process, f"append {topic}:before", may_fail=True)
        named = sorted(self._ledger.name(topic))
        self._unsent.append((topic, self._ledger.enter(topic, list(records)), named))
        while self._unsent and self._world.rng.random() < 0.6:
            self._flush_one()
        await self._world.point(self._process, f"append {topic}:after")

    async def acknowledged(self) -> Mapping[Topic, int]:
        """Flush the queue."""
        await self._world.point(self._process, "acknowledge:before", may_fail=True)
        while self._unsent:
            self._flush_one()
        self._ledger.acknowledged(self._ends)
        await self._world.point(self._process, "acknowledge:after", may_fail=True)
        return dict(self._ends)

    async def commit(self, offset: int, *, tell_group: bool) -> None:
        """Commit; a failure may come before or after the broker has done it."""
        await self._world.point(self._process, "commit:before", may_fail=True)
        position = offset if tell_group else None
        if not self._world.broker.commit(self._id, self._epoch, self._partition, position):
            await asyncio.sleep(STANDSTILL_S)
        self._ledger.committed()
        await self._world.point(self._process, "commit:after", may_fail=True)

    async def decide(self, topics: Sequence[Topic], *, commit: bool) -> None:
        """End a transaction without records."""
        await self._world.point(self._process, "decide:before", may_fail=True)
        broker = self._world.broker
        broker.name(self._id, self._epoch, [(topic, self._partition) for topic in topics])
        if commit:
            broker.commit(self._id, self._epoch, self._partition, None)
        else:
            broker.abort(self._id, self._epoch)
        await self._world.point(self._process, "decide:after", may_fail=True)

    def begin_at(self, ends: Mapping[Topic, int]) -> None:
        """Know where the topics end."""
        self._ledger.begin_at(ends)

    async def close(self) -> None:
        """Drop what was not sent."""
        self._unsent.clear()

    def _flush_one(self) -> None:
        topic, records, named = self._unsent.popleft()
        # Part of a batch list may arrive and the rest be lost with the process.
        self._world.broker.name(self._id, self._epoch, [(each, self._partition) for each in named])
        target = (topic, self._partition)
        self._ends[topic] = self._world.broker.append(self._id, self._epoch, target, records, self._world.now_ms)


class Disk:
    """The rows of one partition on one machine, and how to undo the last writes."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.holder: Process | None = None
        self._undo: deque[dict[bytes, bytes | None]] = deque(maxlen=WRITES_LOST_MAX)

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Apply all rows."""
        self._undo.append({key: self.rows.get(key) for key in rows})
        self._apply(rows)

    def lose_power(self, rng: Random) -> None:
        """Forget some of the last writes, the newest first, as a log that was not synced does."""
        for _ in range(rng.randint(0, len(self._undo))):
            self._apply(self._undo.pop())

    def wipe(self) -> None:
        """Lose everything."""
        self.rows.clear()
        self.keys.clear()
        self._undo.clear()

    def _apply(self, rows: Mapping[bytes, bytes | None]) -> None:
        for key, value in rows.items():
            if value is not None:
                if key not in self.rows:
                    insort(self.keys, key)
                self.rows[key] = value
            elif self.rows.pop(key, None) is not None:
                del self.keys[bisect_left(self.keys, key)]


class SimulatedStore:
    """`Store` on a simulated disk, which one living process holds at a time."""

    def __init__(self, process: Process, disk: Disk) -> None:
        if disk.holder is not None:
            raise AssertionError(f"{process.name} opens a disk that {disk.holder.name} still holds")
        disk.holder = process
        self._process = process
        self._disk = disk

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of keys."""
        return [self._open().rows.get(key) for key in keys]

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """All rows or none."""
        self._open().write(rows)

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Rows in key order."""
        disk = self._open()
        first = bisect_left(disk.keys, start)
        last = min(bisect_left(disk.keys, end), first + limit)
        return [(key, disk.rows[key]) for key in disk.keys[first:last]]

    def checkpoint(self, path: Path) -> None:
        """Not simulated."""
        raise AssertionError(f"the simulated store makes no checkpoint in {path}")

    def close(self) -> None:
        """Release the disk."""
        if self._disk.holder is self._process:
            self._disk.holder = None

    def _open(self) -> Disk:
        if self._process.dead:
            raise ProcessDeadError
        return self._disk


class SimulatedChangelogs:
    """`Changelogs` on the simulated broker."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def start(self) -> None:
        """Connect."""
        await self._world.point(self._process, "connect", may_fail=True)

    async def close(self) -> None:
        """Disconnect."""

    async def bounds(self, topic: Topic, partition: int) -> Bounds:
        """First and last stable offset now."""
        await self._world.point(self._process, "bounds", may_fail=True)
        log = self._world.broker.log(topic, partition)
        # Compaction leaves holes but never moves the beginning of a log.
        return Bounds(0, log.last_stable)

    async def ends(self, wanted: Collection[TopicPart]) -> dict[TopicPart, Bounds]:
        """Last stable offsets and ends."""
        await self._world.point(self._process, "ends", may_fail=True)
        logs = {at: self._world.broker.log(*at) for at in wanted}
        return {at: Bounds(log.last_stable, log.end) for at, log in logs.items()}

    async def drain(self, starts: Mapping[TopicPart, Bounds], *, undecided: bool = False) -> AsyncIterator[Drained]:
        """The records of the ranges, a few at a time; a compaction may run in between."""
        for (topic, partition), at in starts.items():
            first = at.first
            while first < at.end:
                await self._world.point(self._process, f"drain {topic}", may_fail=True)
                log = self._world.broker.log(topic, partition)
                found = (log.stored if undecided else log.committed)(first, at.end)[:DRAIN_RECORDS]
                if not found:
                    break
                first = found[-1].offset + 1
                yield Drained(topic, partition, found)
