"""Which segments of one partition have something new to be told, without looking at all of them every time.

Rule: a segment is looked at when a commit changed who is in it, while it settles, when its unreadable values are told
otherwise, and when the definitions changed; what is told is compared with what was told last. A partition has thousands
of segments, so looking at each twice a second would hold up evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from schemas.evaluator_status import SegmentStatusRecord, UnreadableAttribute
from segmentation.model import Change, InstantMs, SegmentId
from services.evaluator.backfill_progress import BackfillProgress
from services.evaluator.partition import Partition
from services.evaluator.rows import Count
from services.evaluator.unreadable import UnreadableCount

NO_COUNT = Count()
UnreadableReport = Mapping[SegmentId, tuple[UnreadableCount, ...]]


class _Told(NamedTuple):
    """What was said of one segment. `settled_percent` is None once it has settled."""

    members: int
    entered: int
    exited: int
    version: int
    settled_percent: int | None
    unreadable: tuple[UnreadableCount, ...]


class SegmentNews:
    """The segments of one partition as they were last told."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._told: dict[SegmentId, _Told] = {}
        self._touched: set[SegmentId] = set()
        self._settling: set[SegmentId] = set()
        self._settled_percent: int | None = None
        self._settles_at: InstantMs | None = None
        self._progress = BackfillProgress()
        self._unreadable: UnreadableReport = {}
        self._segments: object = None

    def committed(self, changes: Iterable[Change]) -> None:
        """Changes were committed: who is in their segments is news."""
        self._touched.update([change.segment_id for change in changes])

    def to_look_at(self, unreadable: UnreadableReport, now: InstantMs) -> Sequence[SegmentId]:
        """The segments that may have something new. Cost: all of them only after the definitions changed."""
        partition = self._partition
        settling = set(partition.settling)
        if settling:
            self._settled_percent = round(100.0 * partition.settled)
            ends_at = self._progress.ends_at(partition.settled, now)
            self._settles_at = ends_at if partition.behind_definitions else None  # nobody knows of a repair
        else:
            self._settled_percent = self._settles_at = None
            self._progress.ended()
        touched, self._touched = self._touched, set()
        touched |= settling | self._settling
        before, self._settling, self._unreadable = self._unreadable, settling, unreadable
        if before is not unreadable:
            touched.update(each for each in {**before, **unreadable} if before.get(each) != unreadable.get(each))
        segments = partition.definitions.catalogue.segments
        if segments is not self._segments:
            self._segments = segments
            return list(segments)
        return [segment_id for segment_id in touched if segment_id in segments]

    def record(self, segment_id: SegmentId, reported_at: InstantMs) -> SegmentStatusRecord | None:
        """What is to be told of a segment, None if it was told before; from here on it counts as told."""
        partition = self._partition
        segment = partition.definitions.catalogue.segments.get(segment_id)
        if segment is None:
            return None
        count = partition.counts.get(segment_id, NO_COUNT)
        is_settling = segment_id in self._settling
        told = _Told(
            count.members,
            count.entered,
            count.exited,
            segment.version,
            self._settled_percent if is_settling else None,
            self._unreadable.get(segment_id, ()),
        )
        if self._told.get(segment_id) == told:
            return None
        self._told[segment_id] = told
        return SegmentStatusRecord(
            segment_id=segment_id,
            partition=partition.index,
            version=told.version,
            reported_at=reported_at,
            members=told.members,
            entered=told.entered,
            exited=told.exited,
            settling=is_settling,
            settled_percent=100 if told.settled_percent is None else told.settled_percent,
            settles_at=self._settles_at if is_settling else None,
            unreadable=[_told_unreadable(found) for found in told.unreadable],
        )

    def gone(self) -> list[SegmentId]:
        """Segments that are deleted, of which nothing is to be told any more; from here on they count as told."""
        segments = self._partition.definitions.catalogue.segments
        gone, self._partition.gone = dict.fromkeys(self._partition.gone), []
        for segment_id in gone:
            if segment_id not in segments:
                self._told.pop(segment_id, None)
        return [segment_id for segment_id in gone if segment_id not in segments]

    def untold(self, segment_ids: Iterable[SegmentId]) -> None:
        """What was to be told of these segments did not reach the broker: it is news again."""
        segments = self._partition.definitions.catalogue.segments
        for segment_id in segment_ids:
            self._told.pop(segment_id, None)
            if segment_id in segments:
                self._touched.add(segment_id)
            else:
                self._partition.gone.append(segment_id)


def _told_unreadable(found: UnreadableCount) -> UnreadableAttribute:
    return UnreadableAttribute(
        attribute=found.attribute,
        reading=found.reading,
        count=found.contacts,
        sample=found.sample,
        settling=found.settling,
    )
