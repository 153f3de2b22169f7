"""An in-process broker with Kafka's rules for what the product uses: logs, transactions, fencing, compaction.

Kept from Kafka: offsets grow by one and control markers take one each; a reader of committed records sees nothing at
or beyond the last stable offset, and no aborted record; one open transaction a transactional id; a newer owner of the
id, or a time-out, aborts the open transaction and fences the older owner for ever; a committed group offset becomes
visible with its transaction; compaction keeps the newest value of each key, leaves holes and may drop old tombstones.
A marker decides whatever its transactional id wrote in that partition since the marker before: where the broker forgets
a marker, as one did that came back from a standstill, what was written waits for the next.
Rule: synchronous and without chance. When things happen, and what is lost on the way, is `world.py`'s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from schemas.topics import Topic
from services.evaluator.ports import FencedError, OutputRecord

TopicPartition = tuple[Topic, int]


class Outcome(Enum):
    """How a transaction stands."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(slots=True, eq=False)
class Transaction:
    """What one transaction touched, and what its coordinator says of it."""

    transactional_id: str
    outcome: Outcome = Outcome.OPEN
    partitions: set[TopicPartition] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Span:
    """What one transactional id wrote in one partition between two markers, and what the later marker says of it."""

    first: int
    outcome: Outcome = Outcome.OPEN


