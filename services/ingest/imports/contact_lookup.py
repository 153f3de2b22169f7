"""Reads the present attributes of contacts from the evaluators that own them, for dry runs.

Rule: reads only, and only what an evaluator has committed. Owners are learned from their own status records when they
are needed, and learned anew when one does not answer; after a bounded number of attempts it is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import ContactId
from services.ingest.imports.dry_run import Attributes, ContactsUnavailableError
from services.ingest.owner_records import learn_owner
from services.runtime.between import client_between
from services.runtime.kafka import client_options
from services.runtime.settings import RuntimeSettings

ATTRIBUTES_PATH: Final = "/internal/v1/attributes"
CONTACTS_ASKED_MAX: Final = 500
"""How many contacts one request asks for."""
ATTEMPTS_MAX: Final = 5
BACK_OFF_MAX_S: Final = 2.0
ANSWER_WITHIN_S: Final = 10.0
POLL_TIMEOUT_MS: Final = 500


class OwnersLookup:
    """The contacts as their owners know them. `close` at the end."""

    def __init__(self, settings: RuntimeSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._status = TopicPartition(topic_name(settings.topic_prefix, Topic.EVALUATOR_STATUS), 0)
        self._owners: dict[int, str] = {}
        self._http = client_between(transport, timeout=ANSWER_WITHIN_S)

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def attributes_of(self, contact_ids: Sequence[ContactId]) -> Mapping[ContactId, Attributes]:
        """The attributes of those contacts that exist. Errors: ContactsUnavailableError.

        Cost: for each partition, a request per `CONTACTS_ASKED_MAX` contacts.
        """
        by_partition: dict[int, list[ContactId]] = {}
        for contact_id in contact_ids:
            by_partition.setdefault(partition_for(contact_id, self._settings.partitions), []).append(contact_id)
        questions = [
            (partition, asked[start : start + CONTACTS_ASKED_MAX])
            for partition, asked in by_partition.items()
            for start in range(0, len(asked), CONTACTS_ASKED_MAX)
        ]
        answers = await asyncio.gather(*(self._ask(partition, asked) for partition, asked in questions))
        return {contact_id: attributes for answer in answers for contact_id, attributes in answer.items()}

    async def _ask(self, partition: int, contact_ids: list[ContactId]) -> dict[ContactId, Attributes]:
        """Ask one partition's owner, whoever that is by now."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(ContactsUnavailableError),
            wait=wait_exponential(multiplier=0.2, max=BACK_OFF_MAX_S),
            stop=stop_after_attempt(ATTEMPTS_MAX),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                return await self._ask_once(partition, contact_ids)
        raise AssertionError("a retried question is neither answered nor given up")

    async def _ask_once(self, partition: int, contact_ids: list[ContactId]) -> dict[ContactId, Attributes]:
        if partition not in self._owners:
            self._owners |= await self._read_owners()
        owner = self._owners.pop(partition, None)
        if owner is None:
            raise ContactsUnavailableError("nobody owns the partition", partition=partition)
        question = orjson.dumps({"partition": partition, "contact_ids": contact_ids})
        try:
            answer = await self._http.post(
                owner + ATTRIBUTES_PATH, content=question, headers={"Content-Type": "application/json"}
            )
            answer.raise_for_status()
            found: dict[ContactId, Attributes] = orjson.loads(answer.content)["contacts"]
        except (httpx.HTTPError, httpx.InvalidURL, orjson.JSONDecodeError, KeyError) as error:
            raise ContactsUnavailableError(f"{owner} does not answer: {error!r}", partition=partition) from error
        self._owners[partition] = owner
        return found

    async def _read_owners(self) -> dict[int, str]:
        """Who owns which partition, from the beginning of the status topic to its present end."""
        consumer: Any = AIOKafkaConsumer(
            enable_auto_commit=False, auto_offset_reset="earliest", **client_options(self._settings)
        )
        owners: dict[int, str] = {}
        try:
            await consumer.start()
            consumer.assign([self._status])
            end = (await consumer.end_offsets([self._status]))[self._status]
            consumer.seek(self._status, 0)
            while await consumer.position(self._status) < end:
                for record in (await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS)).get(self._status, ()):
                    learn_owner(owners, record.value)
        except (KafkaError, OSError) as error:
            raise ContactsUnavailableError(f"the owners cannot be read: {error!r}") from error
        finally:
            await consumer.stop()
        return owners
