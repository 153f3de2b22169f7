"""The masks of one block on one facet: which of the block's conjunctions a place leaves possible.

The literals of a conjunction on one facet are a *constraint*; a mask has the bits whose constraint holds at the place,
and those without one. Rule: made from where every atom is false by toggling the constraints that differ; a mask once
made is remembered, bounded. Immutable otherwise.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from segmentation.expression.atoms import AtLeast, Atom, Below
from segmentation.expression.normal import Literal
from segmentation.index.places import FacetKey, FacetKind, Place, truth

BLOCK_BITS = 16_384
"""Conjunctions that a block holds."""
WIDTH_MIN = 512
"""Bits of the masks of a small block; they are doubled as it grows, so that few conjunctions make short integers."""
MASKS_MAX = 256
"""Masks that one facet of one block remembers: at most 2 KiB each."""
STEPS_BETWEEN_KEPT = 32
"""Cuts between two masks that a scale keeps whatever is forgotten."""
LONE_BITS_MAX = 4
"""So few bits are kept as their places; more as one integer."""
PRUNING = {FacetKind.MATCHES: 0.9, FacetKind.PRESENCE: 0.2}
"""The share of the constrained bits that a place is expected to strike out, for facets that are no scales."""
PRUNING_OF_SCALES = 0.5

Constraint = tuple[Literal, ...]
"""The literals of a conjunction on one facet, in a fixed order. All must hold."""
Bits = tuple[int, ...]


class BlockFacet:
    """The constraints of one block on one facet."""

    __slots__ = ("_constraints", "_key", "_made", "_make", "_width", "pruning")

    def __init__(self, key: FacetKey, constraints: Mapping[Constraint, Bits], width: int) -> None:
        self._key = key
        self._constraints = constraints
        self._width = width
        self._make: SetMasks | ScaleMasks | None = None
        self._made: dict[Place, int] = {}
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
        return BlockFacet(self._key, constraints, self._width)

    def widened(self, width: int) -> BlockFacet:
        """The same constraints among more bits."""
        return BlockFacet(self._key, self._constraints, width)

    def mask(self, place: Place) -> int:
        """The bits that this facet leaves at a place."""
        found = self._made.get(place)
        if found is None:
            if self._make is None:
                on_scale = self._key.kind not in {FacetKind.MATCHES, FacetKind.PRESENCE}
                of_kind = ScaleMasks if on_scale else SetMasks
                self._make = of_kind(self._constraints, self._width)
            if len(self._made) >= MASKS_MAX:
                self._made.clear()
            found = self._made[place] = self._make(place)
        return found


class Joint(NamedTuple):
    """A constraint of several literals, and its bits."""

    asked: frozenset[Atom]
    refused: frozenset[Atom]
    bits: int | Bits


class SetMasks:
    """Makes masks where a place is the set of atoms that hold: from the mask of no atom, by what these atoms toggle.

    Shape: `_toggles` has, by atom, the bits constrained by that atom alone: one that asks for it is struck out where it
    is false, one that refuses it where it is true, so its truth toggles both. `_joint` has the longer constraints,
    under one atom that they ask for, or else under every atom that they refuse.
    """

    __slots__ = ("_joint", "_resting", "_toggles")

    def __init__(self, constraints: Mapping[Constraint, Bits], width: int) -> None:
        self._resting = _resting(constraints, width)
        self._joint: dict[Atom, list[Joint]] = {}
        alone: dict[Atom, Bits] = {}
        for constraint, bits in constraints.items():
            if len(constraint) == 1:
                atom = constraint[0].atom
                alone[atom] = (*alone.get(atom, ()), *bits)
            else:
                self._add_joint(constraint, bits)
        self._toggles = {atom: _compact(bits) for atom, bits in alone.items()}

    def _add_joint(self, constraint: Constraint, bits: Bits) -> None:
        asked = [atom for atom, positive in constraint if positive]
        refused = [atom for atom, positive in constraint if not positive]
        joint = Joint(frozenset(asked), frozenset(refused), _compact(bits))
        for atom in asked[:1] or refused:
            self._joint.setdefault(atom, []).append(joint)

    def __call__(self, place: Any) -> int:  # atoms; of presence, whether there is a value
        """The mask at a place."""
        joint, toggles = self._joint, self._toggles
        if not isinstance(place, frozenset):
            place = frozenset({*toggles, *joint}) if place else frozenset()
        mask = self._resting
        for atom in place:
            bits = toggles.get(atom)
            if bits is not None:
                mask = mask ^ bits if isinstance(bits, int) else _toggled(mask, bits)
        return self._with_joint(mask, place) if joint else mask

    def _with_joint(self, mask: int, place: frozenset[Atom]) -> int:
        tried: set[Joint] = set()
        for atom in place:
            for one in self._joint.get(atom, ()):
                if one in tried:
                    continue
                tried.add(one)
                if not one.asked or (one.asked <= place and one.refused.isdisjoint(place)):
                    mask = _toggled(mask, one.bits)
        return mask


class ScaleMasks:
    """Makes masks where a place is a cut: from the nearest kept mask below it, by what the cuts in between toggle."""

    __slots__ = ("_cuts", "_kept", "_resting", "_steps")

    def __init__(self, constraints: Mapping[Constraint, Bits], width: int) -> None:
        self._resting = _resting(constraints, width)
        steps: dict[Any, list[int]] = {}
        lowest: list[int] = []
        for constraint, bits in constraints.items():
            held = all(isinstance(atom, Below) is positive for atom, positive in constraint)
            lowest += bits if held else ()
            for cut in sorted({atom.cut for atom, _ in constraint if isinstance(atom, AtLeast | Below)}):
                holds = all(truth(atom, cut) is positive for atom, positive in constraint)
                if holds is not held:
                    steps.setdefault(cut, []).extend(bits)
                held = holds
        self._cuts = sorted(steps)
        self._steps = [_compact(tuple(steps[cut])) for cut in self._cuts]
        mask = full(width) ^ whole(bit for bits in constraints.values() for bit in bits) | whole(lowest)
        self._kept = [mask]
        for number, step in enumerate(self._steps, start=1):
            mask = _toggled(mask, step)
            if number % STEPS_BETWEEN_KEPT == 0:
                self._kept.append(mask)

    def __call__(self, place: Any) -> int:  # a cut of the scale
        """The mask at a place."""
        if place is None:
            return self._resting
        at = bisect_right(self._cuts, place)
        nearest = at // STEPS_BETWEEN_KEPT
        mask = self._kept[nearest]
        for step in self._steps[nearest * STEPS_BETWEEN_KEPT : at]:
            mask = _toggled(mask, step)
        return mask


def width_of(bits: int) -> int:
    """How wide the masks of a block of so many bits are: the next power of two."""
    return max(WIDTH_MIN, 1 << (bits - 1).bit_length())


def full(width: int) -> int:
    """The mask of all bits."""
    return (1 << width) - 1


def _resting(constraints: Mapping[Constraint, Bits], width: int) -> int:
    """What is left where every atom is false: all but the constraints that ask for one."""
    asking = (bits for constraint, bits in constraints.items() if any(literal.positive for literal in constraint))
    return full(width) ^ whole(bit for bits in asking for bit in bits)


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
