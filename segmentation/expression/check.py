"""What both forms check alike: the limits of a whole expression, names, ids; and advice about what is allowed but odd.

Rule: `finished` is the only way from a parsed tree to a canonical one, so no form can keep other limits. Advice never
refuses anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, islice, pairwise

from segmentation.attributes import AttributeCatalogue, AttributeType
from segmentation.errors import Problem, Rejection
from segmentation.expression import limits
from segmentation.expression.canonical import canonicalize
from segmentation.expression.codes import LanguageCode, problem
from segmentation.expression.reads import parts
from segmentation.expression.render import name_text, quoted
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
    InstantLiteral,
    Literal,
    Not,
    NumberLiteral,
    OneOf,
    Test,
    TextLiteral,
)
from segmentation.model import AttributeName
from segmentation.values import DAY_MS

ADVICE_MAX = 20
"""How much advice is given at once: each may search thousands of names."""
EXACT_INTEGER_MAX = 2**53
"""Larger whole numbers are rounded to the next 64-bit float."""


def finished(expression: Expression) -> Expression | Rejection:
    """The canonical tree of a parsed one, or why it is too much."""
    if sum(1 for _ in parts(expression)) > limits.CONDITIONS_MAX:
        return Rejection((_too_many(),))
    canonical = canonicalize(expression)
    if nesting(canonical) > limits.NESTING_MAX:
        return Rejection((too_deep(),))
    return canonical


def nesting(canonical: Expression) -> int:
    """How many brackets stand within one another in the canonical text of an expression."""
    deepest = 0
    pending: list[tuple[Expression, int, bool]] = [(canonical, 0, True)]
    while pending:
        node, depth, outermost = pending.pop()
        if isinstance(node, Not):
            pending.append((node.child, depth, False))
        elif isinstance(node, AllOf | AnyOf):
            inside = depth if outermost else depth + 1
            deepest = max(deepest, inside)
            pending.extend((child, inside, False) for child in node.children)
    return deepest


def too_deep() -> Problem:
    """More levels than allowed."""
    return problem(
        LanguageCode.NESTED_TOO_DEEP,
        f"groups within one another are limited to {limits.NESTING_MAX}",
        "leave out brackets that change nothing, or save the inner part as a segment and use `in segment …`",
    )


def _too_many() -> Problem:
    return problem(
        LanguageCode.TOO_MANY_CONDITIONS,
        f"this expression has more than {limits.CONDITIONS_MAX} conditions, which is the most allowed",
        "write several values of one attribute as a set: `country in [US, CA, UK]`",
    )


def name_problem(name: str) -> Problem | None:
    """What is wrong with an attribute's name, if anything."""
    if not name:
        return problem(LanguageCode.EXPECTS_ATTRIBUTE, "an attribute's name is empty", "write the attribute's name")
    if len(name) > limits.ATTRIBUTE_NAME_CHARS_MAX:
        return problem(
            LanguageCode.NAME_TOO_LONG,
            f"this name has {len(name):,} characters; at most {limits.ATTRIBUTE_NAME_CHARS_MAX} are allowed",
            "no contact can have such an attribute; check the name",
        )
    if any("\ud800" <= character <= "\udfff" for character in name):
        hint = "write the character itself"
        return problem(LanguageCode.INVALID_CHARACTER, "this name holds half of a surrogate pair", hint)
    return None


def segment_id_problem(segment_id: str) -> Problem | None:
    """What is wrong with a segment's id, if anything."""
    if limits.SEGMENT_ID.fullmatch(segment_id) is not None:
        return None
    return problem(
        LanguageCode.EXPECTS_SEGMENT,
        f"`{limits.shortened(segment_id)}` is not a segment's id",
        "ids are lower-case letters, digits, - and _, beginning with a letter or digit, for example active_pro_users",
    )


def advice(expression: Expression, attributes: AttributeCatalogue, suggest: bool = True) -> tuple[Problem, ...]:
    """What is allowed but probably not meant, for showing beside a saved or edited expression: at most `ADVICE_MAX`.

    Cost: to suggest the nearest name, one search through the known names for each of `ADVICE_MAX` unknown attributes.
    """
    conditions = [part for part in parts(expression) if isinstance(part, Condition)]
    unknown = dict.fromkeys(each.attribute for each in conditions if not attributes.knows(each.attribute))
    sought = frozenset(islice(unknown, ADVICE_MAX if suggest else 0))
    alone = (found for before, after in pairwise(conditions) for found in _value_alone(before, after, attributes))
    single = (found for condition in conditions for found in _advice(condition, attributes, sought))
    return tuple(islice(chain(alone, single), ADVICE_MAX))


