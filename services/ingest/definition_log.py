"""The segments and attribute declarations as their topics tell them, and the only way to add to them.

Rule: nothing is known here but what was read from the log, own records included: a proposal is appended, read back at
its own offset, and only then accepted or not. So of two racing edits every process sees the same winner.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.attribute_declaration import AttributeDeclarationRecord
from schemas.definitions import definition_of
from schemas.events import Headers
from schemas.segment_definition import KEY_NAME_HEADER, SegmentDefinitionRecord
from schemas.topics import Topic, topic_name
from segmentation.attributes import AttributeCatalogue, AttributeDeclaration
from segmentation.errors import Rejection
from segmentation.model import AttributeName, SegmentId
from segmentation.registry import Refusal, RefusalCode, SegmentRegistry
from services.ingest import metrics
from services.ingest.segment_history import SegmentHistory
from services.ingest.settings import IngestSettings
from services.runtime.errors import ServiceError
from services.runtime.following import Followed, Following, pass_by
from services.runtime.logs import get_logger

OUTCOMES_MAX: Final = 10_000
"""How many acceptances are remembered for those who wait for their own."""

log = get_logger("definition_log")


class UnacknowledgedError(ServiceError):
    """A record was not acknowledged, or not read back, in time; whether it stands is not known."""


@dataclass(frozen=True, slots=True)
class KnownSegment:
    """A segment's newest accepted record and when the broker took it."""

    record: SegmentDefinitionRecord
    at_ms: int


class DefinitionTopics(Followed):
    """Follows `segments` and `attributes` from their beginnings. One per process."""

    def __init__(self, settings: IngestSettings, producer: Any) -> None:
        self._producer = producer
        self._timeout_s = settings.append_timeout_ms / 1000
        self._segments = TopicPartition(topic_name(settings.topic_prefix, Topic.SEGMENTS), 0)
        self._attributes = TopicPartition(topic_name(settings.topic_prefix, Topic.ATTRIBUTES), 0)
        self._known: dict[SegmentId, KnownSegment] = {}
        self._declared: dict[AttributeName, AttributeDeclarationRecord] = {}
        self._catalogue = AttributeCatalogue.empty()
        self._outcomes: OrderedDict[tuple[TopicPartition, int], Refusal | None] = OrderedDict()
        super().__init__(Following(settings, {self._segments: 0, self._attributes: 0}, self._take))
        self.registry = SegmentRegistry()
        self.history = SegmentHistory()

    @property
    def segments(self) -> Mapping[SegmentId, KnownSegment]:
        """The newest accepted record of every segment ever defined, deleted ones included."""
        return MappingProxyType(self._known)

    @property
    def declared(self) -> Mapping[AttributeName, AttributeDeclarationRecord]:
        """Every declared attribute."""
        return MappingProxyType(self._declared)

    @property
    def catalogue(self) -> AttributeCatalogue:
        """The declarations as the language sees them."""
        return self._catalogue

    def check(self, record: SegmentDefinitionRecord) -> Refusal | None:
        """What accepting the record now would say; the log may have moved on when it is read back."""
        definition = definition_of(record)
        if isinstance(definition, Rejection):
            raise AssertionError("a record made from a canonical expression cannot be read")
        return self.registry.check(definition)

    async def propose(self, record: SegmentDefinitionRecord, key_name: str) -> Refusal | None:
        """Append a definition and wait for its acceptance; None once it is in force. Errors: UnacknowledgedError."""
        headers = [(KEY_NAME_HEADER, key_name.encode(errors="replace"))]
        return await self._append(self._segments, record.segment_id, record.encode(), headers)

    async def declare(self, name: AttributeName, record: AttributeDeclarationRecord | None) -> None:
        """Append a declaration, or its end, and wait until it is read back. Errors: UnacknowledgedError."""
        await self._append(self._attributes, name, record.encode() if record is not None else None)

    async def _append(
        self, partition: TopicPartition, key: str, value: bytes | None, headers: Headers = ()
    ) -> Refusal | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                sent = await self._producer.send_and_wait(
                    partition.topic, value, key=key.encode(), partition=partition.partition, headers=list(headers)
                )
                await self.passed(partition, sent.offset)
        except (TimeoutError, KafkaError) as error:
            raise UnacknowledgedError("the broker did not answer in time", topic=partition.topic) from error
        return self._outcomes.get((partition, sent.offset))

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read both topics to their present ends, then go on reading. Errors: ServiceError."""
        async with super().following():
            log.info("definitions read", segments=len(self._known), attributes=len(self._declared))
            yield

    def _take(self, partition: TopicPartition, records: Sequence[Any], _: int) -> None:
        for record in records:
            if partition == self._attributes:
                self._take_declaration(record)
                continue
            outcome = self._take_definition(record)
            metrics.SEGMENT_RECORDS_READ.labels(str(outcome is None).lower()).inc()
            self._outcomes[(partition, record.offset)] = outcome
            if len(self._outcomes) > OUTCOMES_MAX:
                self._outcomes.popitem(last=False)

    def _take_definition(self, taken: Any) -> Refusal | None:
        try:
            record = SegmentDefinitionRecord.decode(taken.value or b"")
        except ValidationError as error:
            return _unreadable(taken, error, "the record is not a segment definition")
        definition = definition_of(record)
        if isinstance(definition, Rejection):
            found = definition.problems[0]
            return _unreadable(taken, ServiceError(f"its expression cannot be read: {found.code}"), found.message)
        refusal = self.registry.accept(definition)
        if refusal is None:
            before = self._known.get(record.segment_id)
            replaced = None if before is None else before.record
            self.history.take(taken.offset, taken.timestamp, replaced, record, taken.headers)
            self._known[record.segment_id] = KnownSegment(record, taken.timestamp)
        return refusal

    def _take_declaration(self, taken: Any) -> None:
        try:
            name = AttributeName(taken.key.decode())
            declared = None if taken.value is None else AttributeDeclarationRecord.decode(taken.value)
        except (ValidationError, AttributeError, UnicodeDecodeError) as error:
            pass_by(taken, error)
            return
        if declared is None:
            self._declared.pop(name, None)
        else:
            self._declared[name] = declared
        self._catalogue = AttributeCatalogue.of(
            {known: AttributeDeclaration(record.type, record.direction) for known, record in self._declared.items()}
        )


def _unreadable(taken: Any, error: Exception, reason: str) -> Refusal:
    pass_by(taken, error)
    return Refusal(RefusalCode.LOST_RACE, reason, "save the segment again with this version of Tidegate")
