"""Reads small topics whole and goes on reading them, for a service that knows nothing but what its log says.

Rule: what was appended counts once it was read back, so whoever appends waits for its own offset. A broker that is
away and a taker that cannot take now are waited for; any other failure ends `reading`, and with it the process, because
one that reads no more would serve what was true once. Knows Kafka, not what the records mean.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from services.runtime.errors import ServiceError
from services.runtime.kafka import client_options
from services.runtime.logs import get_logger
from services.runtime.metrics import UNREADABLE_LOG_RECORDS
from services.runtime.settings import RuntimeSettings

FETCH_WAIT_MS: Final = 5_000
"""The broker answers at once when there is something; this is only how long it waits when there is nothing."""
POLL_TIMEOUT_MS: Final = 10_000
RETRY_WAIT_S: Final = 1.0
TOLD_EVERY_S: Final = 5.0
"""How often a start that reads for long says how far it is."""

FAULTS_TOLD_MAX: Final = 5
"""Of one record."""

log = get_logger("following")

CAUGHT_UP_WITHIN_S = 60.0
"""Within this a topic of our own that is read whole is read to its end, or the start has failed."""
Told = TypeVar("Told")
Taker = Callable[[TopicPartition, Sequence[Any], int], None]
"""Takes the next records of a partition, in order, and the offset after them. Raises `ServiceError` only if it has
taken none of them and may be given them again."""
Forgetter = Callable[[TopicPartition], None]
"""Forgets what it took of a partition before: that one is gone, and what follows is another one from its beginning."""


def count_from_zero(topic: str) -> None:
    """Show that nothing unreadable was found yet: of a counter that begins at 1, nobody sees that it has grown."""
    UNREADABLE_LOG_RECORDS.labels(topic)


def pass_by(record: Any, error: Exception) -> None:
    """Count and log a record that cannot be read: someone wrote it past us, or with a later version of ours.

    Nothing of what it holds is logged: it may be a secret.
    """
    UNREADABLE_LOG_RECORDS.labels(record.topic).inc()
    log.warning(
        "a record cannot be read",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=_reason(error),
    )


def readable(record: Any, decode: Callable[[bytes], Told]) -> Told | None:
    """What a record tells; None for a tombstone, and for one without sense, which is passed by."""
    try:
        return None if record.value is None else decode(record.value)
    except ValidationError as error:
        pass_by(record, error)
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return _faults(error)
    return str(error) if isinstance(error, ServiceError) else type(error).__name__


def _faults(error: ValidationError) -> str:
    """What a model found wrong and where, without what it found."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"/{'/'.join(map(str, fault['loc']))}: {fault['type']}" for fault in found[:FAULTS_TOLD_MAX])


class Following:
    """Reads partitions, each in order from where it is told to start; use `running`."""

    def __init__(
        self,
        settings: RuntimeSettings,
        starts: Mapping[TopicPartition, int],
        take: Taker,
        forget: Forgetter = lambda _: None,
    ) -> None:
        self._settings = settings
        self._next = dict(starts)
        self._take = take
        self._forget = forget
        self._progress = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None
        for partition in starts:
            count_from_zero(partition.topic)

    @property
    def reading(self) -> asyncio.Task[None]:
        """The task that reads; it ends by itself only when something is broken."""
        if self._reading is None:
            raise AssertionError("nothing is being read yet")
        return self._reading

    async def passed(self, partition: TopicPartition, offset: int) -> None:
        """Return once the record at an offset has been taken."""
        await self.until(lambda: self._next[partition] > offset)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once something holds; it is looked at after each reading."""
        async with self._progress:
            await self._progress.wait_for(holds)

    @contextlib.asynccontextmanager
    async def running(
        self, tell: Callable[[str], None] = lambda _: None, within_s: float | None = None
    ) -> AsyncIterator[None]:
        """Read to the present ends, then go on until the end of the block.

        `tell` is told how far the first part is. Errors: ServiceError when no broker answers, or if the first part
        takes longer than `within_s`; what `take` fails with in it.
        """
        consumer = AIOKafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            **client_options(self._settings),
        )
        try:
            ends = await self._started(consumer)
            self._reading = asyncio.create_task(self._read_on(consumer), name="following")
            try:
                async with asyncio.timeout(within_s):
                    await self._caught_up(ends, tell)
            except TimeoutError as error:
                raise ServiceError(f"{self._names} could not be read to the end within {within_s:.0f} s") from error
            yield
        finally:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.wait([self._reading])
            await consumer.stop()

    @property
    def _names(self) -> str:
        return " and ".join(sorted({partition.topic for partition in self._next}))

    async def _started(self, consumer: Any) -> dict[TopicPartition, int]:
        """Connect and seek; where the partitions end. Who is ahead of a topic has read one that is gone: begin anew."""
        try:
            await consumer.start()
            consumer.assign(list(self._next))
            ends: dict[TopicPartition, int] = await consumer.end_offsets(list(self._next))
        except (KafkaError, OSError) as error:
            raise ServiceError(f"no Kafka broker answers at {self._settings.kafka_bootstrap}") from error
        for partition, end in ends.items():
            if self._next[partition] > end:
                self._forget(partition)
                self._next[partition] = 0
            # An explicit offset: a seek to the beginning can be overtaken by the client's own first reset.
            consumer.seek(partition, self._next[partition])
        return ends

    async def _caught_up(self, ends: Mapping[TopicPartition, int], tell: Callable[[str], None]) -> None:
        caught_up = asyncio.create_task(self.until(lambda: all(self._next[at] >= end for at, end in ends.items())))
        try:
            while not caught_up.done():
                await asyncio.wait({caught_up, self.reading}, timeout=TOLD_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                if self.reading.done():
                    self.reading.result()
                if not caught_up.done():
                    for partition, end in ends.items():
                        if self._next[partition] < end:
                            tell(f"reading {partition.topic}: {self._next[partition]} of {end}")
        finally:
            caught_up.cancel()

    async def _read_on(self, consumer: Any) -> None:
        while True:
            try:
                await self._read(consumer)
            except (KafkaError, ServiceError) as error:
                log.warning("cannot be read now", topics=self._names, error=str(error), cause=repr(error.__cause__))
                for partition, offset in self._next.items():
                    consumer.seek(partition, offset)
                await asyncio.sleep(RETRY_WAIT_S)

    async def _read(self, consumer: Any) -> None:
        polled = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS)
        for partition in self._next:
            position = await consumer.position(partition)
            if position > self._next[partition]:
                self._take(partition, polled.get(partition, ()), position)
                self._next[partition] = position
        async with self._progress:
            self._progress.notify_all()


class Followed:
    """What a process holds of topics that it reads whole; `following` keeps it at the present."""

    def __init__(self, following: Following) -> None:
        self._following = following

    @property
    def reading(self) -> asyncio.Task[None]:
        """The task that follows; it ends by itself only when something is broken."""
        return self._following.reading

    async def passed(self, partition: TopicPartition, offset: int) -> None:
        """Return once the record at an offset has been taken."""
        await self._following.passed(partition, offset)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read to the present end, then go on until the end of the block. Errors: ServiceError."""
        async with self._following.running(within_s=CAUGHT_UP_WITHIN_S):
            yield
