"""The way of contact changes to the broker: acknowledged by all replicas, or refused in bounded time and space.

Rule: what is reported as appended is on the log with acks=all. What is not acknowledged in time is reported so,
although it may still arrive: writing it again is harmless. Bytes in the client's buffer are counted and bounded, so
that a slow broker costs answers of 503 and never memory; while the broker acknowledges nothing at all, only a few are
taken, to see when it does again, and the rest is refused at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError

from schemas.events import CONTACT_CHANGED_HEADERS, Headers, identified
from schemas.partitioner import partition_for_key
from services.ingest import metrics
from services.ingest.admission import Admitted
from services.runtime import clock
from services.runtime.logs import Seldom, get_logger

if TYPE_CHECKING:
    from services.runtime.tracing import Tracing

BUFFERED_BYTES_MAX: Final = 32 * 1024 * 1024
STALLED_BYTES_MAX: Final = 1024 * 1024
"""Buffered at most while nothing is acknowledged."""
STALLED_AFTER_S: Final = 1.5
"""Without any acknowledgement, while some are awaited."""
WAIT_MIN_S: Final = 0.5
"""How long even a request waits whose body took its time to arrive."""
RECORD_OVERHEAD_BYTES: Final = 512
"""What one buffered record costs beside its value: key, headers, future."""
CHUNK_RECORDS: Final = 100
"""Records handed over before other requests get a turn."""

TRACED_RECORDS_MAX: Final = 10
"""Of one request's records, how many carry its trace: a batch of a thousand need not be followed whole."""
_UNTRACED: Final[list[tuple[str, bytes]]] = []

log = Seldom(get_logger("contact_log"))


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a record stands in the log."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class NotAppended:
    """The broker did not acknowledge it in time; `reason` is for the log, not for the sender."""

    reason: str


Outcome = Appended | NotAppended


