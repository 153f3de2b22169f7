"""The segments in force, as one immutable snapshot that answers what a write or an instant flips.

Rule: a snapshot never changes; defining a segment gives another. What is memoized inside never changes an answer.
A paused segment never flips and references to it see the membership as given; a reference to an unknown one is false.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from functools import cached_property
from typing import ClassVar, NamedTuple
from weakref import ref

from segmentation import deadlines
from segmentation.expression.compiler import CompiledSegment
from segmentation.index.matching import WIDE_OVER, Index, Outcome
from segmentation.index.references import ReferenceGraph
from segmentation.model import AttributeName, Attributes, InstantMs, SegmentId, SegmentState


class Flips(NamedTuple):
    """What changes: the segments entered and those left, in no order, without repetition."""

    entered: Collection[SegmentId]
    left: Collection[SegmentId]


NO_FLIPS = Flips((), ())


class Catalogue:
    """All segments in force after a number of definitions."""

    _recent: ClassVar[ref[Catalogue] | None] = None

    def __init__(self, segments: Mapping[SegmentId, CompiledSegment], index: Index, graph: ReferenceGraph) -> None:
        self.segments = segments
        self.time_attributes: Set[AttributeName] = {name for name, _ in index.age_cuts}
        self._ages = index.age_cuts
        self._index = index
        self._graph = graph
        self._successor: Catalogue | None = None
        self._step: CompiledSegment | None = None

    @classmethod
    def empty(cls, wide_over: int = WIDE_OVER) -> Catalogue:
        """No segments. A change that touches more than `wide_over` segments is left to the index's blocks."""
        # Not remembered: a log that is being restored begins so, and would have the segments of the last one forgotten.
        return cls({}, Index.of((), wide_over), ReferenceGraph.of(()))

    @classmethod
    def of(cls, segments: Iterable[CompiledSegment], wide_over: int = WIDE_OVER) -> Catalogue:
        """These segments; of several with one id, the last.

        The newest such catalogue is remembered while it lives: partitions that recover the same segments share it.
        """
        by_id = {one.segment_id: one for one in segments}
        kept = {key: one for key, one in by_id.items() if one.state is not SegmentState.DELETED}
        recent = cls._recent() if cls._recent is not None else None
        if recent is not None and recent.is_of(kept, wide_over):
            return recent
        active = (one for one in kept.values() if one.state is SegmentState.ACTIVE)
        catalogue = cls(kept, Index.of(active, wide_over), ReferenceGraph.of(kept.values()))
        cls._recent = ref(catalogue)
        return catalogue

    def is_of(self, segments: Mapping[SegmentId, CompiledSegment], wide_over: int) -> bool:
        """Whether it is the catalogue of exactly these compiled segments."""
        return (
            self._index.wide_over == wide_over
            and len(self.segments) == len(segments)
            and all(self.segments.get(segment_id) is segment for segment_id, segment in segments.items())
        )

    def define(self, segment: CompiledSegment) -> Catalogue:
        """The catalogue after a segment is added, edited, paused, resumed or deleted, as its state says.

        The successor is remembered, so that all partitions that take the same step share one object.
        Cost: shallow copies of what the old and the new version take part in; a millisecond at ten thousand segments.
        """
        if self._successor is None or self._step is None or not _is_same(self._step, segment):
            self._step = segment
            self._successor = self._after(segment)
        return self._successor

    def _after(self, segment: CompiledSegment) -> Catalogue:
        segments = dict(self.segments)
        deleted = segment.state is SegmentState.DELETED
        if deleted:
            segments.pop(segment.segment_id, None)
        else:
            segments[segment.segment_id] = segment
        gone = self._active(segment.segment_id)
        come = segment if segment.state is SegmentState.ACTIVE else None
        references = frozenset[SegmentId]() if deleted else segment.references
        return Catalogue(
            segments, self._index.changed(gone, come), self._graph.replaced(segment.segment_id, references)
        )

    @cached_property
    def unsteady(self) -> frozenset[SegmentId]:
        """The segments that may flip without a write: those that read time, and those that refer to others.

        Cost: a look at every segment, once.
        """
        return frozenset(key for key, one in self.segments.items() if one.time_dependent or one.references)

    def dependents(self, segment_ids: Iterable[SegmentId]) -> tuple[SegmentId, ...]:
        """Every other segment that refers to any of these, directly or not, each after those it refers to."""
        return self._graph.all_dependents(segment_ids)

    def members(self, attributes: Attributes, now: InstantMs) -> set[SegmentId]:
        """The active segments that a contact new at `now` is in."""
        found = self._index.holding(attributes, now)
        for segment_id in self._graph.referring():
            segment = self._active(segment_id)
            if segment is not None and segment.holds(attributes, now, found):
                found.add(segment_id)
        return found

    def flips(
        self,
        before: Attributes,
        after: Attributes,
        changed: Collection[AttributeName],
        now: InstantMs,
        members: Collection[SegmentId],
    ) -> Flips:
        """What a write at `now` flips.

        Shape: `members` are the segments the contact is in with `before` at `now`, looked up, so a set or the keys of a
        mapping; `changed` names at least every attribute whose value differs.
        Cost: by the segments whose conditions the new values flip, not by the number of segments.
        """
        outcome = self._index.flips(before, after, changed, now, members)
        return NO_FLIPS if outcome is None else self._flips(outcome, after, now, members)

    def flips_at(self, attributes: Attributes, at: InstantMs, members: Collection[SegmentId]) -> Flips:
        """What time alone flips at `at`, against the millisecond before it."""
        outcome = self._index.flips_at(attributes, at, members)
        return NO_FLIPS if outcome is None else self._flips(outcome, attributes, at, members)

    def due(self, attributes: Attributes, after: InstantMs) -> InstantMs | None:
        """The least instant strictly after `after` at which time alone flips an atom of an active segment."""
        return deadlines.next_flip(self._ages, attributes, after)

    def _active(self, segment_id: SegmentId) -> CompiledSegment | None:
        segment = self.segments.get(segment_id)
        return segment if segment is not None and segment.state is SegmentState.ACTIVE else None

    def _flips(self, outcome: Outcome, attributes: Attributes, now: InstantMs, members: Collection[SegmentId]) -> Flips:
        """Complete what flips by the segments that refer to others."""
        entered, left, referring = outcome
        if referring or (self._graph and (entered or left)):
            self._follow_references(outcome, attributes, now, members)
        return Flips(entered, left) if entered or left else NO_FLIPS

    def _follow_references(
        self, outcome: Outcome, attributes: Attributes, now: InstantMs, members: Collection[SegmentId]
    ) -> None:
        entered, left, touched = outcome
        affected = touched.union(self._graph.all_dependents(entered | left | touched))
        if not affected:
            return
        flipped = entered | left
        view = ({segment_id for segment_id in members if segment_id in self.segments} | entered) - left
        for segment_id in self._graph.ordered(affected):
            segment = self._active(segment_id)
            if segment is None or (segment_id not in touched and flipped.isdisjoint(segment.references)):
                continue
            holds = segment.holds(attributes, now, view)
            if holds is not (segment_id in members):
                flipped.add(segment_id)
                (entered if holds else left).add(segment_id)
                (view.add if holds else view.discard)(segment_id)


def _is_same(one: CompiledSegment, other: CompiledSegment) -> bool:
    """Whether two definitions are one, however often it was compiled."""
    return one is other or (
        (one.segment_id, one.version, one.state) == (other.segment_id, other.version, other.state)
        and one.expression == other.expression
    )
