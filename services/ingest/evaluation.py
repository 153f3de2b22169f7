"""What came of a write: asks the partition's owner to wait until the record is evaluated and committed.

Rule: a courtesy to the sender, never a part of the write: whatever fails here, the write stands, and the answer says
that it was accepted. Owners are learned from their own status records, and followed only once somebody has asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Any, Final

import httpx
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import ContactId
from services.ingest.contact_log import Appended
from services.ingest.owner_records import learn_owner
from services.runtime import clock
from services.runtime.between import client_between
from services.runtime.errors import ServiceError
from services.runtime.kafka import client_options
from services.runtime.logs import get_logger
from services.runtime.settings import RuntimeSettings

WAIT_MAX_S: Final = 30
CONNECTIONS_MAX: Final = 100
OUTCOMES_PATH: Final = "/internal/v1/outcomes"
ATTRIBUTES_PATH: Final = "/internal/v1/attributes"
POLL_TIMEOUT_MS: Final = 1_000
ASK_MARGIN_S: Final = 0.5
"""How much longer than the owner's own wait we give it to answer."""
RETRY_WAIT_S: Final = 0.05
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})\"?(?=$|[,;\s])", re.IGNORECASE)

Changes = list[dict[str, Any]]


class OwnerAwayError(ServiceError):
    """No evaluator answered for a partition in time."""


log = get_logger("evaluation")


def wait_wanted_s(prefer: Sequence[str]) -> int:
    """How long the sender prefers to wait (`Prefer: wait=2`), at most `WAIT_MAX_S`; 0 if not at all.

    Shape: the header as often as it was sent; of two preferences the first counts.
    """
    found = _WAIT.search(",".join(prefer))
    return min(int(found[1]), WAIT_MAX_S) if found is not None else 0


class Evaluation:
    """Asks owners about records. Use `close` at the end."""

    def __init__(self, settings: RuntimeSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._status = TopicPartition(topic_name(settings.topic_prefix, Topic.EVALUATOR_STATUS), 0)
        self._owners: dict[int, str] = {}
        self._learned = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._http = client_between(transport, CONNECTIONS_MAX)

    async def close(self) -> None:
        """Stop following and close connections."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        await self._http.aclose()

    async def changes_of(self, records: Sequence[Appended], wait_s: float) -> dict[Appended, Changes]:
        """The membership changes that each record caused. Shape: only the records evaluated within `wait_s`."""
        by_partition: dict[int, list[Appended]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        deadline = clock.monotonic() + wait_s
        answers = await asyncio.gather(
            *(self._outcomes(partition, asked, deadline) for partition, asked in by_partition.items())
        )
        told = {Appended(partition, outcome["offset"]): outcome for answer in answers for partition, outcome in answer}
        return {record: outcome["changes"] for record, outcome in told.items() if outcome["changes"] is not None}

    async def is_evaluated(self, record: Appended, wait_s: float) -> bool:
        """Whether a record, and so all before it in its partition, is evaluated and committed within `wait_s`."""
        outcomes = await self._outcomes(record.partition, [record], clock.monotonic() + wait_s)
        return any(outcome["committed"] for _, outcome in outcomes)

    async def attributes_of(self, contact_id: ContactId, wait_s: float) -> dict[str, Any] | None:
        """A contact's committed attributes; None if there is no such contact. Errors: OwnerAwayError."""
        partition = partition_for(contact_id, self._settings.partitions)
        question = {"partition": partition, "contact_ids": [contact_id]}
        answer = await self._ask(partition, ATTRIBUTES_PATH, question, clock.monotonic() + wait_s)
        if answer is None:
            raise OwnerAwayError("the contact's owner did not answer in time", partition=partition)
        attributes: dict[str, Any] | None = answer["contacts"].get(contact_id)
        return attributes

    async def _outcomes(
        self, partition: int, records: list[Appended], deadline: float
    ) -> list[tuple[int, dict[str, Any]]]:
        question = {
            "partition": partition,
            "offsets": [record.offset for record in records],
            "timeout_ms": max(1, int((deadline - clock.monotonic()) * 1000)),
        }
        answer = await self._ask(partition, OUTCOMES_PATH, question, deadline)
        return [(partition, outcome) for outcome in answer["outcomes"]] if answer is not None else []

    async def _ask(self, partition: int, path: str, question: dict[str, Any], deadline: float) -> Any:
        """The owner's answer, asking whoever that is by now until time is up; None if nobody answered."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="evaluator status")
        while (left_s := deadline - clock.monotonic()) > 0:
            owner = self._owners.get(partition)
            if owner is None:
                self._learned.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._learned.wait(), left_s)
                continue
            try:
                answer = await self._http.post(
                    owner + path,
                    content=orjson.dumps(question),
                    headers={"Content-Type": "application/json"},
                    timeout=left_s + ASK_MARGIN_S,
                )
                if answer.status_code == httpx.codes.OK:
                    return orjson.loads(answer.content)
            except (httpx.HTTPError, httpx.InvalidURL, orjson.JSONDecodeError) as error:
                log.info("the owner did not answer", partition=partition, error=type(error).__name__)
            await asyncio.sleep(min(RETRY_WAIT_S, left_s))
        return None

    async def _follow(self) -> None:
        """Learn who owns which partition, for as long as the process runs."""
        while True:
            consumer = AIOKafkaConsumer(
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=POLL_TIMEOUT_MS,
                **client_options(self._settings),
            )
            try:
                await consumer.start()
                consumer.assign([self._status])
                consumer.seek(self._status, 0)
                while True:
                    polled = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS)
                    for record in polled.get(self._status, ()):
                        self._take(record.value)
            except (KafkaError, OSError) as error:
                log.warning("owners cannot be read", error=repr(error))
                await asyncio.sleep(1)
            finally:
                await consumer.stop()

    def _take(self, value: bytes | None) -> None:
        if learn_owner(self._owners, value):
            self._learned.set()