class ContactLog:
    """Appends to `contact-changes` through one producer, which the owner starts and stops."""

    def __init__(
        self, producer: Any, topic: str, partitions: int, timeout_ms: int, tracing: Tracing | None = None
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._timeout_s = timeout_ms / 1000
        self._tracing = tracing
        self._buffered_bytes = 0
        self._progress_at = 0.0

    @property
    def buffered_bytes(self) -> int:
        """Handed over and not yet acknowledged."""
        return self._buffered_bytes

    def is_stalled(self) -> bool:
        """Whether records wait for the broker, and it has acknowledged none for a while."""
        return self._buffered_bytes > 0 and clock.monotonic() - self._progress_at > STALLED_AFTER_S

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more may be handed over now. The first ones always may: they tell when it goes on."""
        bytes_max = STALLED_BYTES_MAX if self.is_stalled() else BUFFERED_BYTES_MAX
        return self._buffered_bytes + size <= bytes_max

    async def append(self, records: Sequence[Admitted], arrived_at: float | None = None) -> list[Outcome]:
        """Append in order and wait for the acknowledgements. Shape: one outcome a record, in order.

        `arrived_at`: when the request did, by the monotonic clock; the wait counts from there.
        """
        size = sum(len(record.value) + RECORD_OVERHEAD_BYTES for record in records)
        if not self.has_room(size):
            return self._all_refused(records, "the buffer is full")
        began = clock.monotonic()
        wait_s = self._timeout_s if arrived_at is None else max(WAIT_MIN_S, arrived_at + self._timeout_s - began)
        futures: list[asyncio.Future[Any]] = []
        self._hold(size)
        tracing = self._tracing
        span = nullcontext(_UNTRACED) if tracing is None else tracing.appending(self._topic, len(records))
        try:
            with span as traced:
                async with asyncio.timeout(wait_s):
                    await self._hand_over(records, futures, traced)
                    await _settled(futures)
        except TimeoutError:
            log.warning("append not acknowledged in time", records=len(records), buffered=self._buffered_bytes)
        except KafkaError as error:
            log.warning("append failed", records=len(records), error=repr(error))
        finally:
            self._release_when_done(size, futures)
        metrics.APPEND_SECONDS.observe(clock.monotonic() - began)
        outcomes = [_outcome(future) for future in futures]
        outcomes.extend(NotAppended("not handed over in time") for _ in range(len(records) - len(futures)))
        appended = sum(isinstance(outcome, Appended) for outcome in outcomes)
        metrics.CONTACT_CHANGES_APPENDED.inc(appended)
        metrics.CONTACT_CHANGES_UNACKNOWLEDGED.inc(len(outcomes) - appended)
        return outcomes

    async def append_one(self, contact_id: str, value: bytes | None, headers: Headers) -> Outcome:
        """Append one record with headers of its own and wait for the acknowledgement."""
        size = len(value or b"") + RECORD_OVERHEAD_BYTES
        if not self.has_room(size):
            metrics.CONTACT_CHANGES_UNACKNOWLEDGED.inc()
            return NotAppended("the buffer is full")
        key = contact_id.encode()
        partition = partition_for_key(key, self._partitions)
        futures: list[asyncio.Future[Any]] = []
        self._hold(size)
        try:
            async with asyncio.timeout(self._timeout_s):
                futures.append(await self._producer.send(self._topic, value, key, partition, headers=list(headers)))
                await asyncio.shield(futures[0])
        except (TimeoutError, KafkaError) as error:
            log.warning("append failed", records=1, error=repr(error))
        finally:
            self._release_when_done(size, futures)
        outcome = _outcome(futures[0]) if futures else NotAppended("not handed over in time")
        appended = isinstance(outcome, Appended)
        (metrics.CONTACT_CHANGES_APPENDED if appended else metrics.CONTACT_CHANGES_UNACKNOWLEDGED).inc()
        return outcome

    async def _hand_over(
        self, records: Sequence[Admitted], futures: list[asyncio.Future[Any]], traced: Sequence[tuple[str, bytes]]
    ) -> None:
        send = self._producer.send
        headers = [*CONTACT_CHANGED_HEADERS, *traced] if traced else CONTACT_CHANGED_HEADERS
        for count, record in enumerate(records, 1):
            key = record.contact_id.encode()
            partition = partition_for_key(key, self._partitions)
            told = identified(headers, record.message_id)
            futures.append(await send(self._topic, record.value, key, partition, headers=told))
            if count == TRACED_RECORDS_MAX:
                headers = CONTACT_CHANGED_HEADERS
            if count % CHUNK_RECORDS == 0:
                await asyncio.sleep(0)

    def _all_refused(self, records: Sequence[Admitted], reason: str) -> list[Outcome]:
        metrics.CONTACT_CHANGES_UNACKNOWLEDGED.inc(len(records))
        return [NotAppended(reason) for _ in records]

    def _hold(self, size: int) -> None:
        if self._buffered_bytes == 0:
            self._progress_at = clock.monotonic()
        self._buffered_bytes += size
        metrics.BUFFERED_BYTES.set(self._buffered_bytes)

    def _release_when_done(self, size: int, futures: Sequence[asyncio.Future[Any]]) -> None:
        """Count the bytes until the client has let go of every record, which may be after we gave up on it."""
        waiting = {future for future in futures if not future.done()}
        if len(waiting) < len(futures):
            self._note_progress(futures)
        if not waiting:
            self._hold(-size)
            return

        def settle(future: asyncio.Future[Any]) -> None:
            self._note_progress((future,))
            waiting.discard(future)
            if not waiting:
                self._hold(-size)

        for future in list(waiting):
            future.add_done_callback(settle)

    def _note_progress(self, futures: Sequence[asyncio.Future[Any]]) -> None:
        """The broker acknowledges, if it acknowledged one of these. A failure is read, and so not called forgotten."""
        settled = [future for future in futures if future.done() and not future.cancelled()]
        succeeded = [future for future in settled if future.exception() is None]
        if succeeded:
            self._progress_at = clock.monotonic()


async def _settled(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Wait until each is acknowledged or failed; one that fails alone raises."""
    if len(futures) == 1:
        await asyncio.shield(futures[0])
    else:
        await asyncio.wait(futures)


def _outcome(future: asyncio.Future[Any]) -> Outcome:
    if not future.done():
        return NotAppended("not acknowledged in time")
    error = future.exception()
    if error is not None:
        return NotAppended(repr(error))
    metadata = future.result()
    return Appended(metadata.partition, metadata.offset)
