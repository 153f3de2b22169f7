"""The consumer of membership changes: current members first, then every change once, in order per contact.

Rule: a position is committed only after the body that handled it; changes are taken from committed transactions only,
and one whose version was applied before is skipped. A record that is no change is logged, counted and passed by. What
must not happen here: deciding what a change means.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import Any, Final, Literal, Self, get_args

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from schemas.topics import Topic, topic_name
from segmentation.model import SegmentId
from tidegate.changes import MembershipChange
from tidegate.errors import TidegateError
from tidegate.grouping import Delivery, PartitionReader, Unreadable
from tidegate.ledger import Ledger, MemoryLedger
from tidegate.positions import Standing, committed_standings
from tidegate.starting import start_or_stop

Start = Literal["snapshot", "earliest", "latest"]
"""Where a group begins that has committed nothing yet: with the current members, all kept changes, or only new ones."""

RECORDS_PER_POLL_MAX: Final = 1_000
POLL_TIMEOUT_MS: Final = 250
"""How long one poll waits; also how soon an empty partition's snapshot is noticed as complete."""
COMMIT_INTERVAL_S: Final = 0.2
"""Under load, positions are committed this often; when nothing waits, after every body."""

log = logging.getLogger("tidegate.memberships")


class Memberships:
    """Membership changes of some segments (or of all), as one of a group of consumers.

    ```python
    async with Memberships("localhost:9092", group="trial-emails", segments=["trial_ending"]) as changes:
        async for change in changes:
            ...
    ```

    A new group first meets the current members (`change.snapshot`), then changes. A crash repeats at most what was
    handled since the last commit; a `ledger` on disk, or in your own transaction, recognises those too.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        group: str,
        segments: Collection[str] | None = None,
        topic_prefix: str = "",
        start: Start = "snapshot",
        always_snapshot: bool = False,
        ledger: Ledger | None = None,
        **kafka: Any,
    ) -> None:
        """`always_snapshot` begins with the current members at every start, for a view kept in memory.

        `kafka` goes to the underlying consumer: security, client id, timeouts.

        Errors: TypeError, ValueError for arguments with which it would wait for ever, or begin elsewhere, in silence.
        """
        if isinstance(segments, str):
            raise TypeError(f"segments is a collection of ids, such as [{segments!r}]; a text is one of letters")
        if start not in get_args(Start):
            raise ValueError(f"start is one of {', '.join(get_args(Start))}, not {start!r}")
        self._bootstrap = bootstrap
        self._topic = topic_name(topic_prefix, Topic.MEMBERSHIPS)
        self._segments = None if segments is None else frozenset(SegmentId(segment) for segment in segments)
        self._start: Start = start
        self._always_snapshot = always_snapshot
        self._ledger = ledger if ledger is not None else MemoryLedger()
        self._group = group
        self._kafka = kafka
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            **kafka,
        )
        self._readers: dict[int, PartitionReader] = {}
        self._waiting: deque[Delivery] = deque()
        self._handled: dict[TopicPartition, int] = {}
        self._in_hand: Delivery | None = None
        self._in_part = False
        self._committed_at = 0.0
        self._failure: BaseException | None = None
        self._passed_by = 0

    async def __aenter__(self) -> Self:
        self._consumer.subscribe([self._topic], listener=_Assignments(self))
        await start_or_stop(self._consumer, self._bootstrap)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._in_part:
                self._complete()
            # When the body failed, its error is what counts; what could not be committed is repeated, as it must be.
            with suppress(KafkaError) if kind is not None else nullcontext():
                await self._commit()
        finally:
            await self._consumer.stop()
            self._ledger.close()

    async def __aiter__(self) -> AsyncGenerator[MembershipChange]:
        """Give the changes one by one; a cause's changes count as handled after the last of them."""
        async for changes in self.batches():
            for left, change in enumerate(changes, start=1 - len(changes)):
                self._in_part = left < 0
                yield change

    async def batches(self) -> AsyncGenerator[tuple[MembershipChange, ...]]:
        """Give all changes of one contact at one version together, so that its whole new state is acted on at once.

        Shape: at least one change; only wanted segments. In a snapshot, all current memberships of one contact.
        """
        while True:
            self._complete()
            delivery = await self._next()
            if delivery.unreadable is not None:
                self._pass_by(delivery.partition, delivery.unreadable)
            fresh = tuple(change for change in delivery.changes if self._ledger.admits(change))
            self._in_hand = Delivery(delivery.partition, fresh, delivery.resume_at)
            if fresh:
                yield fresh

    @property
    def passed_by(self) -> int:
        """How many records were no membership change. Each was logged with its place; somebody else wrote it."""
        return self._passed_by

    async def caught_up(self) -> bool:
        """Whether everything committed so far has been handed over. Cost: one broker request."""
        readers = list(self._readers.values())
        places = [TopicPartition(self._topic, reader.partition) for reader in readers]
        if not places or self._waiting or any(reader.snapshot_until is not None for reader in readers):
            return False
        ends = await self._consumer.end_offsets(places)
        for place in places:
            if place.partition not in self._readers or await self._consumer.position(place) < ends[place]:
                return False
        # What arrived while the broker was asked has moved the positions, and is not handed over yet.
        return not self._waiting

    def _pass_by(self, partition: int, unreadable: Unreadable) -> None:
        """Say and count what is no change. Nothing of what it holds is logged: it may be a secret."""
        self._passed_by += 1
        log.warning(
            "no membership change, passed by: topic %s, partition %d, offset %d (%s)",
            self._topic,
            partition,
            unreadable.offset,
            unreadable.reason,
        )

    def _complete(self) -> None:
        """Count what was in hand as handled: the body has run."""
        if self._in_hand is None:
            return
        delivery, self._in_hand = self._in_hand, None
        if delivery.changes:
            self._ledger.record(delivery.changes)
        if delivery.resume_at is not None and delivery.partition in self._readers:
            self._handled[TopicPartition(self._topic, delivery.partition)] = delivery.resume_at

    async def _next(self) -> Delivery:
        while not self._waiting:
            await self._commit()
            await self._poll()
        if asyncio.get_running_loop().time() - self._committed_at > COMMIT_INTERVAL_S:
            await self._commit()
        return self._waiting.popleft() if self._waiting else await self._next()

    async def _poll(self) -> None:
        """Read what has arrived. A partition without a reader is being assigned: it is read again from its start."""
        if self._failure is not None:
            raise TidegateError(f"cannot start reading {self._topic}: {self._failure}") from self._failure
        fetched = await self._consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=RECORDS_PER_POLL_MAX)
        for place, records in fetched.items():
            reader = self._readers.get(place.partition)
            if reader is None:
                continue
            for record in records:
                self._waiting.extend(reader.read(record.offset, record.key, record.value))
        for reader in list(self._readers.values()):
            if reader.snapshot_until is not None and await self._reached(reader):
                self._waiting.extend(reader.finish_snapshot())

    async def _reached(self, reader: PartitionReader) -> bool:
        """Whether everything below the snapshot's end has been read; what ends a log may be unreadable (markers)."""
        place = TopicPartition(self._topic, reader.partition)
        until = reader.snapshot_until
        if until is None or self._readers.get(reader.partition) is not reader:
            return False
        return reader.next_offset >= until or await self._consumer.position(place) >= until

    async def _commit(self) -> None:
        self._committed_at = asyncio.get_running_loop().time()
        if not self._handled:
            return
        handled, self._handled = self._handled, {}
        try:
            await self._consumer.commit(handled)
        except (CommitFailedError, IllegalStateError):
            # The group has moved on: another member owns these partitions and starts from the position before. What
            # was handled since is repeated there, which the version rule recognises.
            return
        except KafkaError:
            self._handled = {**handled, **self._handled}
            raise

    async def _assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Place a reader on each partition: where the group stands, or where it is to begin."""
        assigned = list(partitions)
        if not assigned:
            return
        ends = await self._consumer.end_offsets(assigned)
        begins = await self._consumer.beginning_offsets(assigned)
        known = {} if self._always_snapshot else await self._committed(assigned)
        fresh: dict[TopicPartition, Standing] = {}
        for place in assigned:
            if place not in known:
                fresh[place] = self._beginning(begins[place], ends[place])
        if fresh and not self._always_snapshot:
            await self._consumer.commit({place: standing.encode() for place, standing in fresh.items()})
        for place, standing in {**known, **fresh}.items():
            start = standing.offset if standing.snapshot_until is None else begins[place]
            reader = PartitionReader(place.partition, start, self._segments, standing.snapshot_until)
            self._readers[place.partition] = reader
            self._consumer.seek(place, start)

    async def _committed(self, places: list[TopicPartition]) -> dict[TopicPartition, Standing]:
        return await committed_standings(self._bootstrap, self._group, places, self._kafka)

    def _beginning(self, begin: int, end: int) -> Standing:
        """Where a group begins that has committed nothing."""
        if self._always_snapshot or self._start == "snapshot":
            return Standing(begin, snapshot_until=end)
        return Standing(begin if self._start == "earliest" else end)

    async def _revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """Commit what was handled and forget what waits: the next owner reads it again."""
        await self._commit()
        gone = {place.partition for place in partitions}
        for partition in gone:
            self._readers.pop(partition, None)
        self._waiting = deque(delivery for delivery in self._waiting if delivery.partition not in gone)


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types for it
    """Hands the group's decisions to the consumer. The client only logs what a listener raises, so it is kept."""

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._guarded(self._memberships._revoke(revoked))  # noqa: SLF001 - one unit with its consumer

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._guarded(self._memberships._assign(assigned))  # noqa: SLF001 - one unit with its consumer

    async def _guarded(self, step: Any) -> None:
        try:
            await step
        except CommitFailedError:
            # The group has moved on in the meantime; what it decides next is handed over again.
            return
        except KafkaError as error:
            self._memberships._failure = error  # noqa: SLF001 - raised by the next poll
