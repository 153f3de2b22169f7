"""The segments in force, as one immutable snapshot that answers what a write or an instant flips.

Rule: a snapshot never changes; defining a segment gives another. What is memoized inside never changes an answer.
A paused segment never flips and references to it see the membership as given; a reference to an unknown one is false.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Set
from typing import NamedTuple

from segmentation import deadlines
from segmentation.expression.compiler import CompiledSegment
from segmentation.index.references import ReferenceGraph
from segmentation.model import AttributeName, Attributes, InstantMs, SegmentId, SegmentState


class Flips(NamedTuple):
    """What changes: the segments entered and those left, in no order, without repetition."""

    entered: Collection[SegmentId]
    left: Collection[SegmentId]


NO_FLIPS = Flips((), ())


class Catalogue:
    """All segments in force after a number of definitions."""

    def __init__(self, segments: Mapping[SegmentId, CompiledSegment], graph: ReferenceGraph) -> None:
        self.segments = segments
        self._graph = graph
        self._active = [segment for segment in segments.values() if segment.state is SegmentState.ACTIVE]
        ordered = graph.ordered(segment.segment_id for segment in self._active)
        self._ordered = [segments[segment_id] for segment_id in ordered]
        self._successor: tuple[CompiledSegment, Catalogue] | None = None

    @classmethod
    def empty(cls) -> Catalogue:
        """No segments."""
        return cls({}, ReferenceGraph.of(()))

    @classmethod
    def of(cls, segments: Iterable[CompiledSegment]) -> Catalogue:
        """These segments; of several with one id, the last."""
        by_id = {one.segment_id: one for one in segments}
        kept = {key: one for key, one in by_id.items() if one.state is not SegmentState.DELETED}
        return cls(kept, ReferenceGraph.of(kept.values()))

    def define(self, segment: CompiledSegment) -> Catalogue:
        """The catalogue after a segment is added, edited, paused, resumed or deleted, as its state says.

        The successor is remembered, so that all partitions that take the same step share one object.
        """
        if self._successor is None or self._successor[0] is not segment:
            self._successor = (segment, Catalogue.of([*self.segments.values(), segment]))
        return self._successor[1]

    @property
    def time_attributes(self) -> Set[AttributeName]:
        """The attributes whose values, with no write, can flip an active segment."""
        return {attribute for segment in self._active for attribute, _ in segment.ages}

    def dependents(self, segment_id: SegmentId) -> tuple[SegmentId, ...]:
        """Every segment that refers to this one, directly or not, each after those it refers to."""
        return self._graph.dependents(segment_id)

    def members(self, attributes: Attributes, now: InstantMs) -> set[SegmentId]:
        """The active segments that a contact new at `now` is in."""
        flips = self._evaluate(attributes, now, ())
        return set(flips.entered)

    def flips(
        self,
        before: Attributes,
        after: Attributes,
        changed: Collection[AttributeName],
        now: InstantMs,
        members: Collection[SegmentId],
    ) -> Flips:
        """What a write at `now` flips.

        Shape: `members` are the segments the contact is in with `before` at `now`; `changed` names at least every
        attribute whose value differs.
        """
        if before is after or not changed:
            return NO_FLIPS
        return self._evaluate(after, now, members)

    def flips_at(self, attributes: Attributes, at: InstantMs, members: Collection[SegmentId]) -> Flips:
        """What time alone flips at `at`, against the millisecond before it."""
        return self._evaluate(attributes, at, members)

    def due(self, attributes: Attributes, after: InstantMs) -> InstantMs | None:
        """The least instant strictly after `after` at which time alone flips an atom of an active segment."""
        return deadlines.next_flip((ages for segment in self._active for ages in segment.ages), attributes, after)

    def _evaluate(self, attributes: Attributes, now: InstantMs, members: Container[SegmentId]) -> Flips:
        entered: list[SegmentId] = []
        left: list[SegmentId] = []
        present = {segment_id for segment_id in self.segments if segment_id in members}
        for segment in self._ordered:
            was = segment.segment_id in present
            if segment.holds(attributes, now, present) is not was:
                (left if was else entered).append(segment.segment_id)
                (present.discard if was else present.add)(segment.segment_id)
        return Flips(entered, left)