def _value_alone(before: Condition, condition: Condition, attributes: AttributeCatalogue) -> Iterator[Problem]:
    """`plan is Pro OR Free`: the second is legal, and an attribute that nobody has.

    `plan is Pro AND NOT churned` can hardly be meant so: who names one value needs to exclude no other.
    """
    span, name, test = condition.span, condition.attribute, before.test
    bare = condition.test == Equals(BooleanLiteral(True)) and span is not None and span.length == len(name)
    meant = bare and (before.negated or not condition.negated) and not attributes.knows(name)
    if meant and isinstance(test, Equals) and isinstance(test.literal, TextLiteral):
        operator = f"{'not ' if before.negated else ''}in{' exactly' if test.exact else ''}"
        text = limits.shortened(test.literal.value)
        first = text if limits.PLAIN_NAME.fullmatch(text) else quoted(text)
        hint = f"for a second value write `{name_text(before.attribute)} {operator} [{first}, {name}]`"
        must = "must not" if condition.negated else "must"
        yield Problem("value_alone", f"`{name}` stands alone, so it is an attribute that {must} be true", hint, span)


def _advice(
    condition: Condition, attributes: AttributeCatalogue, sought: Collection[AttributeName]
) -> Iterator[Problem]:
    name, test, span = condition.attribute, condition.test, condition.span
    near = attributes.nearest(name) if name in sought else None
    if attributes.seen and not attributes.knows(name):
        hint = f"did you mean `{near}`?" if near else "check the name, or send the attribute"
        yield Problem("unknown_attribute", f"no contact has an attribute `{name}` yet", hint, span)
    elif near is not None:
        # Attributes need not be declared: that one is not says nothing of what contacts have.
        message = f"`{name}` is not declared, and `{near}` is"
        yield Problem("unknown_attribute", message, f"did you mean `{near}`?", span)
    literal = test.literal if isinstance(test, Equals | Compare) else None
    if any(number.is_integer() and abs(number) > EXACT_INTEGER_MAX for number in _numbers(test)):
        hint = 'if it is an identifier, compare it as text: put it in "quotes"'
        yield Problem("inexact_number", "whole numbers are exact to 2^53; a larger one is rounded", hint, span)
    if isinstance(test, Equals) and isinstance(literal, InstantLiteral) and literal.at % DAY_MS == 0:
        hint = "for the whole day use `on` with the date"
        yield Problem("midnight_only", "this matches exactly 00:00 UTC, not the whole day", hint, span)
    declared = attributes.declared.get(name)
    if declared is not None and declared.type is not None and literal is not None:
        expected = _UNREADABLE_TYPES.get(type(literal), frozenset())
        if declared.type in expected:
            hint = f"compare it with a value of that kind: it is declared as {declared.type.value}"
            yield Problem("unlikely_type", f"`{name}` is declared as {declared.type.value}", hint, span)


def _numbers(test: Test) -> Iterator[float]:
    """The numbers that a test compares with."""
    match test:
        case Equals(literal) | Compare(_, literal):
            literals: tuple[Literal, ...] = (literal,)
        case OneOf(several) | HasAny(several) | HasAll(several):
            literals = several
        case Between(low, high):
            literals = (low, high)
        case _:
            literals = ()
    return (literal.value for literal in literals if isinstance(literal, NumberLiteral))


_UNREADABLE_TYPES: dict[type, frozenset[AttributeType]] = {
    NumberLiteral: frozenset((AttributeType.BOOLEAN, AttributeType.VERSION)),
    BooleanLiteral: frozenset((AttributeType.NUMBER, AttributeType.INSTANT, AttributeType.VERSION)),
    InstantLiteral: frozenset((AttributeType.BOOLEAN, AttributeType.VERSION)),
    TextLiteral: frozenset((AttributeType.INSTANT,)),
}
"""For a literal, the declared types whose values can hardly be read as it asks."""
