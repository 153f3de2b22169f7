"""Conjunctions as bits: which of thousands could hold for a contact, by a few operations on long integers.

Each conjunction of a segment's disjunctive form is one bit of a block. A bit can rise only if it does so in the mask of
a facet that moves, and holds only if every facet's mask has it (`masks.py`). Rule: masks only narrow down; what they
leave is decided by the segments' own truth. Immutable: a segment that comes or goes gives another block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from segmentation.expression.atoms import Member
from segmentation.expression.compiler import CompiledSegment
from segmentation.expression.normal import Conjunction, Literal
from segmentation.index.masks import BLOCK_BITS, Bits, BlockFacet, Constraint, whole
from segmentation.index.places import FacetKey, Place, facet_key
from segmentation.model import SegmentId

FEW_BITS = 8
"""So few bits are handled one by one."""
Places = Mapping[FacetKey, tuple[Place, Place]]


class Moved(NamedTuple):
    """A facet whose place changes."""

    key: FacetKey
    old: Place
    new: Place


class Block:
    """Up to `BLOCK_BITS` conjunctions with the segments they belong to."""

    __slots__ = ("_bits", "_facets", "_free", "_order", "_owners")

    def __init__(
        self,
        owners: list[CompiledSegment | None],
        bits: Mapping[SegmentId, Bits],
        free: Bits,
        facets: Mapping[FacetKey, BlockFacet],
    ) -> None:
        self._owners = owners
        self._bits = bits
        self._free = free
        self._facets = facets
        self._order: list[tuple[FacetKey, BlockFacet]] | None = None

    @classmethod
    def of(cls, segments: Iterable[tuple[CompiledSegment, Sequence[Conjunction]]]) -> Block:
        """The block of these segments, which fit into it."""
        owners: list[CompiledSegment | None] = []
        bits: dict[SegmentId, Bits] = {}
        constraints: dict[FacetKey, dict[Constraint, list[int]]] = {}
        for segment, alternatives in segments:
            bits[segment.segment_id] = tuple(range(len(owners), len(owners) + len(alternatives)))
            for conjunction in alternatives:
                for key, constraint in constraints_of(conjunction):
                    constraints.setdefault(key, {}).setdefault(constraint, []).append(len(owners))
                owners.append(segment)
        facets = {
            key: BlockFacet(key, {constraint: tuple(found) for constraint, found in by_constraint.items()})
            for key, by_constraint in constraints.items()
        }
        return cls(owners, bits, (), facets)

    @property
    def room(self) -> int:
        """How many more conjunctions fit in."""
        return BLOCK_BITS - len(self._owners) + len(self._free)

    def __contains__(self, segment_id: SegmentId) -> bool:
        return segment_id in self._bits

    def without(self, segment: CompiledSegment, alternatives: Sequence[Conjunction]) -> Block:
        """The block when a segment, of these conjunctions, is gone."""
        owners = list(self._owners)
        bits = dict(self._bits)
        freed = bits.pop(segment.segment_id)
        for bit in freed:
            owners[bit] = None
        facets = dict(self._facets)
        for key, gone in _by_facet(alternatives, freed).items():
            facets[key] = facets[key].changed(gone, ())
            if facets[key].is_empty:
                del facets[key]
        return Block(owners, bits, (*self._free, *freed), facets)

    def plus(self, segment: CompiledSegment, alternatives: Sequence[Conjunction]) -> Block:
        """The block when a segment, of these conjunctions, has come."""
        owners = list(self._owners)
        taken = self._free[: len(alternatives)]
        taken += tuple(range(len(owners), len(owners) + len(alternatives) - len(taken)))
        owners += [None] * (len(alternatives) - len(self._free))
        for bit in taken:
            owners[bit] = segment
        facets = dict(self._facets)
        for key, come in _by_facet(alternatives, taken).items():
            facets[key] = (facets.get(key) or BlockFacet(key, {})).changed((), come)
        return Block(owners, {**self._bits, segment.segment_id: taken}, self._free[len(alternatives) :], facets)

    def flipping(self, moved: Iterable[Moved], places: Places) -> tuple[set[SegmentId], set[SegmentId]]:
        """The segments of which a conjunction may rise, and those of which one may fall, when facets move.

        Shape: `places` gives the old and the new place of any facet; equal ones for those that do not move.
        """
        up = down = 0
        for key, old, new in moved:
            facet = self._facets.get(key)
            if facet is not None:
                was, will = facet.mask(old), facet.mask(new)
                differing = was ^ will
                up |= differing & will
                down |= differing & was
        return self._narrowed(up, down, places)

    def holding(self, places: Places) -> set[SegmentId]:
        """The segments of which a conjunction may hold at the new places."""
        assigned = whole(bit for bits in self._bits.values() for bit in bits)
        return self._narrowed(assigned, 0, places)[0]

    def _narrowed(self, up: int, down: int, places: Places) -> tuple[set[SegmentId], set[SegmentId]]:
        """Keep what every facet leaves, until so little is left that trying the segments is cheaper."""
        order = self._narrowing_order()
        steps_left = len(order)
        for key, facet in order:
            if not (up or down):
                return set(), set()
            if steps_left & 1 and up.bit_count() + down.bit_count() <= min(steps_left, FEW_BITS):
                break
            steps_left -= 1
            old, new = places[key]
            up &= facet.mask(new)
            down &= facet.mask(old)
        return self._owning(up), self._owning(down)

    def _narrowing_order(self) -> list[tuple[FacetKey, BlockFacet]]:
        if self._order is None:
            self._order = sorted(self._facets.items(), key=lambda item: -item[1].pruning)
        return self._order

    def _owning(self, mask: int) -> set[SegmentId]:
        owners = self._owners
        found: set[SegmentId] = set()
        while mask:
            bit = mask.bit_length() - 1
            mask ^= 1 << bit
            owner = owners[bit]
            if owner is not None:
                found.add(owner.segment_id)
        return found


def constraints_of(conjunction: Conjunction) -> list[tuple[FacetKey, Constraint]]:
    """The literals of a conjunction by facet, those of one facet in a fixed order."""
    by_facet: dict[FacetKey, list[Literal]] = {}
    for literal in conjunction:
        if isinstance(literal.atom, Member):
            raise AssertionError("a segment that refers to others is in no block")
        by_facet.setdefault(facet_key(literal.atom), []).append(literal)
    return [(key, tuple(sorted(found, key=_identity))) for key, found in by_facet.items()]


def _by_facet(alternatives: Sequence[Conjunction], bits: Bits) -> dict[FacetKey, list[tuple[Constraint, int]]]:
    by_facet: dict[FacetKey, list[tuple[Constraint, int]]] = {}
    for conjunction, bit in zip(alternatives, bits, strict=True):
        for key, constraint in constraints_of(conjunction):
            by_facet.setdefault(key, []).append((constraint, bit))
    return by_facet


def _identity(literal: Literal) -> int:
    return id(literal.atom)
