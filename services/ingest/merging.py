"""Merges one contact into another: the remaining one gains what it lacks, the other is erased.

Rule: both records are in one Kafka transaction, and evaluators read committed records only, so either both happen or
neither, whatever crashes. Both contacts are read after everything that was on the log when the merge began, and the
records are committed only if nothing about them came between: what another process or sender wrote meanwhile is read
first. Merges of one process that share a contact take turns, so that they need not be repeated for one another.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.events import CONTACT_CHANGED_HEADERS, identified
from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import AttributeName, ContactId, Value
from services.ingest.admission import Admitted
from services.ingest.contact_log import Appended
from services.ingest.contact_watch import ContactsChangedError, ContactWatch
from services.ingest.evaluation import Evaluation, OwnerAwayError
from services.ingest.settings import IngestSettings
from services.runtime.errors import ServiceError
from services.runtime.kafka import client_options
from services.runtime.logs import get_logger

TRANSACTION_TIMEOUT_MS: Final = 10_000
"""After this the broker aborts the transaction of a process that died; until then its partitions wait."""
EVALUATED_WITHIN_S: Final = 10.0
"""An evaluator with nothing to write commits its position only every few seconds."""
TURN_WITHIN_S: Final = 10.0
"""How long a merge waits for earlier ones of its contacts."""

log = get_logger("merging")


class MergeUncertainError(ServiceError):
    """The broker did not say whether the transaction was committed."""


class ContactsBusyError(ServiceError):
    """The contacts are written, or merged by others, all the time."""


@dataclass(frozen=True, slots=True)
class ReadContacts:
    """Contacts as of one moment. `attributes`: of each in turn, None if it does not exist.

    `ends`: by partition of theirs, where on the log begins what may not have been read.
    """

    attributes: list[dict[str, Any] | None]
    ends: dict[int, int]


def attributes_gained(merged: Mapping[str, Value], remaining: Mapping[str, Value]) -> dict[AttributeName, Value]:
    """What the remaining contact gains: every attribute that it has not itself."""
    return {AttributeName(name): value for name, value in merged.items() if name not in remaining}


class Merging:
    """Reads contacts as of now, and writes two records or none. One per process."""

    def __init__(self, settings: IngestSettings, evaluation: Evaluation) -> None:
        self._settings = settings
        self._evaluation = evaluation
        self._topic = topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES)
        self._transactional_id = f"{settings.topic_prefix}ingest-merge-{uuid.uuid4().hex}"
        self._producer: Any = None
        self._writing = asyncio.Lock()
        self._under_way: dict[ContactId, asyncio.Future[None]] = {}

    async def close(self) -> None:
        """Disconnect."""
        await self._discard()

    @contextlib.asynccontextmanager
    async def turn(self, contact_ids: set[ContactId]) -> AsyncIterator[None]:
        """Alone with these contacts among the merges of this process. Errors: ContactsBusyError."""
        try:
            async with asyncio.timeout(TURN_WITHIN_S):
                while earlier := {self._under_way[one] for one in contact_ids if one in self._under_way}:
                    await asyncio.wait(earlier)
        except TimeoutError as error:
            raise ContactsBusyError("earlier merges of the contacts are still under way") from error
        ended = asyncio.get_running_loop().create_future()
        self._under_way.update(dict.fromkeys(contact_ids, ended))
        try:
            yield
        finally:
            for one in contact_ids:
                del self._under_way[one]
            ended.set_result(None)

    async def read(self, contact_ids: list[ContactId]) -> ReadContacts:
        """The contacts after all that is on the log now.

        Errors: OwnerAwayError when an evaluator is away or behind; ServiceError when the broker is.
        """
        partitions = {partition_for(one, self._settings.partitions) for one in contact_ids}
        ends = await self._wait_for_evaluation(partitions)
        attributes = [await self._evaluation.attributes_of(one, EVALUATED_WITHIN_S) for one in contact_ids]
        return ReadContacts(attributes, ends)

    async def write(self, records: list[Admitted], ends: Mapping[int, int]) -> list[Appended]:
        """Append all records or none; none if anything about their contacts stands behind `ends`, as they were read.

        Errors: ContactsChangedError; MergeUncertainError; ServiceError when none was appended.
        """
        contact_ids = [record.contact_id for record in records]
        async with self._writing:
            producer = await self._connected()
            committing = False
            try:
                async with (
                    asyncio.timeout(self._settings.append_timeout_ms / 1000) as limit,
                    ContactWatch.watching(self._settings, self._topic, contact_ids, ends) as watch,
                ):
                    # What came long before is looked through while no transaction keeps evaluators waiting.
                    await watch.up_to_now()
                    await producer.begin_transaction()
                    sent = [await self._sent(producer, record) for record in records]
                    await self._unless_changed(producer, watch, sent)
                    committing = True
                    await producer.commit_transaction()
                    # However long it takes to close the reader, this is committed.
                    limit.reschedule(None)
            except (KafkaError, OSError, TimeoutError) as error:
                # Never aborted by hand: the broker does it, and a new producer goes on.
                await self._discard()
                if committing:
                    raise MergeUncertainError("the broker did not answer the commit", topic=self._topic) from error
                raise ServiceError("the broker did not take the records", topic=self._topic) from error
            return sent

    async def _sent(self, producer: Any, record: Admitted) -> Appended:
        sent = await producer.send_and_wait(
            self._topic,
            record.value,
            record.contact_id.encode(),
            partition_for(record.contact_id, self._settings.partitions),
            headers=identified(CONTACT_CHANGED_HEADERS, record.message_id),
        )
        return Appended(sent.partition, sent.offset)

    async def _unless_changed(self, producer: Any, watch: ContactWatch, sent: list[Appended]) -> None:
        """End the transaction if something came before its records, or between those that share a partition.

        Errors: ContactsChangedError, KafkaError.
        """
        own = sorted((record.partition, record.offset) for record in sent)
        try:
            await watch.up_to(dict(own), own)  # of a partition the last offset
        except ContactsChangedError:
            await producer.abort_transaction()
            raise

    async def _wait_for_evaluation(self, partitions: set[int]) -> dict[int, int]:
        # The end of all that is written, not of what is decided: a merge that was just committed is behind a marker
        # that may not be in its partition yet, and evaluators pass it only then.
        consumer = AIOKafkaConsumer(isolation_level="read_uncommitted", **client_options(self._settings))
        try:
            async with asyncio.timeout(self._settings.append_timeout_ms / 1000):
                await consumer.start()
                ends = await consumer.end_offsets([TopicPartition(self._topic, partition) for partition in partitions])
        except (KafkaError, OSError, TimeoutError) as error:
            raise ServiceError("the end of the log could not be read", topic=self._topic) from error
        finally:
            await consumer.stop()
        for partition, end in ends.items():
            last = Appended(partition.partition, end - 1)
            if end > 0 and not await self._evaluation.is_evaluated(last, EVALUATED_WITHIN_S):
                raise OwnerAwayError("the evaluator is away or behind", partition=partition.partition)
        return {partition.partition: end for partition, end in ends.items()}

    async def _connected(self) -> Any:
        if self._producer is None:
            producer = AIOKafkaProducer(
                transactional_id=self._transactional_id,
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                request_timeout_ms=self._settings.append_timeout_ms,
                **client_options(self._settings),
            )
            try:
                await producer.start()
            except (KafkaError, OSError) as error:
                await producer.stop()
                raise ServiceError("no transaction could be begun", topic=self._topic) from error
            self._producer = producer
        return self._producer

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError):
                await producer.stop()
