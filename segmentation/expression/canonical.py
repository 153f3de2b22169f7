"""One tree for each way to say the same: what is stored, compared, shown and compiled.

Rule: the meaning never changes, and a canonical tree is its own canonical tree. Written order and brackets that matter
are kept; nothing is reordered, merged or simplified beyond the rules in `GRAMMAR.md`, "Canonical form".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace

from segmentation.expression.limits import LITERAL_CHARS_MAX
from segmentation.expression.syntax import (
    AllOf,
    AnyOf,
    Between,
    BooleanLiteral,
    Compare,
    Condition,
    Equals,
    Expression,
    HasAll,
    HasAny,
    InSegment,
    IsSet,
    IsTrue,
    ListLiteral,
    Literal,
    MissingPolicy,
    Not,
    NumberLiteral,
    OneOf,
    Order,
    Test,
    TextLiteral,
    TextMatch,
    VersionLiteral,
)
from segmentation.values import fold, number_text

OPPOSITE = {Order.GT: Order.LTE, Order.GTE: Order.LT, Order.LT: Order.GTE, Order.LTE: Order.GT}
_COMPLEMENT = {
    MissingPolicy.DEFAULT: MissingPolicy.DEFAULT,
    MissingPolicy.EXCLUDE: MissingPolicy.INCLUDE,
    MissingPolicy.INCLUDE: MissingPolicy.EXCLUDE,
}


def canonicalize(expression: Expression) -> Expression:
    """The canonical tree of the same meaning. Spans stay with the conditions they came from."""
    if isinstance(expression, Condition):
        return _condition(expression)
    if isinstance(expression, InSegment):
        return expression
    if isinstance(expression, Not):
        return complement(canonicalize(expression.child))
    children = tuple(_flattened(type(expression), map(canonicalize, expression.children)))
    return children[0] if len(children) == 1 else replace(expression, children=children)


def complement(expression: Expression) -> Expression:
    """The canonical tree of the exact complement of a canonical one."""
    if isinstance(expression, Not):
        return expression.child
    if isinstance(expression, Condition):
        negated = replace(expression, negated=not expression.negated, missing=_COMPLEMENT[expression.missing])
        return _condition(negated)
    return Not(expression, expression.span)


def canonical_text(text: str) -> str:
    """How a text that is compared without regard to case is written: as it is compared.

    A few texts fold differently a second time, or beyond the limit; they stay as composed, which compares the same.
    """
    folded = fold(text)
    if fold(folded) == folded and len(folded) <= LITERAL_CHARS_MAX:
        return folded
    composed = unicodedata.normalize("NFC", text)
    return composed if len(composed) <= LITERAL_CHARS_MAX and fold(composed) == folded else text


def _flattened(kind: type[AllOf] | type[AnyOf], children: Iterable[Expression]) -> Iterable[Expression]:
    for child in children:
        if isinstance(child, AllOf | AnyOf) and type(child) is kind:
            yield from child.children
        else:
            yield child


def _condition(condition: Condition) -> Condition:
    """The one spelling of a condition: a policy only where it says something, comparisons never negated."""
    test, negated, missing = _test(condition.test), condition.negated, condition.missing
    if isinstance(test, IsSet) or missing is (MissingPolicy.INCLUDE if negated else MissingPolicy.EXCLUDE):
        missing = MissingPolicy.DEFAULT
    if isinstance(test, Compare) and negated:
        # Not above 99 is at most 99, except on a missing value, which the policy then has to say.
        test, negated = Compare(OPPOSITE[test.order], test.literal), False
        missing = MissingPolicy.INCLUDE if missing is MissingPolicy.DEFAULT else MissingPolicy.DEFAULT
    return replace(condition, test=test, negated=negated, missing=missing)


def _test(test: Test) -> Test:
    match test:
        case IsTrue():
            return Equals(BooleanLiteral(True))
        case Equals(literal, exact):
            return _equals(literal, exact)
        case OneOf(literals, exact):
            unique = _unique(literals, exact)
            return _equals(unique[0], exact) if len(unique) == 1 else OneOf(unique, exact)
        case HasAny(literals):
            return HasAny(_unique(literals, exact=False))
        case HasAll(literals):
            return HasAll(_unique(literals, exact=False))
        case Compare(order, NumberLiteral(number)):
            return Compare(order, NumberLiteral(number + 0.0))
        case Compare(order, VersionLiteral(version)):
            return Compare(order, VersionLiteral(_version(version)))
        case Between(low, high):
            return Between(NumberLiteral(low.value + 0.0), NumberLiteral(high.value + 0.0))
        case TextMatch(kind, text, exact):
            return TextMatch(kind, text if exact else canonical_text(text), exact)
        case _:
            return test


def _equals(literal: Literal, exact: bool) -> Equals:
    match literal:
        case TextLiteral(text):
            return Equals(literal if exact else TextLiteral(canonical_text(text)), exact)
        case NumberLiteral(number):
            return Equals(NumberLiteral(number + 0.0))  # Adding zero turns -0.0 into 0.0, which prints as it compares.
        case VersionLiteral(version):
            return Equals(VersionLiteral(_version(version)))
        case _:
            return Equals(literal)


def _unique(literals: tuple[ListLiteral, ...], exact: bool) -> tuple[ListLiteral, ...]:
    """Each value once: booleans, then numbers in order, then text in order of code points."""
    values = {_equals(literal, exact).literal for literal in literals}
    return tuple(sorted((one for one in values if isinstance(one, ListLiteral)), key=_rank))


def _rank(literal: ListLiteral) -> tuple[int, float, str]:
    match literal:
        case BooleanLiteral(truth):
            return 0, float(truth), ""
        case NumberLiteral(number):
            return 1, number, number_text(number)
        case TextLiteral(text):
            return 2, 0.0, text


def _version(version: str) -> str:
    """Without the parts that take no part in its order: a leading v, build metadata, zeros at the end."""
    release, dash, pre = version.lstrip("vV").partition("+")[0].partition("-")
    numbers = [str(int(number)) for number in release.split(".")]
    while len(numbers) > 2 and numbers[-1] == "0":
        numbers.pop()
    if len(numbers) == 1:
        numbers.append("0")
    return ".".join(numbers) + dash + pre
