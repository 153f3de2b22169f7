"""The normal form: AND and OR over literals, each an atom or its negation; NOT and missing policies are gone.

Rule: equivalent to the expression it came from, for every contact and instant. `TRUE` is the empty conjunction, `FALSE`
the empty disjunction. An AND never holds an AND, nor an OR an OR, and no literal stands twice in one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from segmentation.expression import syntax
from segmentation.expression.atoms import (
    Atom,
    Cut,
    Reading,
    at_least,
    below,
    cut_after,
    cut_before,
    equal,
    key_of,
    member,
    present,
    readable,
    substring,
)
from segmentation.expression.syntax import (
    AllOf,
    AnyOf,
    Between,
    BooleanLiteral,
    Compare,
    Condition,
    Direction,
    Equals,
    Expression,
    HasAll,
    HasAny,
    InFuture,
    InPast,
    InSegment,
    IsSet,
    IsTrue,
    MissingPolicy,
    MoreThanAgo,
    MoreThanFromNow,
    Not,
    OnDay,
    OneOf,
    Order,
    Test,
    TextMatch,
    Within,
)
from segmentation.model import AttributeName
from segmentation.values import DAY_MS

CONJUNCTIONS_MAX = 16
"""An expression whose disjunctive form needs more conjunctions is not given one."""


class Literal(NamedTuple):
    """An atom, or its negation. A tuple, for it is hashed often and an atom hashes by identity."""

    atom: Atom
    positive: bool


@dataclass(frozen=True, slots=True)
class All:
    """Conjunction of literals and disjunctions."""

    parts: tuple[Normal, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Disjunction of literals and conjunctions."""

    parts: tuple[Normal, ...]


Normal = Literal | All | Some
Conjunction = tuple[Literal, ...]
"""Literals that must all hold; no two on one atom."""

TRUE = All(())
FALSE = Some(())


def normalize(expression: Expression, negated: bool = False) -> Normal:
    """The normal form of an expression, or of its complement."""
    match expression:
        case Not(child):
            return normalize(child, not negated)
        case AllOf(children) | AnyOf(children):
            parts = [normalize(child, negated) for child in children]
            return every(parts) if isinstance(expression, AllOf) is not negated else some(parts)
        case InSegment(segment_id):
            return Literal(member(segment_id), not negated)
        case Condition():
            return _condition(expression, negated)


def every(parts: Iterable[Normal]) -> Normal:
    """The conjunction of the parts, flat and without repetition."""
    flat: dict[Normal, None] = {}
    for part in parts:
        flat.update(dict.fromkeys(part.parts if isinstance(part, All) else (part,)))
    if FALSE in flat:
        return FALSE
    return next(iter(flat)) if len(flat) == 1 else All(tuple(flat))


def some(parts: Iterable[Normal]) -> Normal:
    """The disjunction of the parts, flat and without repetition."""
    flat: dict[Normal, None] = {}
    for part in parts:
        flat.update(dict.fromkeys(part.parts if isinstance(part, Some) else (part,)))
    if TRUE in flat:
        return TRUE
    return next(iter(flat)) if len(flat) == 1 else Some(tuple(flat))


def negation(normal: Normal) -> Normal:
    """The complement, with negation pushed to the literals."""
    if isinstance(normal, Literal):
        return Literal(normal.atom, not normal.positive)
    parts = [negation(part) for part in normal.parts]
    return some(parts) if isinstance(normal, All) else every(parts)


def literals(normal: Normal) -> Iterator[Literal]:
    """Every literal, in order, repetitions included."""
    if isinstance(normal, Literal):
        yield normal
    else:
        for part in normal.parts:
            yield from literals(part)


def conjunctions(normal: Normal, limit: int = CONJUNCTIONS_MAX) -> tuple[Conjunction, ...] | None:
    """The disjunctive form: any of these conjunctions; None if it needs more than `limit`.

    Shape: a conjunction that contradicts itself is left out; `FALSE` gives none, `TRUE` one that is empty.
    Cost: intermediate forms are bounded by `limit` too, so at most limit x literals steps.
    """
    combined = _combine(normal, limit)
    if combined is None:
        return None
    unique = {frozenset(one.items()): one for one in combined}
    return tuple(tuple(Literal(atom, positive) for atom, positive in one.items()) for one in unique.values())


def _combine(normal: Normal, limit: int) -> list[dict[Atom, bool]] | None:
    if isinstance(normal, Literal):
        return [{normal.atom: normal.positive}]
    if isinstance(normal, Some):
        alternatives: list[dict[Atom, bool]] = []
        for part in normal.parts:
            found = _combine(part, limit)
            if found is None or len(alternatives) + len(found) > limit:
                return None
            alternatives += found
        return alternatives
    product: list[dict[Atom, bool]] = [{}]
    for part in normal.parts:
        found = _combine(part, limit)
        if found is None or len(product) * len(found) > limit:
            return None
        if len(product) == len(found) == 1 and _agree(product[0], found[0]):
            product[0].update(found[0])  # in place: a conjunction of thousands is not copied for each of them
        else:
            product = [one | other for one in product for other in found if _agree(one, other)]
    return product


