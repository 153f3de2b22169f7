"""The latest changes that other services tell on the topic `audit-log`: who, when, from what to what.

Rule: told by the log alone, so that every process and every restart tells the same. Bounded: what is older is still on
the topic, which is kept for ever. A record without sense is passed by.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from pydantic import ValidationError

from schemas.audit_record import AuditRecord
from schemas.record import Record
from schemas.topics import Topic, topic_name
from services.ingest.settings import IngestSettings
from services.runtime.audit import Actor, AuditEntry, AuditEvent
from services.runtime.following import Followed, Following, pass_by

CHANGES_KEPT_MAX: Final = 5_000


class AuditTopic(Followed):
    """The changes, in log order, each numbered by its offset. One a process; use `following`."""

    def __init__(self, settings: IngestSettings) -> None:
        self._changes: deque[AuditEntry] = deque(maxlen=CHANGES_KEPT_MAX)
        partition = TopicPartition(topic_name(settings.topic_prefix, Topic.AUDIT), 0)
        super().__init__(Following(settings, {partition: 0}, self._take))

    def __iter__(self) -> Iterator[AuditEntry]:
        return iter(self._changes)

    def _take(self, _: TopicPartition, records: Sequence[Any], __: int) -> None:
        for record in records:
            try:
                told = AuditRecord.decode(record.value or b"")
            except ValidationError as error:
                pass_by(record, error)
                continue
            self._changes.append(AuditEntry(record.offset, record.timestamp, _event(told)))


def _event(told: AuditRecord) -> AuditEvent:
    return AuditEvent(
        action=told.action.value,
        subject=told.subject,
        by=Actor(told.key_id, told.key_name),
        before=_state(told.before),
        after=_state(told.after),
        request_id=told.request_id,
    )


def _state(told: Record | None) -> dict[str, Any] | None:
    return None if told is None else told.model_dump(mode="json")
