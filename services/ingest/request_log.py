"""Claims requests, keeps their answers and tells what stands, through the `requests` topic.

Rule: a claim is won only once it was read back from the log; an answer is kept before it is given. Nobody is served
before what stood on the log at the start has been read: with a cold table every claim would time out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.request_record import RequestRecord, RequestState
from schemas.topics import Topic, topic_name
from services.ingest.request_store import RequestStore, Step, source_of
from services.ingest.settings import IngestSettings
from services.runtime.errors import ServiceError
from services.runtime.following import Following, pass_by
from services.runtime.topics import cluster_of

STORE_FILE: Final = "requests.sqlite"


class RequestLog:
    """Follows `requests` and appends to it. One per process."""

    def __init__(self, settings: IngestSettings, producer: Any) -> None:
        self._settings = settings
        self._producer = producer
        self._timeout_s = settings.append_timeout_ms / 1000
        self._partition = TopicPartition(topic_name(settings.topic_prefix, Topic.REQUESTS), 0)
        self._store: RequestStore | None = None
        self._following: Following | None = None

    def get(self, digest: str) -> tuple[RequestRecord, int] | None:
        """What stands for a request, and since when by the broker's clock."""
        return self._table.get(digest)

    async def claim(self, digest: str, record: RequestRecord) -> bool:
        """Claim a request: whether it is ours now, or another claim stands.

        Errors: ServiceError when that is not known; the claim may stand all the same, now or in a moment.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                offset = await self._append(digest, record)
                await self._followed.passed(self._partition, offset)
        except TimeoutError as error:
            raise ServiceError("a claim was not read back in time", topic=self._partition.topic) from error
        standing = self.get(digest)
        return standing is not None and standing[0].claim == record.claim

    async def settled(self, digest: str, timeout_s: float) -> None:
        """Return when no claim of the request stands open, or the time is up."""

        def is_settled() -> bool:
            standing = self.get(digest)
            return standing is None or standing[0].state is not RequestState.CLAIMED

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._followed.until(is_settled)

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

    @property
    def reading(self) -> asyncio.Task[None]:
        """The task that follows; it ends by itself only when something is broken."""
        return self._followed.reading

    @contextlib.asynccontextmanager
    async def following(self, directory: Path, tell: Callable[[str], None] = lambda _: None) -> AsyncIterator[None]:
        """Fold the topic from where the local table stands to its end, then for as long as the process runs.

        `tell` is told how far the first part is. Errors: ServiceError when no broker answers.
        """
        source = source_of(self._partition.topic, await cluster_of(self._settings))
        self._store = store = RequestStore(directory / STORE_FILE, source)
        self._following = Following(
            self._settings, {self._partition: store.position}, self._fold, lambda _: store.forget()
        )
        try:
            async with self._following.running(tell):
                yield
        finally:
            store.close()

    def _fold(self, _: TopicPartition, records: Sequence[Any], position: int) -> None:
        self._table.fold([step for record in records for step in _steps(record)], position)

    @property
    def _table(self) -> RequestStore:
        if self._store is None:
            raise AssertionError("the log is not being followed")
        return self._store

    @property
    def _followed(self) -> Following:
        if self._following is None:
            raise AssertionError("the log is not being followed")
        return self._following


def _steps(record: Any) -> list[Step]:
    try:
        return [Step(record.key.decode(), record.timestamp, RequestRecord.decode(record.value))]
    except (ValidationError, AttributeError, UnicodeDecodeError) as error:
        pass_by(record, error)
        return []
