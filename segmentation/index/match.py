"""Equality, substrings and readability: the atoms of an attribute that are found by value, or tried one by one.

Rule: equality is a look-up under each reading that some atom asks for; on a list, of each element. The places of values
are remembered, for they repeat; the memory is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from segmentation.expression.atoms import READERS, Atom, Equal, Readable, Reading, Substring
from segmentation.expression.readings import EPOCH_MS_MAX, FOLDED, REMEMBERED_CHARS_MAX
from segmentation.expression.syntax import TextMatchKind
from segmentation.index.places import Flipped, Place, Placer, Step, Stepper, stepper_of
from segmentation.model import InstantMs, Scalar, Value
from segmentation.values import read_text

PLACES_MAX = 4_096
"""Values whose place a facet remembers."""

NOTHING: frozenset[Atom] = frozenset()
EqualTables = dict[Reading, dict[Any, tuple[Equal, ...]]]
"""By reading, from what a value is read as to the atoms that it equals."""


class MatchTable:
    """Equality, substrings and readability. Places: the set of atoms that hold.

    Nothing that it is made of refers back to it, so that a table goes with its last catalogue, unaided.
    """

    __slots__ = ("_equal", "_readable", "_substrings", "place", "step")

    def __init__(self, equal: EqualTables, substrings: tuple[Substring, ...], readable: tuple[Readable, ...]) -> None:
        self._equal = equal
        self._substrings = substrings
        self._readable = readable
        matcher = _Matcher(equal, substrings, readable)
        self.place: Placer = _placer(matcher)
        self.step: Stepper = _stepper(matcher, self.place)
        if not equal and not substrings:
            self.place = _readability_placer(matcher.matching(0, False), self.place)
            self.step = _readability_stepper(self.place)

    def with_atoms(self, atoms: Iterable[Any]) -> MatchTable:
        """The table with more atoms."""
        atoms = tuple(atoms)
        tables = self._copied(atoms)
        for atom in atoms:
            for reading, payload in atom.keys if isinstance(atom, Equal) else ():
                tables[reading][payload] = (*tables[reading].get(payload, ()), atom)
        return MatchTable(
            tables,
            (*self._substrings, *(atom for atom in atoms if isinstance(atom, Substring))),
            (*self._readable, *(atom for atom in atoms if isinstance(atom, Readable))),
        )

    def without_atoms(self, atoms: Iterable[Any]) -> MatchTable:
        """The table with fewer atoms."""
        gone = set(atoms)
        tables = self._copied(gone)
        for atom in gone:
            for reading, payload in atom.keys if isinstance(atom, Equal) else ():
                left = tuple(other for other in tables[reading][payload] if other is not atom)
                if left:
                    tables[reading][payload] = left
                else:
                    del tables[reading][payload]
        return MatchTable(
            {reading: table for reading, table in tables.items() if table},
            tuple(atom for atom in self._substrings if atom not in gone),
            tuple(atom for atom in self._readable if atom not in gone),
        )

    def _copied(self, atoms: Iterable[Any]) -> EqualTables:
        """The tables of equality, with copies of those that these atoms are in."""
        tables = dict(self._equal)
        for reading in {reading for atom in atoms if isinstance(atom, Equal) for reading, _ in atom.keys}:
            tables[reading] = dict(tables.get(reading, {}))
        return tables

    def flipped(self, old: frozenset[Atom], new: frozenset[Atom]) -> Flipped:
        """The symmetric difference, by direction."""
        return new - old, old - new


class _Matcher:
    """From a value to the atoms that hold for it, remembered."""

    __slots__ = ("_equal", "_memory", "_readable", "_substrings", "readable_by_lists", "texts")

    def __init__(self, equal: EqualTables, substrings: tuple[Substring, ...], readable: tuple[Readable, ...]) -> None:
        self._equal = equal
        self._substrings = substrings
        self._readable = readable
        self._memory: dict[tuple[type, Scalar, bool], frozenset[Atom]] = {}
        self.readable_by_lists = frozenset[Atom](atom for atom in readable if atom.lists)
        self.texts: dict[str, frozenset[Atom]] = {}

    def learn(self, memory: dict[str, frozenset[Atom]], text: str, in_list: bool) -> frozenset[Atom]:
        """`matching` of a text that the memory does not know; a long one is not worth its room there."""
        found = self.matching(text, in_list)
        if len(text) <= REMEMBERED_CHARS_MAX:
            if len(memory) >= PLACES_MAX:
                memory.clear()
            memory[text] = found
        return found

    def remembered(self, value: Scalar, in_list: bool) -> frozenset[Atom]:
        """`matching` of what is no text, with a memory; its keys have the type, for `1` and `True` are equal to it."""
        memory = self._memory
        key = (value.__class__, value, in_list)
        found = memory.get(key)
        if found is None:
            if len(memory) >= PLACES_MAX:
                memory.clear()
            found = memory[key] = self.matching(value, in_list)
        return found

    def matching(self, value: Scalar, in_list: bool) -> frozenset[Atom]:
        """The atoms that hold for a scalar, alone or as an element of a list."""
        found: list[Atom] = []
        for reading, table in self._equal.items():
            read = READERS[reading](value)
            if read is not None:
                found += table.get(read, ())
        if self._substrings:
            exact = read_text(value)
            if exact is not None:
                folded = FOLDED[exact]
                found += [atom for atom in self._substrings if _has(atom, exact if atom.exact else folded, in_list)]
        if not in_list:
            found += [
                atom for atom in self._readable if any(READERS[reading](value) is not None for reading in atom.readings)
            ]
        return frozenset(found) if found else NOTHING


class _Elements(dict[Any, frozenset[Atom]]):
    """Text → the atoms that hold for it in a list. What is no text is found and not kept: `1` is `True` to it."""

    def __init__(self, matcher: _Matcher) -> None:
        super().__init__()
        self._matcher = matcher

    def __missing__(self, element: Scalar) -> frozenset[Atom]:
        matcher = self._matcher
        return matcher.learn(self, element, True) if isinstance(element, str) else matcher.remembered(element, True)


def _placer(matcher: _Matcher) -> Placer:
    texts, learn, remembered = matcher.texts, matcher.learn, matcher.remembered
    by_lists, element = matcher.readable_by_lists, _Elements(matcher).__getitem__

    def place(value: Value | None, _: InstantMs) -> Place:
        if value.__class__ is str:
            found = texts.get(value)
            return learn(texts, value, False) if found is None else found
        if value is None:
            return NOTHING
        # A list is where any of its elements is, and where it is readable itself.
        return by_lists.union(*map(element, value)) if isinstance(value, list) else remembered(value, False)

    return place


def _stepper(matcher: _Matcher, place: Placer) -> Stepper:
    texts, other = matcher.texts, stepper_of(place)

    def step(old: Value | None, new: Value | None, now: InstantMs) -> Step | None:
        if old.__class__ is str and new.__class__ is str:
            was, will = texts.get(old), texts.get(new)
            if was is not None and will is not None:
                return None if was == will else (was, will)
        return other(old, new, now)

    return step


def _readability_placer(whole: frozenset[Atom], other: Placer) -> Placer:
    """Where readability is all that is asked for: whole numbers from 0 to `EPOCH_MS_MAX` are read in the same ways."""

    def place(value: Any, now: InstantMs) -> Place:  # its type is what is looked at
        return whole if value.__class__ is int and 0 <= value <= EPOCH_MS_MAX else other(value, now)

    return place


def _readability_stepper(place: Placer) -> Stepper:
    other = stepper_of(place)

    def step(old: Any, new: Any, now: InstantMs) -> Step | None:  # as above
        if old.__class__ is int and new.__class__ is int and 0 <= old <= EPOCH_MS_MAX and 0 <= new <= EPOCH_MS_MAX:
            return None
        return other(old, new, now)

    return step


def _has(atom: Substring, text: str, in_list: bool) -> bool:
    """A substring test; an element of a list is not searched, but compared."""
    if atom.kind is TextMatchKind.CONTAINS:
        return text == atom.text if in_list else atom.text in text
    if atom.kind is TextMatchKind.STARTS_WITH:
        return text.startswith(atom.text)
    return text.endswith(atom.text)
