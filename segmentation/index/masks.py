"""The masks of one block on one facet: which of the block's conjunctions a place leaves possible.

The literals of a conjunction on one facet are a *constraint*; a mask has the bits whose constraint holds at the place,
and those without one. Rule: made from where every atom is false by toggling the constraints that differ; a mask once
made is remembered, bounded. Immutable otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from segmentation.expression.atoms import Atom
from segmentation.expression.normal import Literal
from segmentation.index.places import FacetKey, FacetKind, Place, truth

BLOCK_BITS = 16_384
"""Conjunctions that a block holds."""
FULL = (1 << BLOCK_BITS) - 1
MASKS_MAX = 256
"""Masks that one facet of one block remembers: at most 2 KiB each."""
LONE_BITS_MAX = 4
"""So few bits are kept as their places; more as one integer."""
PRUNING = {FacetKind.MATCHES: 0.9, FacetKind.PRESENCE: 0.2}
"""The share of the constrained bits that a place is expected to strike out, for facets that are no scales."""
PRUNING_OF_SCALES = 0.5

Constraint = tuple[Literal, ...]
"""The literals of a conjunction on one facet, in a fixed order. All must hold."""
Bits = tuple[int, ...]


class Joint(NamedTuple):
    """A constraint of several literals, and its bits."""

    asked: frozenset[Atom]
    refused: frozenset[Atom]
    bits: int | Bits


class BlockFacet:
    """The constraints of one block on one facet.

    Shape: `_toggles` has, by atom, the bits constrained by that atom alone: one that asks for it is struck out where it
    is false, one that refuses it where it is true, so its truth toggles both. `_joint` has the longer constraints,
    under one atom that they ask for, or else under every atom that they refuse.
    """

    __slots__ = ("_atoms", "_constraints", "_joint", "_key", "_masks", "_resting", "_toggles", "pruning")

    def __init__(self, key: FacetKey, constraints: Mapping[Constraint, Bits]) -> None:
        self._key = key
        self._constraints = constraints
        self._masks: dict[Place, int] = {}
        self._resting: int | None = None
        self._toggles: dict[Atom, int | Bits] = {}
        self._joint: dict[Atom, list[Joint]] = {}
        self._atoms: set[Atom] = set()
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
        mask = self._prepared() if self._resting is None else self._resting
        if not isinstance(place, frozenset):
            place = frozenset(atom for atom in self._atoms if truth(atom, place))
        joint, toggles = self._joint, self._toggles
        tried: set[Joint] = set()
        for atom in place:
            if atom in toggles:
                mask = _toggled(mask, toggles[atom])
            for one in joint.get(atom, ()):
                if one in tried:
                    continue
                tried.add(one)
                if not one.asked or (one.asked <= place and one.refused.isdisjoint(place)):
                    mask = _toggled(mask, one.bits)
        return mask

    def _prepared(self) -> int:
        """Arrange the constraints, and say what is left where every atom is false: all that ask for none."""
        alone: dict[Atom, Bits] = {}
        for constraint, bits in self._constraints.items():
            self._atoms.update(atom for atom, _ in constraint)
            if len(constraint) == 1:
                atom = constraint[0].atom
                alone[atom] = (*alone.get(atom, ()), *bits)
            else:
                self._add_joint(constraint, bits)
        for atom, bits in alone.items():
            self._toggles[atom] = _compact(bits)
        asking = (bits for constraint, bits in self._constraints.items() if any(one.positive for one in constraint))
        resting = self._resting = FULL ^ whole(bit for bits in asking for bit in bits)
        return resting

    def _add_joint(self, constraint: Constraint, bits: Bits) -> None:
        asked = [atom for atom, positive in constraint if positive]
        refused = [atom for atom, positive in constraint if not positive]
        joint = Joint(frozenset(asked), frozenset(refused), _compact(bits))
        for atom in asked[:1] or refused:
            self._joint.setdefault(atom, []).append(joint)


def whole(bits: Iterable[int]) -> int:
    """The integer with these bits."""
    octets = bytearray(BLOCK_BITS // 8)
    for bit in bits:
        octets[bit >> 3] |= 1 << (bit & 7)
    return int.from_bytes(octets, "little")


def _compact(bits: Bits) -> int | Bits:
    return bits if len(bits) <= LONE_BITS_MAX else whole(bits)


def _toggled(mask: int, bits: int | Bits) -> int:
    if isinstance(bits, int):
        return mask ^ bits
    for bit in bits:
        mask ^= 1 << bit
    return mask
