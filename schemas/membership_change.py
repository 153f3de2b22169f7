"""`memberships`: one enter or exit of one contact. What the world reads.

Rule: (at, offset) is the change's version and grows per key; a consumer that applies a record only if its version is
greater than the last applied sees each change once. Equal changes are equal bytes.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.record import Record, WireContactId, WireInstant, WireSegmentId
from segmentation.model import CauseKind, ChangeKind, ContactId, SegmentId

MEMBERSHIP_CHANGED = "membership.changed"
KEY_SEPARATOR = "|"
"""Segment ids cannot hold it, so the first one in a key always splits it."""


LONG_MAX = (1 << 63) - 1
"""The greatest timestamp or offset that a broker can give, and what a database or JSON keeps as an integer."""


class ChangeCause(Record):
    """What made the change, and which of the contact's changes at this version it is."""

    kind: Annotated[CauseKind, Field(strict=False)]
    partition: Annotated[int, Field(ge=0, le=LONG_MAX)]
    index: Annotated[int, Field(ge=0, le=LONG_MAX)]
    count: Annotated[int, Field(ge=1, le=LONG_MAX)]


class MembershipChangeRecord(Record):
    """One enter or exit. `offset` is the causing record's, or -1 when time caused it."""

    segment_id: WireSegmentId
    segment_version: Annotated[int, Field(ge=-LONG_MAX - 1, le=LONG_MAX)]
    contact_id: WireContactId
    change: Annotated[ChangeKind, Field(strict=False)]
    member: bool
    at: Annotated[WireInstant, Field(ge=-LONG_MAX - 1, le=LONG_MAX)]
    offset: Annotated[int, Field(ge=-1, le=LONG_MAX)]
    event_id: str
    cause: ChangeCause


def membership_key(segment_id: SegmentId, contact_id: ContactId) -> bytes:
    """The record key of a (segment, contact)."""
    return f"{segment_id}{KEY_SEPARATOR}{contact_id}".encode()
