"""Atoms: the interned tests that segments share, each on one attribute, each false on a missing or unreadable value.

Rule: equal atoms are one object, so identity is equality; make them only with the functions below. An atom is positive:
negation, and what a condition gives for a missing value, are said around it (`normal.py`), in terms of `Readable`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf, nextafter
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from segmentation.expression.syntax import (
    BooleanLiteral,
    InstantLiteral,
    Literal,
    NumberLiteral,
    TextLiteral,
    TextMatchKind,
    VersionLiteral,
)
from segmentation.model import AttributeName, InstantMs, Scalar, SegmentId, Value
from segmentation.values import (
    VersionKey,
    elements,
    fold,
    read_boolean,
    read_instant,
    read_number,
    read_text,
    read_version,
    version_key,
)


class Reading(StrEnum):
    """How a value is read before it is compared."""

    FOLDED = "folded"
    """Text, compared without regard to case."""
    EXACT = "exact"
    """Text, compared by code points."""
    NUMBER = "number"
    BOOLEAN = "boolean"
    VERSION = "version"
    INSTANT = "instant"
    AGE = "age"
    """`now` minus the instant, in milliseconds: what every relative time test compares."""


VersionCut = tuple[VersionKey, int]
"""A place between versions: (key, 0) is just before the version, (key, 1) just after it."""
Cut = float | int | VersionCut
"""A place on a scale, with nothing on it: a value is at or above it, or below."""
Key = tuple[Reading, str | float | bool | VersionKey]
"""What a value equals, under a reading."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Equal:
    """Some element of the value (or the value) equals one of the keys."""

    attribute: AttributeName
    keys: frozenset[Key]
    payloads: frozenset[str | float | bool | VersionKey] = field(init=False)
    """The keys without their readings."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "payloads", frozenset(payload for _, payload in self.keys))


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Substring:
    """The value contains, starts with or ends with the text; on a list, `contains` asks for an equal element."""

    attribute: AttributeName
    kind: TextMatchKind
    text: str
    exact: bool


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class AtLeast:
    """The value is readable on the scale and at or above the cut. False on a list."""

    attribute: AttributeName
    scale: Reading
    cut: Cut


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Below:
    """The value is readable on the scale and below the cut. False on a list.

    It is an atom of its own, not `AtLeast` negated: on a missing value both are false.
    """

    attribute: AttributeName
    scale: Reading
    cut: Cut


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Present:
    """There is a value, whatever it is."""

    attribute: AttributeName


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Readable:
    """The value can be read in one of these ways; `lists` says whether a list counts as readable."""

    attribute: AttributeName
    readings: frozenset[Reading]
    lists: bool


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Member:
    """The contact is a member of the segment."""

    segment_id: SegmentId


AttributeAtom = Equal | Substring | AtLeast | Below | Present | Readable
Atom = AttributeAtom | Member

_A = TypeVar("_A", Equal, Substring, AtLeast, Below, Present, Readable, Member)
_interned: WeakValueDictionary[tuple[Any, ...], Atom] = WeakValueDictionary()


def _intern(kind: type[_A], *parts: Any) -> _A:  # each kind has its own parts; its constructor types them
    key = (kind, *parts)
    atom = _interned.get(key)
    if atom is None:
        atom = _interned[key] = kind(*parts)
    return atom  # type: ignore[return-value]  # the key names the kind


def equal(attribute: AttributeName, keys: frozenset[Key]) -> Equal:
    """The atom that asks whether the value equals one of the keys."""
    return _intern(Equal, attribute, keys)


def substring(attribute: AttributeName, kind: TextMatchKind, text: str, exact: bool) -> Substring:
    """The atom of a substring test; unless exact, the text is compared folded."""
    return _intern(Substring, attribute, kind, text if exact else fold(text), exact)


def at_least(attribute: AttributeName, scale: Reading, cut: Cut) -> AtLeast:
    """The atom of a value at or above a cut."""
    return _intern(AtLeast, attribute, scale, cut)


def below(attribute: AttributeName, scale: Reading, cut: Cut) -> Below:
    """The atom of a value below a cut."""
    return _intern(Below, attribute, scale, cut)


def present(attribute: AttributeName) -> Present:
    """The atom of presence."""
    return _intern(Present, attribute)


def readable(attribute: AttributeName, readings: frozenset[Reading], lists: bool) -> Readable:
    """The atom of readability."""
    return _intern(Readable, attribute, readings, lists)


def member(segment_id: SegmentId) -> Member:
    """The atom of membership in another segment."""
    return _intern(Member, segment_id)


def key_of(literal: Literal, exact: bool = False) -> Key:
    """What a value must equal, and under which reading, to equal the literal."""
    match literal:
        case TextLiteral(text):
            return (Reading.EXACT, text) if exact else (Reading.FOLDED, fold(text))
        case NumberLiteral(number):
            return (Reading.NUMBER, float(number))
        case BooleanLiteral(truth):
            return (Reading.BOOLEAN, truth)
        case VersionLiteral(text):
            return (Reading.VERSION, _version_key(text))
        case InstantLiteral(at):
            return (Reading.INSTANT, at)


def cut_before(literal: Literal) -> tuple[Reading, Cut]:
    """The cut just before a literal: the literal itself is at or above it."""
    match literal:
        case NumberLiteral(number):
            return Reading.NUMBER, float(number)
        case VersionLiteral(text):
            return Reading.VERSION, (_version_key(text), 0)
        case InstantLiteral(at):
            return Reading.INSTANT, at
    raise AssertionError(f"{literal!r} has no order")


def cut_after(literal: Literal) -> tuple[Reading, Cut]:
    """The cut just after a literal: the literal itself is below it."""
    match literal:
        case NumberLiteral(number):
            return Reading.NUMBER, nextafter(float(number), inf)
        case VersionLiteral(text):
            return Reading.VERSION, (_version_key(text), 1)
        case InstantLiteral(at):
            return Reading.INSTANT, at + 1
    raise AssertionError(f"{literal!r} has no order")


def _version_key(text: str) -> VersionKey:
    key = version_key(text)
    if key is None:
        raise AssertionError(f"{text!r} is not a version; the parser should have refused it")
    return key


def _read_folded(value: Value | None) -> str | None:
    text = read_text(value)
    return None if text is None else fold(text)


READERS: dict[Reading, Callable[[Scalar], str | float | bool | VersionKey | None]] = {
    Reading.FOLDED: _read_folded,
    Reading.EXACT: read_text,
    Reading.NUMBER: read_number,
    Reading.BOOLEAN: read_boolean,
    Reading.VERSION: read_version,
    Reading.INSTANT: read_instant,
}
"""How a scalar becomes the payload of a key."""


def place_on(scale: Reading, value: Value | None, now: InstantMs) -> Cut | None:
    """Where a value lies on a scale of cuts; None when it is missing or unreadable there."""
    if scale is Reading.NUMBER:
        return read_number(value)
    if scale is Reading.VERSION:
        key = read_version(value)
        return None if key is None else (key, 0)
    instant = read_instant(value)
    if instant is None or scale is Reading.INSTANT:
        return instant
    return now - instant


def holds(atom: AttributeAtom, value: Value | None, now: InstantMs) -> bool:
    """Truth of an atom, by definition: the yardstick of every faster way."""
    if value is None:
        return False
    match atom:
        case Equal(_, keys):
            readings = {reading for reading, _ in keys}
            return any((reading, READERS[reading](one)) in keys for one in elements(value) for reading in readings)
        case Substring():
            return _has_substring(atom, value)
        case AtLeast(_, scale, cut):
            place = place_on(scale, value, now)
            return place is not None and place >= cut  # type: ignore[operator]  # one scale has one type of cut
        case Below(_, scale, cut):
            place = place_on(scale, value, now)
            return place is not None and place < cut  # type: ignore[operator]  # as above
        case Present():
            return True
        case Readable(_, readings, lists):
            if isinstance(value, list):
                return lists
            return any(READERS[reading](value) is not None for reading in readings)


def _has_substring(atom: Substring, value: Value) -> bool:
    texts = [text if atom.exact else fold(text) for one in elements(value) if (text := read_text(one)) is not None]
    if atom.kind is TextMatchKind.STARTS_WITH:
        return any(text.startswith(atom.text) for text in texts)
    if atom.kind is TextMatchKind.ENDS_WITH:
        return any(text.endswith(atom.text) for text in texts)
    if isinstance(value, list):
        return atom.text in texts
    return any(atom.text in text for text in texts)
