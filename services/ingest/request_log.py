"""Claims requests, keeps their answers and tells what stands, through the `requests` topic.

Rule: a claim is won only once it was read back from the log; an answer is kept before it is given. Nobody is served
before what stood on the log at the start has been read: with a cold table every claim would time out.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.request_record import RequestRecord, RequestState
from schemas.topics import Topic, topic_name
from services.ingest.request_store import RequestStore, Step
from services.ingest.settings import IngestSettings
from services.runtime.errors import ServiceError
from services.runtime.kafka import client_options
from services.runtime.logs import get_logger

POLL_TIMEOUT_MS: Final = 1_000
RETRY_WAIT_S: Final = 1.0
TOLD_EVERY_S: Final = 5.0
"""How often a start that reads for long says how far it is."""
STORE_FILE: Final = "requests.sqlite"

log = get_logger("request_log")


class RequestLog:
    """Follows `requests` and appends to it. One per process."""

    def __init__(self, settings: IngestSettings, producer: Any) -> None:
        self._settings = settings
        self._producer = producer
        self._timeout_s = settings.append_timeout_ms / 1000
        self._partition = TopicPartition(topic_name(settings.topic_prefix, Topic.REQUESTS), 0)
        self._store: RequestStore | None = None
        self._read_through = -1
        self._progress = asyncio.Condition()

    def get(self, digest: str) -> tuple[RequestRecord, int] | None:
        """What stands for a request, and since when by the broker's clock."""
        if self._store is None:
            raise AssertionError("the log is not being followed")
        return self._store.get(digest)

    async def claim(self, digest: str, fingerprint: str) -> str | None:
        """Claim a request: the claim if it is ours now, None if another stands. Errors: ServiceError."""
        claim = secrets.token_hex(8)
        record = RequestRecord(state=RequestState.CLAIMED, claim=claim, fingerprint=fingerprint)
        try:
            async with asyncio.timeout(self._timeout_s):
                offset = await self._append(digest, record)
                async with self._progress:
                    await self._progress.wait_for(lambda: self._read_through >= offset)
        except TimeoutError as error:
            raise ServiceError("a claim was not read back in time", topic=self._partition.topic) from error
        standing = self.get(digest)
        return claim if standing is not None and standing[0].claim == claim else None

    async def settled(self, digest: str, timeout_s: float) -> None:
        """Return when no claim of the request stands open, or the time is up."""

        def is_settled() -> bool:
            standing = self.get(digest)
            return standing is None or standing[0].state is not RequestState.CLAIMED

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._progress:
                await self._progress.wait_for(is_settled)

    async def finish(self, digest: str, record: RequestRecord) -> None:
        """Keep an answer, or release the request. Errors: ServiceError."""
        await self._append(digest, record)

    async def _append(self, digest: str, record: RequestRecord) -> int:
        try:
            async with asyncio.timeout(self._timeout_s):
                sent = await self._producer.send_and_wait(
                    self._partition.topic, record.encode(), key=digest.encode(), partition=0
                )
        except (TimeoutError, KafkaError) as error:
            raise ServiceError("the broker did not answer in time", topic=self._partition.topic) from error
        return int(sent.offset)

    @contextlib.asynccontextmanager
    async def following(self, directory: Path, tell: Callable[[str], None] = lambda _: None) -> AsyncIterator[None]:
        """Fold the topic from where the local table stands to its end, then for as long as the process runs.

        `tell` is told how far the first part is. Errors: ServiceError when no broker answers.
        """
        self._store = RequestStore(directory / STORE_FILE, self._partition.topic)
        consumer = AIOKafkaConsumer(
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=POLL_TIMEOUT_MS,
            **client_options(self._settings),
        )
        try:
            await consumer.start()
            consumer.assign([self._partition])
            end = (await consumer.end_offsets([self._partition]))[self._partition]
            # A table that is ahead of the topic belongs to a topic that is gone.
            start = min(self._store.position, end)
            consumer.seek(self._partition, start)
            self._read_through = start - 1
            following = asyncio.create_task(self._follow(consumer, self._store), name="requests topic")
        except (KafkaError, OSError) as error:
            await consumer.stop()
            self._store.close()
            raise ServiceError(f"no Kafka broker answers at {self._settings.kafka_bootstrap}") from error
        try:
            await self._caught_up(end, following, tell)
            yield
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            await consumer.stop()
            self._store.close()

    async def _caught_up(self, end: int, following: asyncio.Task[None], tell: Callable[[str], None]) -> None:
        while self._read_through < end - 1:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TOLD_EVERY_S), self._progress:
                    await self._progress.wait_for(lambda: self._read_through >= end - 1)
                    return
            if following.done():
                following.result()
            tell(f"reading requests: {self._read_through + 1} of {end}")
            log.info("reading requests", read=self._read_through + 1, end=end)

    async def _follow(self, consumer: Any, store: RequestStore) -> None:
        while True:
            try:
                polled = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS)
            except KafkaError as error:
                log.warning("requests cannot be read", error=repr(error))
                await asyncio.sleep(RETRY_WAIT_S)
                continue
            position = await consumer.position(self._partition)
            if position - 1 > self._read_through:
                store.fold([step for record in polled.get(self._partition, ()) for step in _steps(record)], position)
                async with self._progress:
                    self._read_through = position - 1
                    self._progress.notify_all()


def _steps(record: Any) -> list[Step]:
    try:
        return [Step(record.key.decode(), record.timestamp, RequestRecord.decode(record.value))]
    except (ValidationError, AttributeError, UnicodeDecodeError):
        log.warning("a request record cannot be read", offset=record.offset)
        return []
