"""`audit-log`: who made, deleted or replayed what of the webhooks. The other changes have histories of their own.

Rule: no secret and nothing of a contact; of a URL the host alone, since the rest may be the receiver's secret. A record
is on the log before the change that it tells, and its instant is the broker's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from schemas.record import Record, WireSegmentId
from schemas.webhook import SEGMENTS_PER_WEBHOOK_MAX

SEGMENTS_TOLD_MAX: Final = 50
"""Of a webhook: these and how many there are keep what a process remembers bounded."""


class AuditAction(StrEnum):
    """What was done."""

    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_DELETED = "webhook.deleted"
    WEBHOOK_REPLAYED = "webhook.replayed"


class AuditedWebhook(Record):
    """A webhook. `to` is the host of its URL; without `segments` it gets the changes of all."""

    to: str
    segments: Annotated[list[WireSegmentId] | None, Field(max_length=SEGMENTS_TOLD_MAX)] = None
    segments_total: Annotated[int | None, Field(ge=0, le=SEGMENTS_PER_WEBHOOK_MAX)] = None


class AuditedReplay(Record):
    """A given-up delivery that was asked to be tried again."""

    failure: str


class AuditRecord(Record):
    """One change: whose key it was, and what there was before and is after."""

    action: Annotated[AuditAction, Field(strict=False)]
    subject: Annotated[str, Field(description="The webhook's id.")]
    key_id: str
    key_name: str
    request_id: str
    before: AuditedWebhook | None = None
    after: AuditedWebhook | AuditedReplay | None = None
