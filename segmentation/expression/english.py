"""A tree into one plain English sentence, for people who read segments and do not write them.

Rule: it says everything the expression says, what a missing value does included, so that two expressions with different
meanings never read alike. The one exception is long sets, of which it names the first `SET_VALUES_SHOWN` values and
counts the others. It is for people: no program may parse it.
"""

from __future__ import annotations

import re

from segmentation.expression.canonical import canonicalize
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
    InFuture,
    InPast,
    InSegment,
    InstantLiteral,
    IsSet,
    IsTrue,
    Literal,
    MissingPolicy,
    MoreThanAgo,
    MoreThanFromNow,
    Not,
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
from segmentation.model import InstantMs
from segmentation.values import DAY_MS, iso_text, number_text

SET_VALUES_SHOWN = 50
"""A longer set is cut, and may then read like another one: the canonical text has all of it."""
_MONTHS = "January February March April May June July August September October November December"
_ESCAPED = {
    **{code: f"\\u{code:04x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)},
    **dict(zip(map(ord, "\n\r\t"), ("\\n", "\\r", "\\t"), strict=True)),
    **{ord(one): f"\\{one}" for one in "\\“”"},
}
"""What would break the line, or end the quotes before the text ends."""
_SPOKEN = re.compile(r"[^\W\d_](?:[\w.-]*[^\W_])?")
_JOINS = frozenset(("and", "or", "either"))
"""Words that join clauses: a name with one of them could be taken for two conditions."""
_UNITS_MS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000))
_NUMBER_ORDER = {
    Order.GT: "is more than",
    Order.GTE: "is at least",
    Order.LT: "is less than",
    Order.LTE: "is at most",
}
_VERSION_ORDER = {
    Order.GT: "is a version above",
    Order.GTE: "is at least version",
    Order.LT: "is a version below",
    Order.LTE: "is at most version",
}
_INSTANT_ORDER = {
    Order.GT: "is after",
    Order.GTE: "is not before",
    Order.LT: "is before",
    Order.LTE: "is not after",
}
_VERBS = {
    TextMatchKind.CONTAINS: ("contains", "does not contain"),
    TextMatchKind.STARTS_WITH: ("starts with", "does not start with"),
    TextMatchKind.ENDS_WITH: ("ends with", "does not end with"),
}


def to_english(expression: Expression) -> str:
    """One sentence, such as: Contacts where plan is “pro” and last active is within the last 7 days."""
    return f"Contacts where {_clause(canonicalize(expression), outermost=True)}."


def _clause(node: Expression, outermost: bool = False) -> str:
    match node:
        case AllOf(children):
            joined = " and ".join(_clause(child) for child in children)
            return joined if outermost else f"({joined})"
        case AnyOf(children):
            joined = " or ".join(_clause(child) for child in children)
            return f"either {joined}" if outermost else f"(either {joined})"
        case Not(InSegment(segment_id)):
            return f"the contact is not in the segment {segment_id}"
        case Not(child):
            return f"it is not so that {_clause(child)}"
        case InSegment(segment_id):
            return f"the contact is in the segment {segment_id}"
        case Condition():
            return _condition(node)


def _condition(condition: Condition) -> str:
    name = _name(condition.attribute)
    test, negated = condition.test, condition.negated
    if isinstance(test, IsSet):
        return f"{name} is {'missing' if negated else 'known'}"
    clause = f"{name} {_predicate(test, negated)}"
    if condition.missing is MissingPolicy.INCLUDE or (negated and condition.missing is MissingPolicy.DEFAULT):
        return f"{clause} (or is missing)"
    return f"{clause} (and is not missing)" if condition.missing is MissingPolicy.EXCLUDE else clause


