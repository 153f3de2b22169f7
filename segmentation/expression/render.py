"""A tree into the canonical text form, and into plain English (`english.py`).

Rule: `parse_text` of what is written here gives the same canonical tree: texts are always in quotes, `within` always
says `last` or `next`, and brackets stand wherever AND and OR meet.
"""

from __future__ import annotations

import re

from segmentation.expression.canonical import canonicalize
from segmentation.expression.english import to_english
from segmentation.expression.jsonwrite import day_text
from segmentation.expression.limits import PLAIN_NAME
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
from segmentation.expression.words import RESERVED_NAMES
from segmentation.model import SegmentId
from segmentation.values import iso_text, number_text

__all__ = ["to_english", "to_text"]

_SYMBOLS = {Order.GT: ">", Order.GTE: ">=", Order.LT: "<", Order.LTE: "<="}
_ABSOLUTE = {Order.LT: "before", Order.GT: "after"}
_UNITS_MS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000))
_VERBS = {
    TextMatchKind.CONTAINS: ("contains", "contain"),
    TextMatchKind.STARTS_WITH: ("starts with", "start with"),
    TextMatchKind.ENDS_WITH: ("ends with", "end with"),
}
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_NEEDS_ESCAPE = re.compile('["\\\\\\x00-\\x1f\\x7f\\u2028\\u2029]')


def to_text(expression: Expression) -> str:
    """The canonical text form."""
    return _written(canonicalize(expression), outermost=True)


def condition_text(condition: Condition) -> str:
    """One condition in the canonical text form."""
    return _condition(condition)


def duration_words(duration_ms: int) -> str:
    """`7 days`, `1 hour`: the largest unit that leaves nothing over."""
    for unit, length_ms in _UNITS_MS:
        if duration_ms % length_ms == 0:
            count = duration_ms // length_ms
            return f"{count} {unit}{'' if count == 1 else 's'}"
    raise AssertionError(f"a duration of {duration_ms} ms is not a whole number of seconds")


def quoted(text: str) -> str:
    """A text literal in double quotes."""
    return f'"{_NEEDS_ESCAPE.sub(lambda match: _escaped(match[0]), text)}"'


def name_text(name: str) -> str:
    """An attribute's name, in backticks where the grammar needs them or a keyword would confuse."""
    if PLAIN_NAME.fullmatch(name) and name.lower() not in RESERVED_NAMES:
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _id_text(segment_id: SegmentId) -> str:
    """A segment's id, in quotes where it is a keyword: `in segment exists` would ask whether `segment` exists."""
    return f'"{segment_id}"' if segment_id in RESERVED_NAMES else segment_id


def _escaped(character: str) -> str:
    return _ESCAPED.get(character) or f"\\u{ord(character):04x}"


def _written(node: Expression, outermost: bool = False) -> str:
    match node:
        case AllOf(children):
            joined = " AND ".join(_written(child) for child in children)
            return joined if outermost else f"({joined})"
        case AnyOf(children):
            joined = " OR ".join(_written(child) for child in children)
            return joined if outermost else f"({joined})"
        case Not(InSegment(segment_id)):
            return f"not in segment {_id_text(segment_id)}"
        case Not(child):
            return f"NOT {_written(child)}"
        case InSegment(segment_id):
            return f"in segment {_id_text(segment_id)}"
        case Condition():
            return _condition(node)


def _condition(condition: Condition) -> str:
    text = f"{name_text(condition.attribute)} {_operator(condition.test, condition.negated)}"
    return text if condition.missing is MissingPolicy.DEFAULT else f"{text} {condition.missing.value[:-1]}ing missing"


def _operator(test: Test, negated: bool) -> str:
    """What stands behind the attribute."""
    no = "not " if negated else ""
    match test:
        case Equals(literal, exact):
            return f"is {no}{'exactly ' if exact else ''}{_literal(literal)}"
        case IsTrue():
            return f"is {no}true"
        case IsSet():
            return f"is {no}set"
        case OneOf(literals, exact):
            return f"{no}in {'exactly ' if exact else ''}{_set(literals)}"
        case TextMatch(kind, text, exact):
            verb, plain_verb = _VERBS[kind]
            return f"{f'does not {plain_verb}' if negated else verb} {'exactly ' if exact else ''}{quoted(text)}"
        case HasAny(literals):
            return f"has {'none' if negated else 'any'} of {_set(literals)}"
        case HasAll(literals):
            return f"{'does not have' if negated else 'has'} all of {_set(literals)}"
        case Compare(order, InstantLiteral(at)) if order in _ABSOLUTE:
            return f"{no}{_ABSOLUTE[order]} {iso_text(at)}"
        case Compare(order, literal):
            return f"{no}{_SYMBOLS[order]} {_literal(literal)}"
        case Between(low, high):
            return f"{no}between {number_text(low.value)} and {number_text(high.value)}"
        case OnDay(start):
            return f"{no}on {day_text(start)}"
        case Within(direction, duration_ms):
            return f"{no}within {direction.value} {duration_words(duration_ms)}"
        case MoreThanAgo(duration_ms):
            return f"{no}more than {duration_words(duration_ms)} ago"
        case MoreThanFromNow(duration_ms):
            return f"{no}more than {duration_words(duration_ms)} from now"
        case InPast():
            return f"{no}in the past"
        case InFuture():
            return f"{no}in the future"


def _set(literals: tuple[Literal, ...]) -> str:
    return f"[{', '.join(_literal(literal) for literal in literals)}]"


def _literal(literal: Literal) -> str:
    match literal:
        case TextLiteral(value):
            return quoted(value)
        case NumberLiteral(value):
            return number_text(value)
        case BooleanLiteral(value):
            return "true" if value else "false"
        case VersionLiteral(value):
            return f'version "{value}"'
        case InstantLiteral(at):
            return iso_text(at)
