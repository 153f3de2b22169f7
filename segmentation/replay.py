"""Bring a contact through definitions that it has not seen, each at its own clock and offset, as if at that moment.

The slow and exact path behind a backfill, and behind a write that overtakes it. Only segments that a pending definition
can affect are evaluated, unless a deadline of the contact falls between the definitions; then all that depend on time.
Rule: must give what evaluating every contact at the definition's position would have given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from segmentation.definitions import DefinitionLog, PlacedDefinition
from segmentation.draft import ContactDraft
from segmentation.expression.compiler import CompiledSegment
from segmentation.model import (
    DEADLINE_OFFSET,
    CatalogueSeq,
    CauseKind,
    InstantMs,
    SegmentId,
    SegmentState,
    Version,
)


def apply_unseen_definitions(draft: ContactDraft, definitions: DefinitionLog) -> None:
    """Fire the deadlines and apply the definitions up to the newest definition; then the fast path takes over.

    Cost: one evaluation per pending definition and dependent; more only if a deadline falls between them.
    """
    seq = definitions.seq_through(draft.contact_id, draft.position.seq)
    unseen = definitions.after(seq)
    due_before = draft.due
    events_before = len(draft.events)
    view = _View(draft, definitions, seq, unseen)
    for placed in unseen:
        view.fire_until(placed.clock)
        view.apply(placed)
    last = unseen[-1]
    draft.due = definitions.catalogue.due(draft.attributes, last.clock)
    if draft.due != due_before or len(draft.events) > events_before:
        draft.stand_at(last.clock, draft.position.offset, last.seq)


class _View:
    """The segments that matter to one contact between two definitions, as they were in force then.

    Rule: a definition costs what refers to it, not how many there are: thousands may be unseen at once.
    """

    def __init__(
        self, draft: ContactDraft, definitions: DefinitionLog, seq: CatalogueSeq, unseen: list[PlacedDefinition]
    ) -> None:
        self._draft = draft
        self._members = set(draft.members)
        stands_due = draft.due is not None and draft.due <= unseen[-1].clock
        scope = {placed.segment.segment_id for placed in unseen}
        catalogue = definitions.catalogue  # but for what is unseen, it was in force before
        scope.update(catalogue.unsteady if stands_due else catalogue.dependents(scope))
        self._segments: dict[SegmentId, CompiledSegment] = {}
        self._referrers: defaultdict[SegmentId, set[SegmentId]] = defaultdict(set)
        for segment_id in scope:
            segment = definitions.as_of(segment_id, seq)
            if segment is not None:
                self._put(segment)
        # A recorded deadline is the first of all segments in force, so without one none flips before a definition.
        self._due = draft.due if stands_due else None

    def fire_until(self, clock: InstantMs) -> None:
        """Fire every deadline at or before `clock` at its own instant."""
        while self._due is not None and self._due <= clock:
            at = self._due
            may_flip = [
                segment_id
                for segment_id, segment in self._segments.items()
                if segment.time_dependent or segment.references
            ]
            self._reevaluate(may_flip, Version(at, DEADLINE_OFFSET), CauseKind.TIME)
            self._due = self._first_due(at)

    def apply(self, placed: PlacedDefinition) -> None:
        """Put one definition in force and re-evaluate it and every segment that depends on it."""
        segment = placed.segment
        version = Version(placed.clock, placed.offset)
        replaced = self._take(segment.segment_id)
        self._put(segment)
        dependents = self._dependents(segment.segment_id)
        if segment.state is SegmentState.DELETED:
            self._reevaluate(dependents, version, CauseKind.DEFINITION, gone=segment.segment_id)
            self._take(segment.segment_id)
            self._draft.erase(segment.segment_id)
        else:
            self._reevaluate({segment.segment_id, *dependents}, version, CauseKind.DEFINITION)
        self._due = self._due_behind(placed.clock, replaced, segment)

    def _put(self, segment: CompiledSegment) -> None:
        self._segments[segment.segment_id] = segment
        for reference in segment.references:
            self._referrers[reference].add(segment.segment_id)

    def _take(self, segment_id: SegmentId) -> CompiledSegment | None:
        segment = self._segments.pop(segment_id, None)
        if segment is not None:
            for reference in segment.references:
                self._referrers[reference].discard(segment_id)
        return segment

    def _reevaluate(
        self,
        segment_ids: Iterable[SegmentId],
        version: Version,
        cause: CauseKind,
        gone: SegmentId | None = None,
    ) -> None:
        members, entered, left = self._members, list[SegmentId](), list[SegmentId]()
        if gone is not None and gone in members:
            members.remove(gone)
            left.append(gone)
        for segment_id in self._in_reference_order(set(segment_ids)):
            segment = self._segments[segment_id]
            if segment.state is not SegmentState.ACTIVE:
                continue
            holds = segment.holds(self._draft.attributes, version.at, members)
            if holds and segment_id not in members:
                members.add(segment_id)
                entered.append(segment_id)
            elif not holds and segment_id in members:
                members.remove(segment_id)
                left.append(segment_id)
        self._draft.emit(entered, left, version, cause, self._segments)

    def _dependents(self, segment_id: SegmentId) -> set[SegmentId]:
        found = {segment_id}
        pending = [segment_id]
        while pending:
            more = self._referrers.get(pending.pop(), set()) - found
            found |= more
            pending += more
        return found - {segment_id}

    def _in_reference_order(self, segment_ids: set[SegmentId]) -> list[SegmentId]:
        """Each after the segments that it refers to; by id otherwise, and within a circle, which acceptance refuses."""
        if len(segment_ids) == 1:
            return list(segment_ids)  # as nearly always
        ordered: list[SegmentId] = []
        waiting = set(segment_ids)
        for segment_id in sorted(segment_ids):
            self._visit(segment_id, waiting, ordered)
        return ordered

    def _visit(self, segment_id: SegmentId, waiting: set[SegmentId], ordered: list[SegmentId]) -> None:
        if segment_id not in waiting:
            return
        waiting.remove(segment_id)
        for reference in sorted(self._segments[segment_id].references):
            self._visit(reference, waiting, ordered)
        ordered.append(segment_id)

    def _due_behind(
        self, clock: InstantMs, replaced: CompiledSegment | None, segment: CompiledSegment
    ) -> InstantMs | None:
        """The first deadline behind a definition: as before, since none has passed, unless it was this segment's.

        Deadlines behind the last definition may be missing: here they fire nothing.
        """
        if replaced is not None and self._due is not None and self._next_due(replaced, clock) == self._due:
            return self._first_due(clock)
        own = self._next_due(segment, clock)
        return own if self._due is None or (own is not None and own < self._due) else self._due

    def _first_due(self, after: InstantMs) -> InstantMs | None:
        instants = (self._next_due(segment, after) for segment in self._segments.values())
        return min((instant for instant in instants if instant is not None), default=None)

    def _next_due(self, segment: CompiledSegment, after: InstantMs) -> InstantMs | None:
        """When time next flips a segment; None where it is not evaluated."""
        if not segment.ages or segment.state is not SegmentState.ACTIVE:
            return None
        return segment.next_flip(self._draft.attributes, after)
