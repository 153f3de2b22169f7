"""A scale: the cuts that tests place on numbers, versions, instants or ages, and what lies between two values.

Rule: a value is at or above a cut, or below it, never on it; so one bisection finds its place, and the atoms between
two places are one slice of the table.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from math import inf
from typing import Any

from segmentation.expression.atoms import READERS, AtLeast, Atom, Below, Cut, Reading
from segmentation.expression.readings import (
    EPOCH_MS_MAX,
    EPOCH_MS_MIN,
    EXACT_INTEGERS_MAX,
    NUMBERS,
    VERSIONS,
    instant_of,
)
from segmentation.index.places import Flipped, Place, Placer, Step, Stepper, stepper_of
from segmentation.model import InstantMs, Value


class ScaleTable:
    """Cuts on one scale, ascending. Places: None if unreadable, else the greatest cut reached, or below all of them."""

    __slots__ = ("_at_least", "_below", "_bottom", "_scale", "cuts", "place", "step")

    def __init__(
        self, scale: Reading, cuts: tuple[Any, ...], at_least: dict[Cut, AtLeast], below: dict[Cut, Below]
    ) -> None:
        self._scale = scale
        self.cuts = cuts
        self._at_least = at_least
        self._below = below
        self._bottom: Any = () if scale is Reading.VERSION else -inf
        self.place: Placer = _scale_placer(scale, cuts, self._bottom)
        self.step: Stepper = _scale_stepper(scale, cuts, self._bottom, self.place)

    def with_atoms(self, atoms: Iterable[Any]) -> ScaleTable:
        """The table with more atoms. Cost: a copy of it; sorting takes no longer, for nearly all are in order."""
        at_least, below, cuts = dict(self._at_least), dict(self._below), list(self.cuts)
        for atom in atoms:
            if atom.cut not in at_least and atom.cut not in below:
                cuts.append(atom.cut)
            if isinstance(atom, AtLeast):
                at_least[atom.cut] = atom
            else:
                below[atom.cut] = atom
        return ScaleTable(self._scale, tuple(sorted(cuts)), at_least, below)

    def without_atoms(self, atoms: Iterable[Any]) -> ScaleTable:
        """The table with fewer atoms."""
        at_least, below = dict(self._at_least), dict(self._below)
        for atom in atoms:
            if isinstance(atom, AtLeast):
                del at_least[atom.cut]
            else:
                del below[atom.cut]
        cuts = tuple(cut for cut in self.cuts if cut in at_least or cut in below)
        return ScaleTable(self._scale, cuts, at_least, below)

    def flipped(self, old: Any, new: Any) -> Flipped:  # cuts of one scale are of one type
        """The atoms of the cuts between two places; from or to an unreadable value, all that hold at the other."""
        if old is None:
            return self._holding(new), ()
        if new is None:
            return (), self._holding(old)
        low, high = (old, new) if new > old else (new, old)
        between = self.cuts[bisect_right(self.cuts, low) : bisect_right(self.cuts, high)]
        reached = [self._at_least[cut] for cut in between if cut in self._at_least]
        passed = [self._below[cut] for cut in between if cut in self._below]
        return (reached, passed) if new > old else (passed, reached)

    def _holding(self, place: Any) -> list[Atom]:  # as above
        at = bisect_right(self.cuts, place)
        reached: list[Atom] = [self._at_least[cut] for cut in self.cuts[:at] if cut in self._at_least]
        reached += [self._below[cut] for cut in self.cuts[at:] if cut in self._below]
        return reached


def _scale_placer(scale: Reading, cuts: tuple[Any, ...], bottom: Any) -> Placer:  # as above
    floors = (bottom, *cuts)
    if scale is Reading.NUMBER:
        return _number_placer(cuts, floors)
    if scale is Reading.VERSION:
        return _version_placer(cuts, floors)
    if scale is Reading.INSTANT:
        return _instant_placer(cuts, floors)
    return _age_placer(cuts, floors)


def _number_placer(cuts: tuple[float, ...], floors: tuple[float, ...]) -> Placer:
    read_other = READERS[Reading.NUMBER]

    def place(value: Any, _: InstantMs) -> Place:  # its type is what is looked at
        kind = value.__class__
        if kind is float or (kind is int and -EXACT_INTEGERS_MAX < value < EXACT_INTEGERS_MAX):
            return floors[bisect_right(cuts, value)]
        if value is None:
            return None
        number: Any = NUMBERS[value] if kind is str else read_other(value)
        return None if number is None else floors[bisect_right(cuts, number)]

    return place


def _version_placer(cuts: tuple[Any, ...], floors: tuple[Any, ...]) -> Placer:
    def place(value: Value | None, _: InstantMs) -> Place:
        key = VERSIONS[value] if isinstance(value, str) else None
        return None if key is None else floors[bisect_right(cuts, (key, 0))]

    return place


def _instant_placer(cuts: tuple[int, ...], floors: tuple[float, ...]) -> Placer:
    def place(value: Value | None, _: InstantMs) -> Place:
        instant = None if value is None else instant_of(value)
        return None if instant is None else floors[bisect_right(cuts, instant)]

    return place


def _age_placer(cuts: tuple[int, ...], floors: tuple[float, ...]) -> Placer:
    def place(value: Value | None, now: InstantMs) -> Place:
        instant = None if value is None else instant_of(value)
        return None if instant is None else floors[bisect_right(cuts, now - instant)]

    return place


def _scale_stepper(scale: Reading, cuts: tuple[Any, ...], bottom: Any, place: Placer) -> Stepper:  # as above
    floors = (bottom, *cuts)
    if scale is Reading.NUMBER:
        return _number_stepper(cuts, floors, place)
    if scale is Reading.AGE:
        return _age_stepper(cuts, floors, place)
    return stepper_of(place)


def _number_stepper(cuts: tuple[float, ...], floors: tuple[float, ...], place: Placer) -> Stepper:
    other = stepper_of(place)

    def step(old: Any, new: Any, now: InstantMs) -> Step | None:  # their types are what is looked at
        if (
            old.__class__ is int
            and new.__class__ is int
            and -EXACT_INTEGERS_MAX < old < EXACT_INTEGERS_MAX
            and -EXACT_INTEGERS_MAX < new < EXACT_INTEGERS_MAX
        ):
            was, will = bisect_right(cuts, old), bisect_right(cuts, new)
            return None if was == will else (floors[was], floors[will])
        return other(old, new, now)

    return step


def _age_stepper(cuts: tuple[int, ...], floors: tuple[float, ...], place: Placer) -> Stepper:
    other = stepper_of(place)

    def step(old: Any, new: Any, now: InstantMs) -> Step | None:  # as above
        if (
            old.__class__ is int
            and new.__class__ is int
            and EPOCH_MS_MIN <= old <= EPOCH_MS_MAX
            and EPOCH_MS_MIN <= new <= EPOCH_MS_MAX
        ):
            was, will = bisect_right(cuts, now - old), bisect_right(cuts, now - new)
            return None if was == will else (floors[was], floors[will])
        return other(old, new, now)

    return step
