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
from pydantic import ValidationError

from schemas.evaluator_status import PartitionState, PartitionStatusRecord, decode_status
from schemas.topics import Topic, topic_name
from services.ingest.contact_log import Appended
from services.runtime import clock
from services.runtime.kafka import client_options
from services.runtime.logs import get_logger
from services.runtime.settings import RuntimeSettings

WAIT_MAX_S: Final = 30
CONNECTIONS_MAX: Final = 100
OUTCOMES_PATH: Final = "/internal/v1/outcomes"
POLL_TIMEOUT_MS: Final = 1_000
ASK_MARGIN_S: Final = 0.5
"""How much longer than the owner's own wait we give it to answer."""
RETRY_WAIT_S: Final = 0.05
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,4})\"?(?=$|[,;\s])", re.IGNORECASE)

Changes = list[dict[str, Any]]

log = get_logger("evaluation")


def wait_wanted_s(prefer: str | None) -> int:
    """How long the sender prefers to wait (`Prefer: wait=2`), at most `WAIT_MAX_S`; 0 if not at all."""
    found = _WAIT.search(prefer) if prefer is not None else None
    return min(int(found[1]), WAIT_MAX_S) if found is not None else 0


class Evaluation:
    """Asks owners about records. Use `close` at the end."""

    def __init__(self, settings: RuntimeSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._status = TopicPartition(topic_name(settings.topic_prefix, Topic.EVALUATOR_STATUS), 0)
        self._owners: dict[int, str] = {}
        self._learned = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._http = httpx.AsyncClient(limits=httpx.Limits(max_connections=CONNECTIONS_MAX), transport=transport)

    async def close(self) -> None:
        """Stop following and close connections."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        await self._http.aclose()

    async def changes_of(self, records: Sequence[Appended], wait_s: float) -> dict[Appended, Changes]:
        """The membership changes that each record caused. Shape: only the records evaluated within `wait_s`."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="evaluator status")
        by_partition: dict[int, list[Appended]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        deadline = clock.monotonic() + wait_s
        answers = await asyncio.gather(
            *(self._ask(partition, asked, deadline) for partition, asked in by_partition.items())
        )
        return {record: changes for answer in answers for record, changes in answer.items()}

    async def _ask(self, partition: int, records: list[Appended], deadline: float) -> dict[Appended, Changes]:
        """Ask the owner until it has told all, or time is up; an owner that is away may have a successor."""
        while (left_s := deadline - clock.monotonic()) > 0:
            owner = self._owners.get(partition)
            if owner is None:
                with contextlib.suppress(TimeoutError):
                    self._learned.clear()
                    await asyncio.wait_for(self._learned.wait(), left_s)
                continue
            told = await self._ask_once(owner, partition, records, left_s)
            if told is not None:
                return told
            await asyncio.sleep(min(RETRY_WAIT_S, left_s))
        return {}

    async def _ask_once(
        self, owner: str, partition: int, records: list[Appended], left_s: float
    ) -> dict[Appended, Changes] | None:
        """The owner's answer; None if it is worth asking again."""
        question = {
            "partition": partition,
            "offsets": [record.offset for record in records],
            "timeout_ms": max(1, int(left_s * 1000)),
        }
        try:
            answer = await self._http.post(
                owner + OUTCOMES_PATH,
                content=orjson.dumps(question),
                headers={"Content-Type": "application/json"},
                timeout=left_s + ASK_MARGIN_S,
            )
            if answer.status_code != httpx.codes.OK:
                return None
            outcomes = {outcome["offset"]: outcome for outcome in orjson.loads(answer.content)["outcomes"]}
        except (httpx.HTTPError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            log.info("the owner did not answer", partition=partition, error=type(error).__name__)
            return None
        return {
            record: outcomes[record.offset]["changes"]
            for record in records
            if outcomes.get(record.offset, {}).get("changes") is not None
        }

    async def _follow(self) -> None:
        """Learn who owns which partition, for as long as the process runs."""
        while True:
            consumer = AIOKafkaConsumer(
                enable_auto_commit=False, fetch_max_wait_ms=POLL_TIMEOUT_MS, **client_options(self._settings)
            )
            try:
                await consumer.start()
                consumer.assign([self._status])
                await consumer.seek_to_beginning()
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
        if value is None:
            return
        try:
            status = decode_status(value)
        except ValidationError as error:
            log.warning("a status record cannot be read", problems=error.error_count())
            return
        if not isinstance(status, PartitionStatusRecord):
            return
        if status.state is PartitionState.STOPPED:
            self._owners.pop(status.partition, None)
        else:
            self._owners[status.partition] = status.owner.rstrip("/")
            self._learned.set()