def _predicate(test: Test, negated: bool) -> str:
    no = "not " if negated else ""
    match test:
        case Equals(InstantLiteral(at)):
            return f"is {no}exactly {_date(at)} at {iso_text(at)[11:-1].removesuffix(':00')} (UTC)"
        case Equals(literal, exact):
            return f"is {no}{'exactly ' if exact else ''}{_literal(literal)}"
        case OneOf(literals, exact):
            of = "none of" if negated else "one of"
            return f"is {of} {_values(literals)}{', letter for letter' if exact else ''}"
        case HasAny(literals):
            return f"has {'none' if negated else 'at least one'} of {_values(literals)}"
        case HasAll(literals):
            return f"{'does not have' if negated else 'has'} all of {_values(literals)}"
        case TextMatch(kind, text, exact):
            return f"{_VERBS[kind][negated]} {_quoted(text)}{', letter for letter' if exact else ''}"
        case Compare(order, literal):
            return f"{_compare(order, literal)}" if not negated else f"does not compare so: {_compare(order, literal)}"
        case Between(low, high):
            return f"is {no}between {_number(low.value)} and {_number(high.value)}"
        case IsTrue():
            return f"is {no}true"
        case IsSet():
            return f"is {no}known"
        case _:
            return f"is {no}{_when(test)}"


def _when(test: OnDay | Within | MoreThanAgo | MoreThanFromNow | InPast | InFuture) -> str:
    match test:
        case OnDay(start):
            return f"on {_date(start)} (UTC)"
        case Within(direction, duration_ms):
            return f"within the {direction.value} {_duration(duration_ms).removeprefix('1 ')}"
        case MoreThanAgo(duration_ms):
            return f"more than {_duration(duration_ms)} ago"
        case MoreThanFromNow(duration_ms):
            return f"more than {_duration(duration_ms)} from now"
        case InPast():
            return "in the past"
        case InFuture():
            return "in the future"


def _compare(order: Order, literal: Literal) -> str:
    match literal:
        case InstantLiteral(at):
            return f"{_INSTANT_ORDER[order]} {_instant(at)}"
        case VersionLiteral(value):
            return f"{_VERSION_ORDER[order]} {value}"
        case _:
            return f"{_NUMBER_ORDER[order]} {_literal(literal)}"


def _values(literals: tuple[Literal, ...]) -> str:
    shown = [_literal(literal) for literal in literals[:SET_VALUES_SHOWN]]
    more = len(literals) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more:,} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _literal(literal: Literal) -> str:
    match literal:
        case TextLiteral(value):
            return _quoted(value)
        case NumberLiteral(value):
            return _number(value)
        case BooleanLiteral(value):
            return "true" if value else "false"
        case VersionLiteral(value):
            return f"version {value}"
        case InstantLiteral(at):
            return _instant(at)


def _name(name: str) -> str:
    """An attribute's name as words, or in quotes as it is where the words could be another name or a clause."""
    words = name.split("_")
    spoken = _SPOKEN.fullmatch(name) is not None and all(words) and _JOINS.isdisjoint(map(str.lower, words))
    return " ".join(words) if spoken else _quoted(name)


def _quoted(text: str) -> str:
    """In quotes, on one line, so that the last quote is the end of it."""
    return f"“{text.translate(_ESCAPED)}”"


def _number(number: float) -> str:
    """With thousands separated, as far as every digit is exact."""
    return f"{int(number):,}" if number.is_integer() and abs(number) < 2**53 else number_text(number)


def _instant(at: InstantMs) -> str:
    if at % DAY_MS == 0:
        return f"{_date(at)} (UTC)"
    written = iso_text(at)
    return f"{_date(at)} at {written[11:-1].removesuffix(':00')} (UTC)"


def _date(at: InstantMs) -> str:
    year, month, day = iso_text(at)[:10].split("-")
    return f"{int(day)} {_MONTHS.split()[int(month) - 1]} {year}"


def _duration(duration_ms: int) -> str:
    for unit, length_ms in _UNITS_MS:
        if duration_ms % length_ms == 0:
            count = duration_ms // length_ms
            return f"1 {unit}" if count == 1 else f"{count:,} {unit}s"
    raise AssertionError(f"a duration of {duration_ms} ms is not a whole number of seconds")