def _agree(one: dict[Atom, bool], other: dict[Atom, bool]) -> bool:
    return all(one.get(atom, positive) is positive for atom, positive in other.items())


def _condition(condition: Condition, negated: bool) -> Normal:
    """A condition's test over atoms, with its missing policy said through readability.

    Presence itself has no missing policy: `is set` answers for a missing value.
    """
    attribute = condition.attribute
    positive = _test(attribute, condition.test)
    truth = negation(positive) if condition.negated else positive
    if condition.missing is not MissingPolicy.DEFAULT and not isinstance(condition.test, IsSet):
        reads = _readability(attribute, condition.test)
        excluded = condition.missing is MissingPolicy.EXCLUDE
        truth = every((truth, reads)) if excluded else some((truth, negation(reads)))
    return negation(truth) if negated else truth


def _test(attribute: AttributeName, test: Test) -> Normal:
    match test:
        case IsSet():
            return Literal(present(attribute), True)
        case IsTrue():
            return _equal(attribute, (BooleanLiteral(True),), False)
        case Equals(literal, exact):
            return _equal(attribute, (literal,), exact)
        case OneOf(values, exact):
            return _equal(attribute, values, exact)
        case HasAny(values):
            return _equal(attribute, values, False)
        case HasAll(values):
            return every(_equal(attribute, (value,), False) for value in values)
        case TextMatch(kind, text, exact):
            return Literal(substring(attribute, kind, text, exact), True)
        case Compare(order, literal):
            cut = cut_before(literal) if order in {Order.GTE, Order.LT} else cut_after(literal)
            atom = at_least(attribute, *cut) if order in {Order.GT, Order.GTE} else below(attribute, *cut)
            return Literal(atom, True)
        case Between(low, high):
            return every((_from(attribute, *cut_before(low)), _until(attribute, *cut_after(high))))
        case OnDay(start):
            day = Reading.INSTANT
            return every((_from(attribute, day, start), _until(attribute, day, start + DAY_MS)))
        case _:
            return _relative(attribute, test)


def _relative(attribute: AttributeName, test: Within | MoreThanAgo | MoreThanFromNow | InPast | InFuture) -> Normal:
    """A test of now against the value, as cuts of the value's age."""
    age = Reading.AGE
    match test:
        case Within(Direction.LAST, duration):
            return every((_from(attribute, age, 0), _until(attribute, age, duration)))
        case Within(_, duration):
            return every((_from(attribute, age, -duration), _until(attribute, age, 0)))
        case MoreThanAgo(duration):
            return _from(attribute, age, duration)
        case MoreThanFromNow(duration):
            return _until(attribute, age, -duration)
        case InPast():
            return _from(attribute, age, 0)
        case InFuture():
            return _until(attribute, age, 0)


def _from(attribute: AttributeName, scale: Reading, cut: Cut) -> Literal:
    return Literal(at_least(attribute, scale, cut), True)


def _until(attribute: AttributeName, scale: Reading, cut: Cut) -> Literal:
    return Literal(below(attribute, scale, cut), True)


def _equal(attribute: AttributeName, values: tuple[syntax.Literal, ...], exact: bool) -> Literal:
    return Literal(equal(attribute, frozenset(key_of(value, exact) for value in values)), True)


def _readability(attribute: AttributeName, test: Test) -> Literal:
    """The literal that says: the test can read the value."""
    match test:
        case TextMatch():
            return Literal(readable(attribute, frozenset({Reading.FOLDED}), lists=True), True)
        case IsTrue() | Equals() | OneOf() | HasAny() | HasAll():
            return Literal(readable(attribute, frozenset(_equality_readings(test)), lists=True), True)
        case Compare(_, literal):
            return Literal(readable(attribute, frozenset({cut_before(literal)[0]}), lists=False), True)
        case Between():
            return Literal(readable(attribute, frozenset({Reading.NUMBER}), lists=False), True)
        case _:
            return Literal(readable(attribute, frozenset({Reading.INSTANT}), lists=False), True)


def _equality_readings(test: IsTrue | Equals | OneOf | HasAny | HasAll) -> set[Reading]:
    if isinstance(test, IsTrue):
        return {Reading.BOOLEAN}
    values = (test.literal,) if isinstance(test, Equals) else test.literals
    return {key_of(value)[0] for value in values}
