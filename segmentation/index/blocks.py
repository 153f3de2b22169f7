"""Conjunctions as bits: which of thousands could hold for a contact, by a few operations on long integers.

Each conjunction of a segment's disjunctive form is one bit of a block. The literals of a conjunction on one facet are a
*constraint*; a facet's *mask* at a place has the bits whose constraint holds there, and those without one. A bit can
rise only if the masks of a moved facet let it, and holds only if every mask has it. Rule: masks only narrow down; what
they leave is decided by the segments' own truth. Immutable; masks are made when first needed, and remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from segmentation.expression.atoms import Atom, Member
from segmentation.expression.compiler import CompiledSegment
from segmentation.expression.normal import Conjunction, Literal
from segmentation.index.places import FacetKey, FacetKind, Place, facet_key, truth
from segmentation.model import SegmentId

BLOCK_BITS = 16_384
"""Conjunctions that a block holds."""
FULL = (1 << BLOCK_BITS) - 1
MASKS_MAX = 256
"""Masks that one facet of one block remembers: at most 2 KiB each."""

Constraint = tuple[Literal, ...]
"""The literals of a conjunction on one facet, in a fixed order. All must hold."""
Bits = tuple[int, ...]

FEW_BITS = 16
"""So few bits are handled one by one."""
PRUNING = {FacetKind.MATCHES: 0.9, FacetKind.PRESENCE: 0.2}
"""The share of the constrained bits that a place is expected to strike out, for facets that are no scales."""
PRUNING_OF_SCALES = 0.5
Places = Mapping[FacetKey, tuple[Place, Place]]


class Moved(NamedTuple):
    """A facet whose place changes."""

    key: FacetKey
    old: Place
    new: Place


class BlockFacet:
    """The constraints of one block on one facet."""

    __slots__ = ("_by_atom", "_constraints", "_key", "_masks", "_resting", "_wholes", "pruning")

    def __init__(self, key: FacetKey, constraints: Mapping[Constraint, Bits]) -> None:
        self._key = key
        self._constraints = constraints
        self._masks: dict[Place, int] = {}
        self._wholes: dict[Constraint, int] = {}
        self._resting: int | None = None
        self._by_atom: dict[Atom, list[Constraint]] = {}
        self.pruning = PRUNING.get(key.kind, PRUNING_OF_SCALES) * sum(map(len, constraints.values()))

    @property
    def is_empty(self) -> bool:
        """Whether no conjunction has a literal on this facet."""
        return not self._constraints

    def changed(self, gone: Iterable[tuple[Constraint, int]], come: Iterable[tuple[Constraint, int]]) -> BlockFacet:
        """The constraints when some bits are gone and others have come."""
        constraints = dict(self._constraints)
        for constraint, bit in gone:
            constraints[constraint] = tuple(other for other in constraints[constraint] if other != bit)
            if not constraints[constraint]:
                del constraints[constraint]
        for constraint, bit in come:
            constraints[constraint] = (*constraints.get(constraint, ()), bit)
        return BlockFacet(self._key, constraints)

    def mask(self, place: Place) -> int:
        """The bits that this facet leaves at a place."""
        found = self._masks.get(place)
        if found is None:
            if len(self._masks) >= MASKS_MAX:
                self._masks.clear()
            found = self._masks[place] = self._mask(place)
        return found

    def _mask(self, place: Place) -> int:
        mask = self._rest() if self._resting is None else self._resting
        for constraint in self._concerned(place):
            if all(truth(atom, place) is positive for atom, positive in constraint) is any(map(_positive, constraint)):
                mask ^= self._whole(constraint)
        return mask

    def _rest(self) -> int:
        """What is left where every atom is false: all but the constraints that ask for some atom."""
        asking = [bits for constraint, bits in self._constraints.items() if any(map(_positive, constraint))]
        resting = self._resting = FULL ^ _whole(bit for bits in asking for bit in bits)
        if self._key.kind is FacetKind.MATCHES:
            for constraint in self._constraints:
                for atom, _ in constraint:
                    self._by_atom.setdefault(atom, []).append(constraint)
        return resting

    def _concerned(self, place: Place) -> Iterable[Constraint]:
        """The constraints whose truth at a place can differ from what it is where every atom is false."""
        if not isinstance(place, frozenset):
            return () if place is None else self._constraints
        by_atom = self._by_atom
        return {constraint for atom in place if atom in by_atom for constraint in by_atom[atom]}

    def _whole(self, constraint: Constraint) -> int:
        """The bits of a constraint as one integer; many are remembered, few are put together again."""
        found = self._wholes.get(constraint)
        if found is None:
            bits = self._constraints[constraint]
            found = _whole(bits)
            if len(bits) > FEW_BITS:
                self._wholes[constraint] = found
        return found


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
        assigned = _whole(bit for bits in self._bits.values() for bit in bits)
        return self._narrowed(assigned, 0, places)[0]

    def _narrowed(self, up: int, down: int, places: Places) -> tuple[set[SegmentId], set[SegmentId]]:
        """Keep what every facet leaves, until so little is left that trying the segments is cheaper."""
        order = self._narrowing_order()
        steps_left = len(order)
        for key, facet in order:
            if not (up or down):
                return set(), set()
            if up.bit_count() + down.bit_count() <= min(steps_left, FEW_BITS):
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


def _positive(literal: Literal) -> bool:
    return literal.positive


def _whole(bits: Iterable[int]) -> int:
    """The integer with these bits."""
    octets = bytearray(BLOCK_BITS // 8)
    for bit in bits:
        octets[bit >> 3] |= 1 << (bit & 7)
    return int.from_bytes(octets, "little")
