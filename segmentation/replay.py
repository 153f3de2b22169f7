"""Bring a contact through definitions that it has not seen, each at its own clock and offset, as if at that moment.

The slow and exact path behind a backfill, and behind a write that overtakes it. Only segments that a pending definition
can affect are evaluated, unless a deadline of the contact falls between the definitions; then all that depend on time.
Rule: must give what evaluating every contact at the definition's position would have given.
"""

from __future__ import annotations

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
    """The segments that matter to one contact between two definitions, as they were in force then."""

    def __init__(
        self, draft: ContactDraft, definitions: DefinitionLog, seq: CatalogueSeq, unseen: list[PlacedDefinition]
    ) -> None:
        self._draft = draft
        stands_due = draft.due is not None and draft.due <= unseen[-1].clock
        if stands_due:
            scope = definitions.segment_ids()
        else:
            scope = {placed.segment.segment_id for placed in unseen}
            for segment_id in list(scope):
                scope.update(definitions.catalogue.dependents(segment_id))
        in_force = ((segment_id, definitions.as_of(segment_id, seq)) for segment_id in scope)
        self._segments = {segment_id: segment for segment_id, segment in in_force if segment is not None}
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
            self._due = self._next_due(at)

    def apply(self, placed: PlacedDefinition) -> None:
        """Put one definition in force and re-evaluate it and every segment that depends on it."""
        segment = placed.segment
        version = Version(placed.clock, placed.offset)
        if segment.state is SegmentState.DELETED:
            self._segments.pop(segment.segment_id, None)
            self._reevaluate(self._dependents(segment.segment_id), version, CauseKind.DEFINITION, gone=segment)
            self._draft.erase(segment.segment_id)
        else:
            self._segments[segment.segment_id] = segment
            affected = {segment.segment_id, *self._dependents(segment.segment_id)}
            self._reevaluate(affected, version, CauseKind.DEFINITION)
        self._due = self._next_due(placed.clock)

    def _reevaluate(
        self,
        segment_ids: Iterable[SegmentId],
        version: Version,
        cause: CauseKind,
        gone: CompiledSegment | None = None,
    ) -> None:
        draft = self._draft
        members = set(draft.members)
        if gone is not None:
            members.discard(gone.segment_id)
        for segment_id in self._in_reference_order(set(segment_ids)):
            segment = self._segments[segment_id]
            if segment.state is not SegmentState.ACTIVE:
                continue
            if segment.holds(draft.attributes, version.at, members):
                members.add(segment_id)
            else:
                members.discard(segment_id)
        known = self._segments if gone is None else {**self._segments, gone.segment_id: gone}
        draft.emit(members - draft.members.keys(), draft.members.keys() - members, version, cause, known)

    def _dependents(self, segment_id: SegmentId) -> set[SegmentId]:
        found = {segment_id}
        grown = True
        while grown:
            more = {other for other, segment in self._segments.items() if not found.isdisjoint(segment.references)}
            grown = not more <= found
            found |= more
        return found - {segment_id}

    def _in_reference_order(self, segment_ids: set[SegmentId]) -> list[SegmentId]:
        """Each after the segments that it refers to; by id otherwise, and within a circle, which acceptance refuses."""
        ordered: list[SegmentId] = []
        waiting = set(segment_ids)

        def visit(segment_id: SegmentId) -> None:
            if segment_id not in waiting:
                return
            waiting.remove(segment_id)
            for reference in sorted(self._segments[segment_id].references):
                visit(reference)
            ordered.append(segment_id)

        for segment_id in sorted(segment_ids):
            visit(segment_id)
        return ordered

    def _next_due(self, after: InstantMs) -> InstantMs | None:
        instants = (
            segment.next_flip(self._draft.attributes, after)
            for segment in self._segments.values()
            if segment.time_dependent and segment.state is SegmentState.ACTIVE
        )
        return min((instant for instant in instants if instant is not None), default=None)
