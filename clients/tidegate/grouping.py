"""From one partition's records to deliveries: current members first if asked, then each cause's changes together.

Rule: a delivery is all the wanted changes of one contact at one version, and carries the offset from which reading
resumes once it has been handled, so that a position is never committed inside a group. A record that is no change is
told with its place and its fault, never raised: whoever stopped there would meet it again at every start. Pure: records
in, deliveries out. It must not perform I/O.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from schemas.membership_change import MembershipChangeRecord, membership_key
from segmentation.model import ContactId, SegmentId, Version
from tidegate.changes import MembershipChange

FAULTS_TOLD_MAX: Final = 5
"""Of one record."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is no membership change: where it is and what is wrong with it, without what it holds."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is handed over at once.

    Shape: `changes` may be empty, when only the position moves on or a record is `unreadable`; `resume_at` is None
    inside a snapshot, which starts again as a whole, and inside a group.
    """

    partition: int
    changes: tuple[MembershipChange, ...]
    resume_at: int | None
    unreadable: Unreadable | None = None


class PartitionReader:
    """Folds one partition's records into deliveries, from `start` on.

    With `snapshot_until`, everything below that offset is folded into the members as of it, delivered by contact; what
    follows is delivered as it comes. Both read one log, so there is no gap and no overlap between them.
    """

    def __init__(
        self, partition: int, start: int, segments: Container[SegmentId] | None, snapshot_until: int | None = None
    ) -> None:
        self.partition = partition
        self.next_offset = start
        self.snapshot_until = snapshot_until
        self._segments = segments
        self._members: dict[bytes, MembershipChange] = {}
        self._open: list[MembershipChange] = []
        self._open_version: tuple[ContactId, Version] | None = None

    def read(self, offset: int, key: bytes | None, value: bytes | None) -> Iterator[Delivery]:
        """Take the next record; give the deliveries that are complete with it."""
        if offset < self.next_offset:
            return
        if self.snapshot_until is not None and offset >= self.snapshot_until:
            yield from self.finish_snapshot()
        self.next_offset = offset + 1
        try:
            record = None if value is None else MembershipChangeRecord.decode(value)
        except ValidationError as error:
            is_inside = self.snapshot_until is not None or self._open_version is not None
            yield Delivery(self.partition, (), None if is_inside else offset + 1, Unreadable(offset, _faults(error)))
            return
        if self.snapshot_until is not None:
            self._fold(key, record)
        elif record is None:
            yield from self._close(offset)
            yield Delivery(self.partition, (), offset + 1)
        else:
            yield from self._group(MembershipChange.of(record, self.partition), offset)

    def finish_snapshot(self) -> Iterator[Delivery]:
        """Deliver the members as of `snapshot_until`, contact by contact; only the last one moves the position."""
        if self.snapshot_until is None:
            return
        until, self.snapshot_until = self.snapshot_until, None
        by_contact: dict[ContactId, list[MembershipChange]] = {}
        for change in self._members.values():
            by_contact.setdefault(change.contact_id, []).append(change)
        self._members = {}
        for changes in by_contact.values():
            yield Delivery(self.partition, tuple(sorted(changes, key=lambda change: change.version)), None)
        yield Delivery(self.partition, (), until)

    def _fold(self, key: bytes | None, record: MembershipChangeRecord | None) -> None:
        if record is None:
            if key is not None:
                self._members.pop(key, None)
            return
        change = MembershipChange.of(record, self.partition, snapshot=True)
        member = membership_key(change.segment_id, change.contact_id)
        if change.member and self._wanted(change):
            self._members[member] = change
        else:
            self._members.pop(member, None)

    def _group(self, change: MembershipChange, offset: int) -> Iterator[Delivery]:
        group = (change.contact_id, change.version)
        if group != self._open_version:
            yield from self._close(offset)
            self._open_version = group
        if self._wanted(change):
            self._open.append(change)
        if change.index + 1 >= change.count:
            yield from self._close(offset + 1)

    def _close(self, resume_at: int) -> Iterator[Delivery]:
        """End the open group. Compaction may have taken its last change, so the next cause ends it too."""
        if self._open_version is None:
            return
        changes, self._open, self._open_version = tuple(self._open), [], None
        yield Delivery(self.partition, changes, resume_at)

    def _wanted(self, change: MembershipChange) -> bool:
        return self._segments is None or change.segment_id in self._segments


def _faults(error: ValidationError) -> str:
    """What the model found wrong and where, without what it found."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"/{'/'.join(map(str, fault['loc']))}: {fault['type']}" for fault in found[:FAULTS_TOLD_MAX])
