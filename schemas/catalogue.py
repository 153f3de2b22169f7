"""Every record on every topic: what the generated schemas and the AsyncAPI document are made from.

Rule: data only. A record that a service writes and that is not listed here is undocumented, which a test refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from schemas.attribute_declaration import AttributeDeclarationRecord
from schemas.audit_record import AuditRecord
from schemas.contact_change import CONTACT_CHANGED, ContactChangeRecord
from schemas.contact_row import ContactRow
from schemas.control_rows import ClockRow, CursorRow, DefinitionRow
from schemas.dead_letter import DeadLetterHeaders
from schemas.evaluator_status import PartitionStatusRecord, SegmentStatusRecord
from schemas.membership_change import MEMBERSHIP_CHANGED, MembershipChangeRecord
from schemas.record import Record
from schemas.request_record import RequestRecord
from schemas.segment_definition import SEGMENT_DEFINED, SegmentDefinitionRecord
from schemas.tick import TICK, TickRecord
from schemas.topics import Topic
from schemas.webhook import WebhookFailureRecord, WebhookRecord, WebhookReplayRecord


class Party(StrEnum):
    """Who writes and reads topics."""

    PRODUCERS = "any producer"
    CONSUMERS = "any consumer"
    OPERATORS = "operators"
    INGEST = "ingest"
    SCHEDULER = "scheduler"
    EVALUATOR = "evaluator"
    CONSOLE = "console"
    WEBHOOKS = "webhooks"


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of record on a topic. `event_type` is its `ce_type`, where records are events."""

    model: type[Record]
    key: str | None
    event_type: str | None = None
    tombstone: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """Who meets on a topic, and with what."""

    messages: Sequence[Message]
    written_by: Sequence[Party]
    read_by: Sequence[Party]


_CONTACT_ID = "The contact id."

CHANNELS: Mapping[Topic, Channel] = MappingProxyType(
    {
        Topic.CONTACT_CHANGES: Channel(
            (
                Message(ContactChangeRecord, _CONTACT_ID, CONTACT_CHANGED, tombstone="Erases the contact."),
                Message(TickRecord, None, TICK),
                Message(SegmentDefinitionRecord, None, SEGMENT_DEFINED),
            ),
            (Party.INGEST, Party.SCHEDULER, Party.PRODUCERS),
            (Party.EVALUATOR, Party.INGEST),
        ),
        Topic.SEGMENTS: Channel(
            (Message(SegmentDefinitionRecord, "The segment id."),),
            (Party.INGEST,),
            (Party.SCHEDULER, Party.INGEST),
        ),
        Topic.ATTRIBUTES: Channel(
            (Message(AttributeDeclarationRecord, "The attribute's name.", tombstone="Takes the declaration back."),),
            (Party.INGEST,),
            (Party.INGEST, Party.CONSOLE),
        ),
        Topic.CONTACTS_CHANGELOG: Channel(
            (Message(ContactRow, _CONTACT_ID, tombstone="The contact was erased."),),
            (Party.EVALUATOR,),
            (Party.EVALUATOR,),
        ),
        Topic.CONTROL_CHANGELOG: Channel(
            (
                Message(ClockRow, "`clock`"),
                Message(DefinitionRow, "`segment|<segment id>|<version>`", tombstone="No contact needs it any more."),
                Message(CursorRow, "`cursor`"),
            ),
            (Party.EVALUATOR,),
            (Party.EVALUATOR,),
        ),
        Topic.MEMBERSHIPS: Channel(
            (
                Message(
                    MembershipChangeRecord,
                    "`<segment id>|<contact id>`; partitioned by the contact id.",
                    MEMBERSHIP_CHANGED,
                    tombstone="The contact or the segment was deleted, after the exit.",
                ),
            ),
            (Party.EVALUATOR,),
            (Party.CONSUMERS, Party.CONSOLE, Party.WEBHOOKS, Party.EVALUATOR),
        ),
        Topic.EVALUATOR_STATUS: Channel(
            (
                Message(PartitionStatusRecord, "`partition|<n>`"),
                Message(SegmentStatusRecord, "`segment|<segment id>|<n>`", tombstone="The segment was deleted."),
            ),
            (Party.EVALUATOR,),
            (Party.CONSOLE, Party.INGEST),
        ),
        Topic.DEAD_LETTERS: Channel(
            (Message(DeadLetterHeaders, "As in the record that failed."),),
            (Party.EVALUATOR,),
            (Party.OPERATORS, Party.CONSOLE, Party.INGEST, Party.EVALUATOR),
        ),
        Topic.REQUESTS: Channel(
            (Message(RequestRecord, "A digest of the API key's id and the Idempotency-Key."),),
            (Party.INGEST,),
            (Party.INGEST,),
        ),
        Topic.WEBHOOKS: Channel(
            (
                Message(WebhookRecord, "`webhook|<id>`", tombstone="The webhook was deleted."),
                Message(
                    WebhookFailureRecord,
                    "`failure|<webhook id>|<failure id>`",
                    tombstone="It was delivered after all, or its webhook was deleted.",
                ),
                Message(
                    WebhookReplayRecord,
                    "`replay|<webhook id>|<failure id>`",
                    tombstone="It failed again, a day has passed, or its webhook was deleted.",
                ),
            ),
            (Party.WEBHOOKS,),
            (Party.WEBHOOKS,),
        ),
        Topic.AUDIT: Channel(
            (Message(AuditRecord, "The webhook's id."),),
            (Party.WEBHOOKS,),
            (Party.INGEST,),
        ),
    }
)
