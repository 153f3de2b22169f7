"""The segments of a workspace as their log defines them: which versions were accepted, and why others were not.

Every reader of the segments topic folds it through this one function, so two racing edits have the same winner
everywhere. Rule: acceptance depends on the log alone. It parses nothing and evaluates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from segmentation.expression.reads import segments_read
from segmentation.expression.syntax import Expression
from segmentation.model import SegmentId, SegmentState

REFERENCE_DEPTH_MAX = 8
"""How many references may follow one another from a segment."""
NO_VERSION = 0
"""What the first definition of a segment replaces."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of a segment. A deleting definition repeats the last expression, for the audit history."""

    segment_id: SegmentId
    version: int
    replaces: int
    state: SegmentState
    expression: Expression


class RefusalCode(StrEnum):
    """Why a definition was not accepted."""

    LOST_RACE = "lost_race"
    UNKNOWN_SEGMENT = "unknown_segment"
    STILL_REFERENCED = "still_referenced"
    REFERENCE_CYCLE = "reference_cycle"
    REFERENCES_TOO_DEEP = "references_too_deep"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A definition that changes nothing. `message` says what, `hint` what to do."""

    code: RefusalCode
    message: str
    hint: str


class SegmentRegistry:
    """The accepted definitions. Mutated only by `accept`, in log order."""

    def __init__(self) -> None:
        self._newest: dict[SegmentId, Definition] = {}
        self._references: dict[SegmentId, frozenset[SegmentId]] = {}
        self._referrers: dict[SegmentId, set[SegmentId]] = {}

    @property
    def newest(self) -> Mapping[SegmentId, Definition]:
        """The newest accepted definition of every segment ever defined, deleted ones included."""
        return MappingProxyType(self._newest)

    def version_of(self, segment_id: SegmentId) -> int:
        """The version that the next definition must replace: 0 if there was never one."""
        newest = self._newest.get(segment_id)
        return newest.version if newest is not None else NO_VERSION

    def get(self, segment_id: SegmentId) -> Definition | None:
        """The segment as it stands; None if it was never defined or is deleted."""
        newest = self._newest.get(segment_id)
        return newest if newest is not None and newest.state is not SegmentState.DELETED else None

    def referrers(self, segment_id: SegmentId) -> list[SegmentId]:
        """The segments whose expressions name this one, by id."""
        return sorted(self._referrers.get(segment_id, ()))

    def accept(self, definition: Definition) -> Refusal | None:
        """Take the definition, or say why not and change nothing."""
        refusal = self.check(definition)
        if refusal is None:
            self._newest[definition.segment_id] = definition
            deleted = definition.state is SegmentState.DELETED
            self._link(definition.segment_id, frozenset() if deleted else segments_read(definition.expression))
        return refusal

    def check(self, definition: Definition) -> Refusal | None:
        """What `accept` would say."""
        current = self.version_of(definition.segment_id)
        if definition.replaces != current or definition.version != current + 1:
            return Refusal(
                RefusalCode.LOST_RACE,
                f"segment {definition.segment_id} is at version {current}; "
                f"this is version {definition.version}, made from version {definition.replaces}",
                "read the segment again, apply your change to what it is now, and save",
            )
        if definition.state is SegmentState.DELETED:
            return self._check_deletion(definition)
        return self._check_references(definition)

    def _check_deletion(self, definition: Definition) -> Refusal | None:
        if self.get(definition.segment_id) is None:
            return Refusal(
                RefusalCode.UNKNOWN_SEGMENT,
                f"segment {definition.segment_id} is not defined, so it cannot be deleted",
                "list the segments to see which exist",
            )
        referrers = self.referrers(definition.segment_id)
        if not referrers:
            return None
        return Refusal(
            RefusalCode.STILL_REFERENCED,
            f"segment {definition.segment_id} is used by {', '.join(referrers)}",
            "remove it from those segments first, or delete them",
        )

    def _check_references(self, definition: Definition) -> Refusal | None:
        references = segments_read(definition.expression)
        for reference in sorted(references):
            if reference != definition.segment_id and self.get(reference) is None:
                return Refusal(
                    RefusalCode.UNKNOWN_SEGMENT,
                    f"segment {definition.segment_id} refers to {reference}, which is not defined",
                    f"create {reference} first, or correct the name",
                )
        path = self._path(references, definition.segment_id)
        if path:
            return Refusal(
                RefusalCode.REFERENCE_CYCLE,
                f"segment {definition.segment_id} would refer to itself: {' → '.join([definition.segment_id, *path])}",
                "break the circle by removing one of these references",
            )
        deepest = self._depth_below(references) + self._depth_above(definition.segment_id)
        if deepest > REFERENCE_DEPTH_MAX:
            return Refusal(
                RefusalCode.REFERENCES_TOO_DEEP,
                f"with this definition of {definition.segment_id}, references follow one another {deepest} deep; "
                f"at most {REFERENCE_DEPTH_MAX} are allowed",
                "write the conditions of one of the segments out in place of the reference",
            )
        return None

    def _path(self, start: frozenset[SegmentId], target: SegmentId) -> list[SegmentId]:
        """References that lead from `start` to `target`; empty if none do."""
        came_from: dict[SegmentId, SegmentId | None] = dict.fromkeys(sorted(start))
        waiting = list(came_from)
        while waiting:
            segment_id = waiting.pop()
            if segment_id == target:
                path = [segment_id]
                while (before := came_from[path[-1]]) is not None:
                    path.append(before)
                return path[::-1]
            for reference in sorted(self._references.get(segment_id, frozenset()) - came_from.keys()):
                came_from[reference] = segment_id
                waiting.append(reference)
        return []

    def _depth_below(self, references: frozenset[SegmentId]) -> int:
        """How many references follow one another downwards; the accepted ones form no circle."""
        return _layers(references, lambda segment_id: self._references.get(segment_id, frozenset()))

    def _depth_above(self, segment_id: SegmentId) -> int:
        referrers = self._referrers.get(segment_id, set())
        return _layers(frozenset(referrers), lambda other: frozenset(self._referrers.get(other, set())))

    def _link(self, segment_id: SegmentId, references: frozenset[SegmentId]) -> None:
        for reference in self._references.pop(segment_id, frozenset()):
            self._referrers[reference].discard(segment_id)
        if references:
            self._references[segment_id] = references
        for reference in references:
            self._referrers.setdefault(reference, set()).add(segment_id)


def _layers(first: frozenset[SegmentId], following: Callable[[SegmentId], frozenset[SegmentId]]) -> int:
    """The longest chain that starts in `first`. Layer by layer, so it is bounded by the depth, not by the paths."""
    depth = 0
    layer = first
    while layer:
        depth += 1
        layer = frozenset(after for segment_id in layer for after in following(segment_id))
    return depth
