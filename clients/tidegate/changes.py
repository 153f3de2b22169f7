"""A membership change as a consumer meets it.

Rule: equal in content to the record on `memberships`; what is added (partition, snapshot) says how it reached you.
Nothing here decides or performs I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.membership_change import MembershipChangeRecord
from segmentation.model import CauseKind, ContactId, InstantMs, Offset, SegmentId, Version


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """One enter or exit of one contact.

    `snapshot` is True when this is not a new change but a current member, told first so that you start complete.
    `index` of `count` are the contact's changes at one version (one cause), in every segment.
    """

    segment_id: SegmentId
    segment_version: int
    contact_id: ContactId
    member: bool
    at_ms: InstantMs
    offset: Offset
    cause: CauseKind
    index: int
    count: int
    event_id: str
    partition: int
    snapshot: bool = False

    @property
    def entered(self) -> bool:
        """Whether the contact is in the segment after this change."""
        return self.member

    @property
    def exited(self) -> bool:
        """Whether the contact is out of the segment after this change."""
        return not self.member

    @property
    def version(self) -> Version:
        """(at, offset): grows per (segment, contact). Apply a change only if its version is greater than the last."""
        return Version(self.at_ms, self.offset)

    @property
    def at(self) -> datetime:
        """The instant of the change; for a change that time caused, the exact deadline."""
        return datetime.fromtimestamp(self.at_ms / 1000, UTC)

    @classmethod
    def of(cls, record: MembershipChangeRecord, partition: int, *, snapshot: bool = False) -> MembershipChange:
        """Give the change that a record tells."""
        return cls(
            segment_id=record.segment_id,
            segment_version=record.segment_version,
            contact_id=record.contact_id,
            member=record.member,
            at_ms=record.at,
            offset=Offset(record.offset),
            cause=record.cause.kind,
            index=record.cause.index,
            count=record.cause.count,
            event_id=record.event_id,
            partition=partition,
            snapshot=snapshot,
        )
