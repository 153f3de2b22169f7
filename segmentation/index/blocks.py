"""Conjunctions as bits: which of thousands could hold for a contact, by a few operations on long integers.

Each conjunction of a segment's disjunctive form is one bit of a block. A bit can rise only if it does so in the mask of
a facet that moves, and holds only if every facet's mask has it (`masks.py`). Rule: masks only narrow down; what they
leave is decided by the segments' own truth. Immutable: a segment that comes or goes gives another block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from segmentation.expression.atoms import Member
from segmentation.expression.compiler import CompiledSegment
from segmentation.expression.normal import Conjunction, Literal
from segmentation.index.masks import BLOCK_BITS, Bits, BlockFacet, Constraint, whole, width_of
from segmentation.index.places import FacetKey, Place, Step, facet_key

FEW_BITS = 16
"""So few are tried one by one: a step of narrowing costs as much as a few truths."""
CHUNK_BITS = 256
"""Owners are kept in chunks of so many, so that a change copies one chunk and not all."""
Chunk = tuple[CompiledSegment | None, ...]
Candidates = tuple[set[CompiledSegment], set[CompiledSegment]]
Places = Mapping[FacetKey, Place]
"""Where a contact is now, on any facet."""
Moved = Mapping[FacetKey, Step]
"""The facets on which a contact moves; on all others it has been where it is."""


class Block:
    """Up to `BLOCK_BITS` conjunctions with the segments they belong to.

    Shape: `_owners` has by bit, in chunks of `CHUNK_BITS`, the segment of each of the first `_used` bits, or None where
    the bit is free; `_free` names those.
    """

    __slots__ = ("_facets", "_free", "_order", "_owners", "_used")

    def __init__(self, owners: tuple[Chunk, ...], used: int, free: Bits, facets: Mapping[FacetKey, BlockFacet]) -> None:
        self._owners = owners
        self._used = used
        self._free = free
        self._facets = facets
        self._order: list[tuple[FacetKey, BlockFacet]] | None = None

    @classmethod
    def of(cls, segments: Iterable[tuple[CompiledSegment, Sequence[Conjunction]]]) -> Block:
        """The block of these segments, which fit into it."""
        owners: list[CompiledSegment | None] = []
        constraints: dict[FacetKey, dict[Constraint, list[int]]] = {}
        for segment, alternatives in segments:
            for conjunction in alternatives:
                for key, constraint in constraints_of(conjunction):
                    constraints.setdefault(key, {}).setdefault(constraint, []).append(len(owners))
                owners.append(segment)
        width = width_of(len(owners))
        facets = {
            key: BlockFacet(key, {constraint: tuple(found) for constraint, found in by_constraint.items()}, width)
            for key, by_constraint in constraints.items()
        }
        chunks = tuple(_chunk(owners[start : start + CHUNK_BITS]) for start in range(0, len(owners), CHUNK_BITS))
        return cls(chunks, len(owners), (), facets)

    @property
    def room(self) -> int:
        """How many more conjunctions fit in."""
        return BLOCK_BITS - self._used + len(self._free)

    def segments(self) -> set[CompiledSegment]:
        """The segments that own bits."""
        return {owner for chunk in self._owners for owner in chunk if owner is not None}

    def bits_of(self, segment: CompiledSegment) -> Bits:
        """The bits of a segment, ascending; none if it is not here. Cost: a scan of the owners."""
        return tuple(
            at * CHUNK_BITS + place
            for at, chunk in enumerate(self._owners)
            if segment in chunk
            for place, owner in enumerate(chunk)
            if owner is segment
        )

    def without(self, alternatives: Sequence[Conjunction], bits: Bits) -> Block:
        """The block when the segment of these conjunctions, which has these bits, is gone."""
        facets = dict(self._facets)
        for key, gone in _by_facet(alternatives, bits).items():
            facets[key] = facets[key].changed(gone, ())
            if facets[key].is_empty:
                del facets[key]
        return Block(_owned(self._owners, bits, None), self._used, (*self._free, *bits), facets)

    def plus(self, segment: CompiledSegment, alternatives: Sequence[Conjunction]) -> Block:
        """The block when a segment, of these conjunctions, has come."""
        reused = tuple(sorted(self._free[: len(alternatives)]))
        fresh = len(alternatives) - len(reused)
        bits = (*reused, *range(self._used, self._used + fresh))
        facets = dict(self._facets)
        width = width_of(self._used + fresh)
        if width > width_of(self._used):
            facets = {key: facet.widened(width) for key, facet in facets.items()}
        for key, come in _by_facet(alternatives, bits).items():
            facets[key] = (facets.get(key) or BlockFacet(key, {}, width)).changed((), come)
        return Block(_owned(self._owners, bits, segment), self._used + fresh, self._free[len(reused) :], facets)

    def flipping(self, wide: Iterable[FacetKey], moved: Moved, places: Places) -> Candidates:
        """The segments of which a conjunction may rise, and those of which one may fall, by the moves that are wide."""
        up = down = 0
        for key in wide:
            facet = self._facets.get(key)
            if facet is not None:
                old, new = moved[key]
                was, will = facet.mask(old), facet.mask(new)
                differing = was ^ will
                up |= differing & will
                down |= differing & was
        return self._narrowed(up, down, moved, places)

    def holding(self, places: Places) -> set[CompiledSegment]:
        """The segments of which a conjunction may hold now."""
        assigned = (1 << self._used) - 1 ^ whole(self._free)
        return self._narrowed(assigned, 0, {}, places)[0]

    def _narrowed(self, up: int, down: int, moved: Moved, places: Places) -> Candidates:
        """Keep what every facet leaves, until so little is left that trying the segments is cheaper."""
        order = self._narrowing_order()
        steps_left = len(order)
        for key, facet in order:
            if not (up or down):
                return set(), set()
            if steps_left & 1 and up.bit_count() + down.bit_count() <= FEW_BITS:
                break
            steps_left -= 1
            step = moved.get(key)
            if step is None:
                mask = facet.mask(places[key])
                up &= mask
                down &= mask
            else:
                up &= facet.mask(step[1])
                if down:
                    down &= facet.mask(step[0])
        return self._owning(up), self._owning(down)

    def _narrowing_order(self) -> list[tuple[FacetKey, BlockFacet]]:
        if self._order is None:
            self._order = sorted(self._facets.items(), key=lambda item: -item[1].pruning)
        return self._order

    def _owning(self, mask: int) -> set[CompiledSegment]:
        owners = self._owners
        found: set[CompiledSegment] = set()
        while mask:
            bit = mask.bit_length() - 1
            mask ^= 1 << bit
            owner = owners[bit // CHUNK_BITS][bit % CHUNK_BITS]
            if owner is not None:
                found.add(owner)
        return found


def _chunk(owners: Sequence[CompiledSegment | None]) -> Chunk:
    return (*owners, *(None,) * (CHUNK_BITS - len(owners)))


def _owned(owners: tuple[Chunk, ...], bits: Bits, owner: CompiledSegment | None) -> tuple[Chunk, ...]:
    """The owners with another one of some bits."""
    chunks = list(owners)
    for bit in bits:
        at, place = divmod(bit, CHUNK_BITS)
        if at == len(chunks):
            chunks.append(_chunk(()))
        chunks[at] = (*chunks[at][:place], owner, *chunks[at][place + 1 :])
    return tuple(chunks)


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
