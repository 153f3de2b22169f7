"""What a facet is, and what its table must answer: from a value to its place, and between places the atoms that flip.

A facet is one way of looking at an attribute: what it equals or contains, where it lies on a scale, whether it is set.
Two values at one place agree on every atom of the facet; between two places, `flipped` gives exactly the atoms that
differ. Rule: a place means the same in every snapshot: it is made of atoms or cuts, never of positions in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from segmentation.expression.atoms import AtLeast, Atom, AttributeAtom, Below, Present
from segmentation.model import AttributeName, InstantMs, Value

Place = Hashable
"""None or empty: missing or unreadable. Else the atoms that hold, or the greatest cut that the value has reached."""
Placer = Callable[[Value | None, InstantMs], Place]
Step = tuple[Place, Place]
"""From one place to another."""
Stepper = Callable[[Value | None, Value | None, InstantMs], Step | None]
"""The places of an old and a new value at one instant; None if they are the same, as they mostly are."""
Flipped = tuple[Iterable[Atom], Iterable[Atom]]
"""The atoms that rise (become true), and those that fall."""


class FacetKind(StrEnum):
    """The ways of looking at an attribute; the last four are scales."""

    MATCHES = "matches"
    PRESENCE = "presence"
    NUMBER = "number"
    VERSION = "version"
    INSTANT = "instant"
    AGE = "age"


class FacetKey(NamedTuple):
    """Which facet of which attribute."""

    attribute: AttributeName
    kind: FacetKind


class Table(Protocol):
    """The atoms of one facet, arranged by value. Immutable."""

    @property
    def place(self) -> Placer:
        """Where a value lies."""

    @property
    def step(self) -> Stepper:
        """What a change of value does: `place` for both at once."""

    def with_atoms(self, atoms: Iterable[Any]) -> Table:
        """The table with more atoms."""

    def without_atoms(self, atoms: Iterable[Any]) -> Table:
        """The table with fewer atoms."""

    def flipped(self, old: Any, new: Any) -> Flipped:  # each table has its own places
        """The atoms that differ between two places."""


def facet_key(atom: AttributeAtom) -> FacetKey:
    """The facet that an atom belongs to."""
    if isinstance(atom, AtLeast | Below):
        return FacetKey(atom.attribute, FacetKind(atom.scale.value))
    return FacetKey(atom.attribute, FacetKind.PRESENCE if isinstance(atom, Present) else FacetKind.MATCHES)


def truth(atom: Atom, place: Any) -> bool:  # a place of the atom's own facet
    """Whether an atom holds at a place of its facet."""
    if isinstance(place, frozenset):
        return atom in place
    if isinstance(place, bool):
        return place
    if isinstance(atom, AtLeast):
        return place is not None and place >= atom.cut
    return isinstance(atom, Below) and place is not None and place < atom.cut


def stepper_of(place: Placer) -> Stepper:
    """The two places of a change, one by one."""

    def step(old: Value | None, new: Value | None, now: InstantMs) -> Step | None:
        was, will = place(old, now), place(new, now)
        return None if was == will else (was, will)

    return step


class PresenceTable:
    """The one atom of presence. Places: whether there is a value."""

    __slots__ = ("_atom", "place", "step")

    def __init__(self, atom: Present | None) -> None:
        self._atom = atom
        self.place: Placer = _is_present
        self.step: Stepper = _appears_or_goes

    def with_atoms(self, atoms: Iterable[Any]) -> PresenceTable:
        """The table with the atom."""
        return PresenceTable(next(iter(atoms), self._atom))

    def without_atoms(self, atoms: Iterable[Any]) -> PresenceTable:
        """The table without it."""
        return PresenceTable(None if self._atom in atoms else self._atom)

    def flipped(self, old: bool, _: bool) -> Flipped:
        """Presence itself: the places differ."""
        atoms = () if self._atom is None else (self._atom,)
        return ((), atoms) if old else (atoms, ())


def _is_present(value: Value | None, _: InstantMs) -> bool:
    return value is not None


def _appears_or_goes(old: Value | None, new: Value | None, _: InstantMs) -> Step | None:
    was, will = old is not None, new is not None
    return None if was is will else (was, will)
