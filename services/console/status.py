"""What the evaluators last said about themselves: owners, progress and counts, folded from `evaluator-status`.

Rule: a moment old, and says how old; a count over partitions is given only when every partition has told its part.
Pure but for `follow`, which feeds it. Nothing here takes part in evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

from schemas.evaluator_status import PartitionState, PartitionStatusRecord, SegmentStatusRecord
from segmentation.model import SegmentId

WHOLE_PERCENT: Final = 100.0
COUNT_MAX: Final = (1 << 53) - 1
"""Of one partition."""
COUNTED_AT_ONCE_MAX: Final = 50
"""Segments, before others get a turn: with 64 partitions about fifteen milliseconds of work."""


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """A segment over all partitions. Units: `reported_at_ms` is the oldest part's instant; percent 0 to 100.

    `members` is None until every partition has told its part. `settles_at_ms` is an estimate, None if there is none.
    `as_of_ms` is the instant of which every part still held, because an owner that reports says what has changed;
    `lag_ms` is by how much the slowest partition was behind then.
    """

    members: int | None
    entered: int
    exited: int
    settling: bool
    settled_percent: float
    settles_at_ms: int | None
    reported_at_ms: int | None
    unreadable: int
    unreadable_attributes: tuple[dict[str, Any], ...] = ()
    unreadable_settling: bool = False
    as_of_ms: int | None = None
    lag_ms: int = 0


@dataclass
class StatusBoard:
    """The newest status of each partition, and of each segment in each partition."""

    partitions: int
    owners: dict[int, PartitionStatusRecord] = field(default_factory=dict)
    segments: dict[SegmentId, dict[int, SegmentStatusRecord]] = field(default_factory=dict)
    touched: set[SegmentId] = field(default_factory=set)

    def take(self, record: PartitionStatusRecord | SegmentStatusRecord) -> None:
        """Take a newer status. Errors: ValueError for one that no evaluator of this workspace can have written."""
        if record.partition >= self.partitions:
            raise ValueError("there is no such partition")
        if not _is_counted(record):
            raise ValueError("a count is none")
        if isinstance(record, PartitionStatusRecord):
            self.owners[record.partition] = record
            return
        self.segments.setdefault(record.segment_id, {})[record.partition] = record
        self.touched.add(record.segment_id)

    def forget(self, key: bytes) -> None:
        """Take a tombstone: what had this key is gone. Errors: ValueError for a key that no status has."""
        kind, _, rest = key.decode(errors="replace").partition("|")
        name, _, partition = rest.rpartition("|")
        if kind == "segment":
            parts = self.segments.get(SegmentId(name), {})
            parts.pop(int(partition), None)
            self.touched.add(SegmentId(name))
            if not parts:
                self.segments.pop(SegmentId(name), None)
        elif kind == "partition":
            self.owners.pop(int(rest), None)

    def owner(self, partition: int) -> str | None:
        """The address that serves a partition's reads; None while nobody does."""
        status = self.owners.get(partition)
        return status.owner if status is not None and status.state is PartitionState.READY else None

    def count(self, segment_id: SegmentId, version: int) -> SegmentCount:
        """A segment's members over all partitions, as of `version`: a part that is behind it is still settling."""
        parts = self.segments.get(segment_id, {})
        current = [part for part in parts.values() if part.version >= version]
        complete = len(parts) >= self.partitions
        settled = sum(part.settled_percent for part in current) / max(1, self.partitions)
        return SegmentCount(
            members=sum(part.members for part in parts.values()) if complete else None,
            entered=sum(part.entered for part in parts.values()),
            exited=sum(part.exited for part in parts.values()),
            settling=len(current) < self.partitions or any(part.settling for part in current),
            settled_percent=min(WHOLE_PERCENT, settled),
            settles_at_ms=self._settles_at(current),
            reported_at_ms=min((part.reported_at for part in parts.values()), default=None),
            unreadable=sum(entry.count for part in parts.values() for entry in part.unreadable),
            unreadable_attributes=_by_attribute(parts.values()),
            unreadable_settling=any(entry.settling for part in parts.values() for entry in part.unreadable),
            as_of_ms=min(map(self._held_at, parts.values())) if complete else None,
            lag_ms=max((status.lag_ms for status in self.owners.values()), default=0),
        )

    def _settles_at(self, current: Sequence[SegmentStatusRecord]) -> int | None:
        """When the last part is expected to have settled; None if one cannot say yet, or all have."""
        ends = [part.settles_at for part in current if part.settling]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) and len(current) >= self.partitions else None

    def _held_at(self, part: SegmentStatusRecord) -> int:
        """The last instant at which the partition's owner would have said that this part is another."""
        owner = self.owners.get(part.partition)
        return part.reported_at if owner is None else max(part.reported_at, owner.reported_at)

    def take_touched(self) -> set[SegmentId]:
        """The segments whose counts changed since this was last asked."""
        touched, self.touched = self.touched, set()
        return touched


def _is_counted(record: PartitionStatusRecord | SegmentStatusRecord) -> bool:
    """Whether what is added up over partitions stays within what JSON keeps."""
    if isinstance(record, PartitionStatusRecord):
        return record.lag_ms <= COUNT_MAX
    counts = [record.members, record.entered, record.exited, *(entry.count for entry in record.unreadable)]
    return max(counts) <= COUNT_MAX and isfinite(record.settled_percent)


def _by_attribute(parts: Iterable[SegmentStatusRecord]) -> tuple[dict[str, Any], ...]:
    """Unreadable values by attribute and reading over all partitions, each with one sample."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for part in parts:
        for entry in part.unreadable:
            key = (entry.attribute, entry.reading)
            nothing = {"attribute": entry.attribute, "reading": entry.reading, "count": 0, "sample": None}
            total = found.setdefault(key, {**nothing, "settling": False})
            total["count"] += entry.count
            total["sample"] = entry.sample if total["sample"] is None else total["sample"]
            total["settling"] |= entry.settling
    return tuple(found[key] for key in sorted(found) if found[key]["count"])
