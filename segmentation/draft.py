"""A contact while one decision is being made: a working copy, and the changes it has gone through so far.

Rule: it never touches the state it started from, and numbers the changes of one version as they are emitted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from segmentation.expression.compiler import CompiledSegment
from segmentation.model import (
    AttributeName,
    CatalogueSeq,
    CauseKind,
    Change,
    ChangeKind,
    ContactId,
    ContactState,
    Erasure,
    InstantMs,
    Offset,
    Position,
    SegmentId,
    Value,
    Version,
)


class ContactDraft:
    """The working copy. `changed` says whether the recorded contact must be written again."""

    __slots__ = (
        "_owns_memberships",
        "attributes",
        "born",
        "changed",
        "contact_id",
        "due",
        "events",
        "left",
        "members",
        "position",
    )

    def __init__(self, contact_id: ContactId, start: ContactState) -> None:
        self.contact_id = contact_id
        self.attributes: dict[AttributeName, Value] = start.attributes
        self.members: dict[SegmentId, InstantMs] = start.members
        self.left: set[SegmentId] = start.left
        self.position = start.position
        self.due = start.due
        self.born = start.born
        self.changed = False
        self.events: list[Change | Erasure] = []
        self._owns_memberships = False

    def emit(
        self,
        entered: Collection[SegmentId],
        left: Collection[SegmentId],
        version: Version,
        cause: CauseKind,
        segments: Mapping[SegmentId, CompiledSegment],
    ) -> None:
        """Enter and exit segments at one version, in the order of segment ids, and remember it."""
        if not entered and not left:
            return
        self._own_memberships()
        kinds = dict.fromkeys(entered, ChangeKind.ENTER) | dict.fromkeys(left, ChangeKind.EXIT)
        for index, segment_id in enumerate(sorted(kinds)):
            kind = kinds[segment_id]
            if kind is ChangeKind.ENTER:
                self.members[segment_id] = version.at
                self.left.discard(segment_id)
            else:
                del self.members[segment_id]
                self.left.add(segment_id)
            segment_version = segments[segment_id].version
            self.events.append(
                Change(segment_id, segment_version, self.contact_id, kind, version, cause, index, len(kinds))
            )

    def erase(self, segment_id: SegmentId) -> None:
        """Leave no trace of a segment that is gone; the contact has exited it."""
        if segment_id in self.left:
            self._own_memberships()
            self.left.discard(segment_id)
            self.events.append(Erasure(segment_id, self.contact_id))
            self.changed = True

    def stand_at(self, clock: InstantMs, offset: Offset, seq: CatalogueSeq) -> None:
        """Evaluated through this position, with something to record."""
        self.position = Position(clock, offset, seq)
        self.changed = True

    def state(self) -> ContactState:
        """The contact as it now stands."""
        return ContactState(self.attributes, self.members, self.left, self.position, self.due, self.born)

    def _own_memberships(self) -> None:
        if not self._owns_memberships:
            self.members = dict(self.members)
            self.left = set(self.left)
            self._owns_memberships = True