@dataclass(slots=True, frozen=True)
class StoredRecord:
    """One record of a log, with the fields of a consumer's record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    transaction: Transaction | None
    span: Span | None

    @property
    def is_committed(self) -> bool:
        """Whether readers of committed records are given it."""
        return self.span is None or self.span.outcome is Outcome.COMMITTED

    @property
    def is_acknowledged(self) -> bool:
        """Whether its writer may have been told that it is committed, whatever readers see."""
        return self.transaction is None or self.transaction.outcome is Outcome.COMMITTED


def offset_of(record: StoredRecord) -> int:
    """What logs are sorted by."""
    return record.offset


class PartitionLog:
    """One partition of one topic."""

    def __init__(self) -> None:
        self.records: list[StoredRecord] = []
        self.end = 0
        self.open: dict[str, Span] = {}
        """By transactional id, what no marker has decided yet."""
        self.told: list[StoredRecord] = []
        """What is gone although its writer had been told that it is committed: it was aborted and then compacted."""

    def append(self, record: OutputRecord, timestamp: int, transaction: Transaction | None) -> int:
        """Store one record; its offset."""
        offset = self.end
        span = None
        if transaction is not None:
            span = self.open.setdefault(transaction.transactional_id, Span(offset))
        self.records.append(
            StoredRecord(offset, timestamp, record.key, record.value, record.headers, transaction, span)
        )
        self.end += 1
        return offset

    def finish(self, transactional_id: str, outcome: Outcome) -> None:
        """Write a marker."""
        span = self.open.pop(transactional_id, None)
        if span is not None:
            span.outcome = outcome
        self.end += 1

    @property
    def last_stable(self) -> int:
        """The offset before which everything is decided."""
        return min((span.first for span in self.open.values()), default=self.end)

    def committed(self, first: int, end: int | None = None) -> list[StoredRecord]:
        """What a reader of committed records sees of `first` <= offset < `end`."""
        stop = self.last_stable if end is None else min(end, self.last_stable)
        return [record for record in self.stored(first, stop) if record.is_committed]

    def stored(self, first: int, end: int) -> list[StoredRecord]:
        """What a reader of all records sees of `first` <= offset < `end`."""
        start = bisect_left(self.records, first, key=offset_of)
        return self.records[start : bisect_left(self.records, end, lo=start, key=offset_of)]

    def compact(self, stop: int, tombstones_before: int) -> None:
        """Keep the newest committed record of each key before `stop`; records from there on stay as they are.

        A tombstone from before the instant `tombstones_before` goes too: whoever has not read it by then never will.
        """
        self.told += [
            each
            for each in self.stored(0, min(stop, self.last_stable))
            if each.is_acknowledged and not each.is_committed
        ]
        newest = {record.key: record.offset for record in self.committed(0, stop)}
        self.records = [
            record
            for record in self.records
            if record.offset >= min(stop, self.last_stable)
            or (
                newest.get(record.key) == record.offset
                and not (record.value is None and record.timestamp < tombstones_before)
            )
        ]


def forget_nothing(partitions: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
    """The markers of every partition are written."""
    return partitions[:0]


class SimulatedBroker:
    """All logs, the producers' epochs and the group's committed input positions.

    `forgets` is asked at the end of each transaction: in which of its partitions no marker is written.
    """

    def __init__(self) -> None:
        self.logs: dict[TopicPartition, PartitionLog] = {}
        self.positions: dict[int, int] = {}
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}
        self.forgets: Callable[[Sequence[TopicPartition]], Sequence[TopicPartition]] = forget_nothing

    def log(self, topic: Topic, partition: int) -> PartitionLog:
        """A partition's log, created when first named."""
        return self.logs.setdefault((topic, partition), PartitionLog())

    def produce(self, topic: Topic, partition: int, record: OutputRecord, timestamp: int) -> int:
        """Append outside any transaction; the offset."""
        return self.log(topic, partition).append(record, timestamp, None)

    def take_over(self, transactional_id: str) -> int:
        """Become the owner: abort what the former one left open, and fence it. Gives the new epoch."""
        open_transaction = self._open.pop(transactional_id, None)
        if open_transaction is not None:
            self._finish(open_transaction, Outcome.ABORTED)
        self._epochs[transactional_id] = self._epochs.get(transactional_id, -1) + 1
        return self._epochs[transactional_id]

    def append(
        self, transactional_id: str, epoch: int, target: TopicPartition, records: Iterable[OutputRecord], timestamp: int
    ) -> int:
        """Append inside the owner's transaction; the offset after the last record."""
        self._check(transactional_id, epoch)
        transaction = self._name(transactional_id, target)
        log = self.log(*target)
        for record in records:
            log.append(record, timestamp, transaction)
        return log.end

    def name(self, transactional_id: str, epoch: int, targets: Iterable[TopicPartition]) -> None:
        """Have the owner's transaction end in these partitions too."""
        self._check(transactional_id, epoch)
        for target in targets:
            self._name(transactional_id, target)

    def abort(self, transactional_id: str, epoch: int) -> None:
        """Abort the owner's transaction."""
        self._check(transactional_id, epoch)
        transaction = self._open.pop(transactional_id, None)
        if transaction is not None:
            self._finish(transaction, Outcome.ABORTED)

    def commit(self, transactional_id: str, epoch: int, partition: int, position: int | None) -> bool:
        """Commit the owner's transaction together with the group's position, if it is told.

        False if it is marked in some of its partitions only. The position needs a marker as well: where none is written
        at all, it waits and is replaced by the next.
        """
        self._check(transactional_id, epoch)
        transaction = self._open.pop(transactional_id, None)
        named = len(transaction.partitions) if transaction is not None else 0
        marked = self._finish(transaction, Outcome.COMMITTED) if transaction is not None else 0
        if position is not None and (marked or not named):
            self.positions[partition] = position
        return marked in (0, named)

    def expire(self, transactional_id: str) -> None:
        """Abort a transaction that was open for too long; its owner is fenced."""
        if transactional_id in self._open:
            self.take_over(transactional_id)

    def is_open(self, transactional_id: str) -> bool:
        """Whether a transaction is open."""
        return transactional_id in self._open

    def _check(self, transactional_id: str, epoch: int) -> None:
        if self._epochs.get(transactional_id) != epoch:
            raise FencedError(
                f"{transactional_id} at epoch {epoch} was fenced by epoch {self._epochs.get(transactional_id)}"
            )

    def _name(self, transactional_id: str, target: TopicPartition) -> Transaction:
        transaction = self._open.setdefault(transactional_id, Transaction(transactional_id))
        transaction.partitions.add(target)
        self.log(*target)
        return transaction

    def _finish(self, transaction: Transaction, outcome: Outcome) -> int:
        """End a transaction; how many of its markers were written."""
        transaction.outcome = outcome
        targets = sorted(transaction.partitions)
        forgotten = self.forgets(targets)
        for target in targets:
            if target not in forgotten:
                self.logs[target].finish(transaction.transactional_id, outcome)
        return len(targets) - len(forgotten)
