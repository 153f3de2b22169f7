"""Which segments refer to which: the order in which they are evaluated, and who depends on whom.

Rule: a segment comes after those it refers to. A circle is refused when a definition is accepted; should one arrive all
the same, the order within it is by id, so that every replay agrees, and nothing loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from segmentation.expression.compiler import CompiledSegment
from segmentation.model import SegmentId


class ReferenceGraph:
    """The references among the segments of one catalogue. Immutable.

    Shape: `_references` holds the segments that refer to others, `_referrers` those referred to (known or not).
    """

    __slots__ = ("_ranks", "_references", "_referrers")

    def __init__(
        self,
        references: Mapping[SegmentId, frozenset[SegmentId]],
        referrers: Mapping[SegmentId, frozenset[SegmentId]],
    ) -> None:
        self._references = references
        self._referrers = referrers
        self._ranks = _ranks(references)

    @classmethod
    def of(cls, segments: Iterable[CompiledSegment]) -> ReferenceGraph:
        """The graph of these segments."""
        references = {one.segment_id: one.references for one in segments if one.references}
        referrers: dict[SegmentId, set[SegmentId]] = {}
        for segment_id, targets in references.items():
            for target in targets:
                referrers.setdefault(target, set()).add(segment_id)
        return cls(references, {target: frozenset(found) for target, found in referrers.items()})

    def replaced(self, segment_id: SegmentId, references: frozenset[SegmentId]) -> ReferenceGraph:
        """The graph once a segment refers to exactly these; the same graph if it did."""
        old = self._references.get(segment_id, frozenset())
        if old == references:
            return self
        outgoing = {key: targets for key, targets in self._references.items() if key != segment_id}
        if references:
            outgoing[segment_id] = references
        incoming = dict(self._referrers)
        for target in old - references:
            incoming[target] -= {segment_id}
            if not incoming[target]:
                del incoming[target]
        for target in references - old:
            incoming[target] = incoming.get(target, frozenset()) | {segment_id}
        return ReferenceGraph(outgoing, incoming)

    def __bool__(self) -> bool:
        """Whether any segment refers to another."""
        return bool(self._references)

    def referring(self) -> tuple[SegmentId, ...]:
        """The segments that refer to others, in order of evaluation."""
        return self.ordered(self._references)

    def all_dependents(self, segment_ids: Iterable[SegmentId]) -> tuple[SegmentId, ...]:
        """Every segment that refers to any of these, directly or not, in order of evaluation; none of these itself."""
        roots = set(segment_ids)
        found: set[SegmentId] = set()
        pending = list(roots)
        while pending:
            for referrer in self._referrers.get(pending.pop(), ()):
                if referrer not in found and referrer not in roots:
                    found.add(referrer)
                    pending.append(referrer)
        return self.ordered(found)

    def ordered(self, segment_ids: Iterable[SegmentId]) -> tuple[SegmentId, ...]:
        """These segments, each after those it refers to, by id where that leaves a choice."""
        ranks = self._ranks
        return tuple(sorted(segment_ids, key=lambda segment_id: (ranks.get(segment_id, 0), segment_id)))


def _ranks(references: Mapping[SegmentId, frozenset[SegmentId]]) -> dict[SegmentId, int]:
    """The longest chain of references below each segment that refers to others, circles cut where they close."""
    ranks: dict[SegmentId, int] = {}
    for root in sorted(references):
        path: list[tuple[SegmentId, list[SegmentId]]] = [] if root in ranks else [(root, sorted(references[root]))]
        open_ids = {root}
        while path:
            segment_id, targets = path[-1]
            if targets:
                target = targets.pop()
                if target in references and target not in ranks and target not in open_ids:
                    open_ids.add(target)
                    path.append((target, sorted(references[target])))
                continue
            ranks[segment_id] = 1 + max(ranks.get(target, 0) for target in references[segment_id])
            open_ids.discard(segment_id)
            path.pop()
    return ranks
