"""The index of the active segments: from changed values to the segments that flip, references between segments apart.

A change moves facets from place to place. A move that touches few segments tries each of them; a wide one asks the
blocks which could flip, and tries those. Rule: whatever the way, a segment flips only if its own truth says so, against
the membership that is given. Immutable.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from segmentation.expression.atoms import Member
from segmentation.expression.compiler import CompiledSegment
from segmentation.expression.normal import Conjunction, conjunctions, literals
from segmentation.expression.readings import instant_of
from segmentation.index.blocks import Block, Candidates
from segmentation.index.facet import Facet, Occurrence
from segmentation.index.masks import BLOCK_BITS
from segmentation.index.places import FacetKey, FacetKind, Place, Step, facet_key
from segmentation.model import AttributeName, Attributes, InstantMs, SegmentId

WIDE_OVER = 24
"""A move that touches more segments than this is left to the blocks."""

Touched = list[tuple[Facet, Step]]


class Outcome(NamedTuple):
    """What flips among the segments that refer to no other, and which of those that refer were touched."""

    entered: set[SegmentId]
    left: set[SegmentId]
    referring: set[SegmentId]


class Index:
    """Facets by attribute, blocks of conjunctions, and the loose segments: those that refer or have too many."""

    __slots__ = ("_aging", "_blocks", "_facets", "_loose", "_size", "wide_over")

    def __init__(
        self,
        size: int,
        facets: Mapping[AttributeName, tuple[Facet, ...]],
        blocks: tuple[Block, ...],
        loose: Mapping[SegmentId, CompiledSegment],
        wide_over: int,
    ) -> None:
        self._size = size
        self._facets = facets
        self._blocks = blocks
        self._loose = loose
        self.wide_over = wide_over
        self._aging = [
            (name, facet, facet.cuts)
            for name, found in facets.items()
            for facet in found
            if facet.key.kind is FacetKind.AGE
        ]

    @classmethod
    def of(cls, segments: Iterable[CompiledSegment], wide_over: int = WIDE_OVER) -> Index:
        """The index of these segments, all at once."""
        by_id = {segment.segment_id: segment for segment in segments}
        formed = [(segment, _alternatives(segment)) for segment in by_id.values()]
        come: dict[FacetKey, list[Occurrence]] = {}
        for segment, alternatives in formed:
            for key, found in _occurrences(segment, alternatives is None).items():
                come.setdefault(key, []).extend(found)
        facets: dict[AttributeName, tuple[Facet, ...]] = {}
        for key, occurrences in come.items():
            facet = Facet.empty(key, wide_over).changed((), occurrences)
            facets[key.attribute] = (*facets.get(key.attribute, ()), facet)
        held = [(segment, alternatives) for segment, alternatives in formed if alternatives is not None]
        loose = {segment.segment_id: segment for segment, alternatives in formed if alternatives is None}
        return cls(len(by_id), facets, tuple(map(Block.of, _packed(held))), loose, wide_over)

    def changed(self, gone: CompiledSegment | None, come: CompiledSegment | None) -> Index:
        """The index when one segment is gone, another has come, or one stands where the other stood.

        Cost: shallow copies of what the two segments take part in.
        """
        loose = dict(self._loose)
        blocks = list(self._blocks)
        changes: dict[FacetKey, tuple[list[Occurrence], list[Occurrence]]] = {}
        if gone is not None:
            alternatives = _alternatives(gone)
            for key, found in _occurrences(gone, alternatives is None).items():
                changes.setdefault(key, ([], []))[0].extend(found)
            if alternatives is None:
                del loose[gone.segment_id]
            else:
                _remove_from_blocks(blocks, gone, alternatives)
        if come is not None:
            alternatives = _alternatives(come)
            for key, found in _occurrences(come, alternatives is None).items():
                changes.setdefault(key, ([], []))[1].extend(found)
            if alternatives is None:
                loose[come.segment_id] = come
            else:
                _add_to_blocks(blocks, come, alternatives)
        size = self._size - (gone is not None) + (come is not None)
        return Index(size, self._changed_facets(changes), tuple(blocks), loose, self.wide_over)

    def _changed_facets(
        self, changes: Mapping[FacetKey, tuple[list[Occurrence], list[Occurrence]]]
    ) -> dict[AttributeName, tuple[Facet, ...]]:
        facets = dict(self._facets)
        for key, (gone, come) in changes.items():
            of_attribute = {facet.key: facet for facet in facets.get(key.attribute, ())}
            facet = of_attribute.get(key) or Facet.empty(key, self.wide_over)
            of_attribute[key] = facet.changed(gone, come)
            kept = tuple(facet for facet in of_attribute.values() if not facet.is_empty)
            if kept:
                facets[key.attribute] = kept
            else:
                del facets[key.attribute]
        return facets

    @property
    def age_cuts(self) -> list[tuple[AttributeName, tuple[int, ...]]]:
        """The attributes that time tests read, and the ages at which the tests flip."""
        return [(name, cuts) for name, _, cuts in self._aging]

    def flips(
        self,
        before: Attributes,
        after: Attributes,
        changed: Iterable[AttributeName],
        now: InstantMs,
        members: Collection[SegmentId],
    ) -> Outcome | None:
        """What changed values flip; None for nothing."""
        facets_of = self._facets
        touched: Touched | None = None
        for name in changed:
            facets = facets_of.get(name)
            if facets is None:
                continue
            old = before.get(name)
            new = after.get(name)
            for facet in facets:
                step = facet.step(old, new, now)
                if step is not None:
                    if touched is None:
                        touched = []
                    touched.append((facet, step))
        return None if touched is None else self._outcome(touched, after, now, members)

    def flips_at(self, attributes: Attributes, at: InstantMs, members: Collection[SegmentId]) -> Outcome | None:
        """What the millisecond up to `at` flips; None for nothing."""
        before = InstantMs(at - 1)
        touched: Touched = []
        for name, facet, cuts in self._aging:
            value = attributes.get(name)
            instant = None if value is None else instant_of(value)
            if instant is None:
                continue
            place = bisect_left(cuts, at - instant)
            if place < len(cuts) and cuts[place] == at - instant:
                touched.append((facet, (facet.place(value, before), facet.place(value, at))))
        return self._outcome(touched, attributes, at, members) if touched else None

    def holding(self, attributes: Attributes, now: InstantMs) -> set[SegmentId]:
        """The segments that hold, of those that refer to no other."""
        candidates = {segment for segment in self._loose.values() if not segment.references}
        if self._size <= self.wide_over:
            candidates.update(*(block.segments() for block in self._blocks))
        else:
            places = _Places(self._facets, attributes, now)
            candidates.update(*(block.holding(places) for block in self._blocks))
        return {segment.segment_id for segment in candidates if segment.holds(attributes, now, ())}

    def _outcome(
        self, touched: Touched, attributes: Attributes, now: InstantMs, members: Collection[SegmentId]
    ) -> Outcome | None:
        entered: set[SegmentId] = set()
        left: set[SegmentId] = set()
        referring: set[SegmentId] = set()
        wide: list[FacetKey] = []
        for facet, step in touched:
            up, down, referred, is_wide = facet.moves.get(step) or facet.move(step)
            for segment_id, holds in up:
                if segment_id not in members and holds(attributes, now, members):
                    entered.add(segment_id)
            for segment_id, holds in down:
                if segment_id in members and not holds(attributes, now, members):
                    left.add(segment_id)
            if referred:
                referring |= referred
            if is_wide:
                wide.append(facet.key)
        if wide:
            moved = {facet.key: step for facet, step in touched}
            places = _Places(self._facets, attributes, now)
            for block in self._blocks:
                _try(block.flipping(wide, moved, places), places, members, entered, left)
        return Outcome(entered, left, referring) if entered or left or referring else None


class _Places(dict[FacetKey, Place]):
    """Where a contact is now on each facet, found when asked for."""

    def __init__(
        self, facets: Mapping[AttributeName, tuple[Facet, ...]], attributes: Attributes, now: InstantMs
    ) -> None:
        super().__init__()
        self._facets = facets
        self.attributes = attributes
        self.now = now

    def __missing__(self, key: FacetKey) -> Place:
        for facet in self._facets[key.attribute]:
            if facet.key == key:
                place = self[key] = facet.place(self.attributes.get(key.attribute), self.now)
                return place
        raise AssertionError(f"a block knows {key}, which no facet does")


def _try(
    candidates: Candidates,
    places: _Places,
    members: Collection[SegmentId],
    entered: set[SegmentId],
    left: set[SegmentId],
) -> None:
    """Have the truth of what a block names decide."""
    attributes, now = places.attributes, places.now
    up, down = candidates
    for segment in up:
        if segment.segment_id not in members and segment.holds(attributes, now, members):
            entered.add(segment.segment_id)
    for segment in down:
        if segment.segment_id in members and not segment.holds(attributes, now, members):
            left.add(segment.segment_id)


def _alternatives(segment: CompiledSegment) -> tuple[Conjunction, ...] | None:
    """The conjunctions to put into a block; None for a segment that is loose."""
    return None if segment.references else conjunctions(segment.normal)


def _occurrences(segment: CompiledSegment, loose: bool) -> dict[FacetKey, list[Occurrence]]:
    by_facet: dict[FacetKey, list[Occurrence]] = {}
    for literal in dict.fromkeys(literals(segment.normal)):
        if not isinstance(literal.atom, Member):
            by_facet.setdefault(facet_key(literal.atom), []).append(Occurrence(segment, literal, loose))
    return by_facet


def _packed(
    held: list[tuple[CompiledSegment, tuple[Conjunction, ...]]],
) -> list[list[tuple[CompiledSegment, tuple[Conjunction, ...]]]]:
    """In groups that fit into a block each."""
    groups: list[list[tuple[CompiledSegment, tuple[Conjunction, ...]]]] = []
    room = 0
    for segment, alternatives in held:
        if not groups or len(alternatives) > room:
            groups.append([])
            room = BLOCK_BITS
        groups[-1].append((segment, alternatives))
        room -= len(alternatives)
    return groups


def _add_to_blocks(blocks: list[Block], segment: CompiledSegment, alternatives: tuple[Conjunction, ...]) -> None:
    for at, block in enumerate(blocks):
        if block.room >= len(alternatives):
            blocks[at] = block.plus(segment, alternatives)
            return
    blocks.append(Block.of([(segment, alternatives)]))


def _remove_from_blocks(blocks: list[Block], segment: CompiledSegment, alternatives: tuple[Conjunction, ...]) -> None:
    for at, block in enumerate(blocks):
        bits = block.bits_of(segment)
        if bits:
            blocks[at] = block.without(alternatives, bits)
            return
    if alternatives:
        raise AssertionError(f"segment {segment.segment_id} is in no block")
