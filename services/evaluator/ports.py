"""The seams between a partition's worker and the world: the broker's log and the local store, as small protocols.

Rule: everything that can fail, wait or be crashed into stands behind one of these, so that the simulation runs the real
worker against a simulated world. They speak of records, offsets and rows, never of contacts or segments. The real ones
are `kafka_log.py` (aiokafka) and `store.py` (RocksDB).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from schemas.topics import Topic
from services.runtime.errors import ServiceError

Headers = Sequence[tuple[str, bytes]]
TopicPart = tuple[Topic, int]
"""One partition of a topic."""
RECORD_BYTES = 200
"""What a record takes in memory besides its key, value and headers, about."""


class LogError(ServiceError):
    """The broker refused or lost something inside a transaction: the worker must stop before it touches local state."""


class FencedError(LogError):
    """Another process owns this partition now. Nothing of the open transaction is or will be visible as committed."""


class StoreError(ServiceError):
    """The local disk refused a read or a write (full, corrupt, gone). The committed truth is still on the broker."""


class StoreUnavailableError(StoreError):
    """The machine or another process stands in the way of the local state; of what is stored this says nothing bad."""


class InputRecord(Protocol):
    """One record of the input log, as aiokafka's ConsumerRecord is. `timestamp` is the broker's, in milliseconds."""

    @property
    def offset(self) -> int:
        """Position in the partition."""

    @property
    def timestamp(self) -> int:
        """Broker time in milliseconds."""

    @property
    def key(self) -> bytes | None:
        """The contact id, or None for ticks and definitions."""

    @property
    def value(self) -> bytes | None:
        """The bytes as produced."""

    @property
    def headers(self) -> Headers:
        """Names with bytes, in order."""


class OutputRecord(NamedTuple):
    """One record to append. A value of None is a tombstone."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Bounds(NamedTuple):
    """What a topic partition holds for a reader of committed records: `first` <= offset < `end`."""

    first: int
    end: int


class TransactionalLog(Protocol):
    """One partition's outputs: at most one open transaction, fenced to one owner by its transactional id.

    The order is begin, append (any number), acknowledged, commit. After any exception the transaction is dead and the
    owner must discard this object and everything that it has not committed.
    """

    async def begin(self) -> None:
        """Open a transaction. Local: nothing goes to the broker until the first append."""

    async def append(self, topic: Topic, records: Sequence[OutputRecord]) -> None:
        """Hand records to the broker in order, inside the transaction, to this partition of `topic`.

        May return before they are acknowledged; readers of uncommitted records may see them from here on.
        """

    async def acknowledged(self) -> Mapping[Topic, int]:
        """Wait for every append of this transaction. Shape: topic → offset after the last record appended to it."""

    async def commit(self, offset: int, *, tell_group: bool) -> None:
        """Commit the appends, and if `tell_group` with them the consumer group's next input record, `offset`."""

    async def close(self) -> None:
        """Release connections. An open transaction is left to be aborted by the broker or the next owner."""


class Undecided(Protocol):
    """What ends transactions of one partition's former owners that the broker left without an outcome."""

    async def decide(self, topics: Sequence[Topic], *, commit: bool) -> None:
        """End a transaction without records that has this partition of each topic in it.

        Its markers decide what earlier transactions of this id left without one; to be called before the first append.
        """

    def begin_at(self, ends: Mapping[Topic, int]) -> None:
        """Everything in this partition of the topics is decided, and they end there."""


class Store(Protocol):
    """An ordered map of bytes on the local disk. Synchronous: no other task runs between a read and a write."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of `keys`, None where absent."""

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Put (or, for None, delete) all rows or none."""

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` rows with `start` <= key < `end`, in key order. No cursor outlives the call."""

    def checkpoint(self, path: Path) -> None:
        """Make a consistent copy in a new directory, by hard links where the file system has them."""

    def close(self) -> None:
        """Flush and release the files. Idempotent."""


class Changelogs(Protocol):
    """Committed records of the changelog topics, read without a consumer group."""

    async def bounds(self, topic: Topic, partition: int) -> Bounds:
        """First and last stable offset now. Call after fencing, when no former owner's transaction is open."""

    async def ends(self, wanted: Collection[TopicPart]) -> Mapping[TopicPart, Bounds]:
        """The last stable offset of each, before which everything has an outcome, and the end of the log."""

    def drain(self, starts: Mapping[TopicPart, Bounds], *, undecided: bool = False) -> AsyncIterator[Drained]:
        """Every committed record with `first` <= offset < `end` for each topic partition, in offset order within it.

        Aborted records and markers are left out; compaction may have left holes, and records behind `end` may come
        along. If `undecided`, every record: for ranges of which nothing has an outcome.
        """


class Drained(NamedTuple):
    """One batch of one changelog partition."""

    topic: Topic
    partition: int
    records: Sequence[InputRecord]
