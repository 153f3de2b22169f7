"""The truth of one test of one value, and how the value was read: what an explanation shows.

Rule: plain interpretation, one test at a time; matching at scale is `compiler.py`, and a test holds the two together.
None stands for *unreadable* throughout, which behaves like missing and is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from segmentation.expression import atoms
from segmentation.expression.atoms import Key, Reading, key_of
from segmentation.expression.syntax import (
    Between,
    BooleanLiteral,
    Compare,
    Condition,
    Direction,
    Equals,
    HasAll,
    HasAny,
    InFuture,
    InPast,
    InstantLiteral,
    IsSet,
    IsTrue,
    Literal,
    MissingPolicy,
    MoreThanAgo,
    MoreThanFromNow,
    NumberLiteral,
    OnDay,
    OneOf,
    Order,
    Test,
    TextLiteral,
    TextMatch,
    TextMatchKind,
    VersionLiteral,
    Within,
)
from segmentation.model import Attributes, InstantMs, Scalar, Value
from segmentation.values import (
    DAY_MS,
    elements,
    fold,
    iso_text,
    read_boolean,
    read_instant,
    read_number,
    read_text,
    read_version,
    version_key,
)


def condition_truth(condition: Condition, attributes: Attributes, now: InstantMs) -> bool:
    """Whether the condition holds: the test, its negation, and what it says about missing values."""
    value = attributes.get(condition.attribute)
    truth = None if value is None else truth_of(condition.test, value, now)
    if truth is not None:
        return truth is not condition.negated
    if isinstance(condition.test, IsSet) or condition.missing is MissingPolicy.DEFAULT:
        return condition.negated
    return condition.missing is MissingPolicy.INCLUDE


def truth_of(test: Test, value: Value, now: InstantMs) -> bool | None:
    """The positive test of a value that is there; None if it cannot be read as the test asks."""
    match test:
        case IsSet():
            return True
        case IsTrue():
            return _equals_any((BooleanLiteral(True),), False, value)
        case Equals(literal, exact):
            return _equals_any((literal,), exact, value)
        case OneOf(literals, exact):
            return _equals_any(literals, exact, value)
        case HasAny(literals):
            return _equals_any(literals, False, value)
        case HasAll(literals):
            return _equals_all(literals, value)
        case TextMatch():
            return _text_matches(test, value)
        case Compare(order, literal):
            return None if isinstance(value, list) else _compare(order, literal, value)
        case Between(low, high):
            number = read_number(value)
            return None if number is None else low.value <= number <= high.value
        case _:
            at = read_instant(value)
            return None if at is None else _time_truth(test, at, now)


def _time_truth(
    test: OnDay | Within | MoreThanAgo | MoreThanFromNow | InPast | InFuture, at: InstantMs, now: InstantMs
) -> bool:
    match test:
        case OnDay(start):
            return start <= at < start + DAY_MS
        case Within(Direction.LAST, duration_ms):
            return at <= now < at + duration_ms
        case Within(_, duration_ms):
            return at - duration_ms <= now < at
        case MoreThanAgo(duration_ms):
            return now >= at + duration_ms
        case MoreThanFromNow(duration_ms):
            return now < at - duration_ms
        case InPast():
            return now >= at
        case InFuture():
            return now < at


def boundaries(test: Test, value: Value | None) -> tuple[int, ...]:
    """The instants at which time alone can flip the test: of t-D, t and t+D those that it has."""
    at = read_instant(value)
    if at is None:
        return ()
    match test:
        case Within(Direction.LAST, duration_ms):
            return at, at + duration_ms
        case Within(_, duration_ms):
            return at - duration_ms, at
        case MoreThanAgo(duration_ms):
            return (at + duration_ms,)
        case MoreThanFromNow(duration_ms):
            return (at - duration_ms,)
        case InPast() | InFuture():
            return (at,)
        case _:
            return ()


def _equals_any(literals: tuple[Literal, ...], exact: bool, value: Value) -> bool | None:
    """Whether any element equals any literal. A list can always be read; a scalar, if one literal can read it."""
    wanted = keys_wanted(literals, exact)
    held = keys_held(value, readings_of(wanted))
    return None if not held and not isinstance(value, list) else not wanted.isdisjoint(held)


def _equals_all(literals: tuple[Literal, ...], value: Value) -> bool | None:
    """Whether each literal equals some element. What can be read is as for any."""
    wanted = keys_wanted(literals, exact=False)
    held = keys_held(value, readings_of(wanted))
    return None if not held and not isinstance(value, list) else wanted <= held


def keys_wanted(literals: Iterable[Literal], exact: bool) -> set[Key]:
    """What an element must equal, and under which reading, to equal one of the literals."""
    return {key_of(literal, exact) for literal in literals}


def readings_of(keys: Iterable[Key]) -> set[Reading]:
    """The readings of some keys."""
    return {reading for reading, _ in keys}


def keys_held(value: Value, readings: Collection[Reading]) -> set[Key]:
    """What the elements of a value equal under these readings; nothing for those that cannot be read so.

    Cost: each element once a reading, however many literals it is held against.
    """
    return {
        (reading, read)
        for element in elements(value)
        for reading in readings
        if (read := atoms.READERS[reading](element)) is not None
    }


def _compare(order: Order, literal: Literal, value: Scalar) -> bool | None:
    match literal:
        case VersionLiteral(version):
            key, wanted_key = read_version(value), version_key(version)
            return None if key is None or wanted_key is None else _ordered(order, key > wanted_key, key == wanted_key)
        case InstantLiteral(wanted):
            at = read_instant(value)
            return None if at is None else _ordered(order, at > wanted, at == wanted)
        case NumberLiteral(wanted_number):
            number = read_number(value)
            return None if number is None else _ordered(order, number > wanted_number, number == wanted_number)
        case _:
            return None


def _ordered(order: Order, above: bool, equal: bool) -> bool:
    match order:
        case Order.GT:
            return above
        case Order.GTE:
            return above or equal
        case Order.LT:
            return not above and not equal
        case Order.LTE:
            return not above


def _text_matches(test: TextMatch, value: Value) -> bool | None:
    def normal(text: str) -> str:
        return text if test.exact else fold(text)

    texts = [normal(text) for element in elements(value) if (text := read_text(element)) is not None]
    if not texts and not isinstance(value, list):
        return None
    wanted = normal(test.text)
    match test.kind:
        case TextMatchKind.CONTAINS:
            return wanted in texts if isinstance(value, list) else wanted in texts[0]
        case TextMatchKind.STARTS_WITH:
            return any(text.startswith(wanted) for text in texts)
        case TextMatchKind.ENDS_WITH:
            return any(text.endswith(wanted) for text in texts)


def reading_of(test: Test) -> str:
    """As what a test reads its value."""
    match test:
        case IsSet():
            return "any"
        case IsTrue():
            return "boolean"
        case TextMatch():
            return "text"
        case Between():
            return "number"
        case Equals(literal) | Compare(_, literal):
            return _KIND[type(literal)]
        case OneOf(literals) | HasAny(literals) | HasAll(literals):
            return " or ".join(sorted({_KIND[type(literal)] for literal in literals}))
        case _:
            return "instant"


def value_read(test: Test, value: Value) -> object:
    """A value that the test can read, as it read it, for showing. A list is shown as it is."""
    if isinstance(value, list) or isinstance(test, IsSet):
        return value
    for reading in reading_of(test).split(" or "):
        read = READERS[reading](value)
        if read is not None:
            return read
    return None


_KIND: dict[type, str] = {
    TextLiteral: "text",
    NumberLiteral: "number",
    BooleanLiteral: "boolean",
    VersionLiteral: "version",
    InstantLiteral: "instant",
}


def _instant_shown(value: Value) -> str | None:
    at = read_instant(value)
    return None if at is None else iso_text(at)


def _version_shown(value: Value) -> str | None:
    return value if isinstance(value, str) and read_version(value) is not None else None


READERS: dict[str, Callable[[Value], object]] = {  # What an explanation shows, by the name of the reading.
    "text": read_text,
    "number": read_number,
    "boolean": read_boolean,
    "version": _version_shown,
    "instant": _instant_shown,
}
