"""A tree into the canonical JSON form, which is what is stored, compared and compiled.

Rule: `parse_json` of what is written here gives the same canonical tree. Keys come in one order, so equal trees give
equal bytes.
"""

from __future__ import annotations

from segmentation.expression.canonical import canonicalize
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
    VersionLiteral,
    Within,
)
from segmentation.model import InstantMs
from segmentation.values import iso_text

COMBINATORS = frozenset(("all", "any", "not", "segment", "attribute"))
"""Keys that are no attribute; an attribute of such a name needs the long form."""
_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))
_ABSOLUTE = {Order.LT: "before", Order.GT: "after"}


def to_json(expression: Expression) -> object:
    """The canonical JSON form: objects, lists, texts, numbers and booleans only."""
    return _written(canonicalize(expression))


def duration_text(duration_ms: int) -> str:
    """The shortest spelling: `7d`, `36h`, `90m`."""
    for unit, length_ms in _UNITS_MS:
        if duration_ms % length_ms == 0:
            return f"{duration_ms // length_ms}{unit}"
    raise AssertionError(f"a duration of {duration_ms} ms is not a whole number of seconds")


def day_text(start: InstantMs) -> str:
    """The date of a UTC day."""
    return iso_text(start)[:10]


def _written(node: Expression) -> object:
    match node:
        case AllOf(children):
            return {"all": [_written(child) for child in children]}
        case AnyOf(children):
            return {"any": [_written(child) for child in children]}
        case Not(child):
            return {"not": _written(child)}
        case InSegment(segment_id):
            return {"segment": segment_id}
        case Condition():
            return _condition(node)


def _condition(condition: Condition) -> object:
    test, negated, missing = condition.test, condition.negated, condition.missing
    name, operand, options = _test(test)
    opposite = _NEGATIVE.get(name)
    outside = negated and opposite is None
    if isinstance(test, IsSet):
        operand = not negated
    elif outside:
        # No test says this complement, so `not` does; inside it the policy is the other one.
        missing = _COMPLEMENT[missing]
    elif negated and opposite is not None:
        name = opposite
    if missing is not MissingPolicy.DEFAULT:
        options = {**options, "missing": missing.value}
    tests = {name: operand, **options}
    written: object
    if condition.attribute in COMBINATORS:
        written = {"attribute": condition.attribute, **tests}
    else:
        written = {condition.attribute: operand if tests.keys() == {"is"} else tests}
    return {"not": written} if outside and not isinstance(test, IsSet) else written


_COMPLEMENT = {
    MissingPolicy.DEFAULT: MissingPolicy.DEFAULT,
    MissingPolicy.EXCLUDE: MissingPolicy.INCLUDE,
    MissingPolicy.INCLUDE: MissingPolicy.EXCLUDE,
}
_NEGATIVE = {
    "is": "is_not",
    "exactly": "not_exactly",
    "in": "not_in",
    "contains": "not_contains",
    "starts_with": "not_starts_with",
    "ends_with": "not_ends_with",
    "any_of": "none_of",
    "version_is": "version_is_not",
    "instant_is": "instant_is_not",
}
_EXACT_CASE: dict[str, object] = {"case": "exact"}


def _test(test: Test) -> tuple[str, object, dict[str, object]]:
    """The positive test's name, operand and options."""
    match test:
        case Equals(literal, exact):
            return _equals_name(literal, exact), _literal(literal), {}
        case OneOf(literals, exact):
            return "in", [_literal(literal) for literal in literals], _EXACT_CASE if exact else {}
        case Compare(order, literal):
            return _compare_name(order, literal), _literal(literal), {}
        case Between(low, high):
            return "between", [_number(low.value), _number(high.value)], {}
        case OnDay(start):
            return "on", day_text(start), {}
        case IsTrue():
            return "is", True, {}
        case IsSet():
            return "set", True, {}
        case TextMatch(kind, text, exact):
            return kind.value, text, _EXACT_CASE if exact else {}
        case HasAny(literals):
            return "any_of", [_literal(literal) for literal in literals], {}
        case HasAll(literals):
            return "all_of", [_literal(literal) for literal in literals], {}
        case _:
            return _time_test(test)


def _time_test(
    test: Within | MoreThanAgo | MoreThanFromNow | InPast | InFuture,
) -> tuple[str, object, dict[str, object]]:
    match test:
        case Within(direction, duration_ms):
            return "within_last" if direction is Direction.LAST else "within_next", duration_text(duration_ms), {}
        case MoreThanAgo(duration_ms):
            return "more_than_ago", duration_text(duration_ms), {}
        case MoreThanFromNow(duration_ms):
            return "more_than_from_now", duration_text(duration_ms), {}
        case InPast():
            return "in_past", True, {}
        case InFuture():
            return "in_future", True, {}


def _equals_name(literal: Literal, exact: bool) -> str:
    match literal:
        case VersionLiteral():
            return "version_is"
        case InstantLiteral():
            return "instant_is"
        case _:
            return "exactly" if exact else "is"


def _compare_name(order: Order, literal: Literal) -> str:
    match literal:
        case VersionLiteral():
            return f"version_{order.value}"
        case InstantLiteral():
            return _ABSOLUTE.get(order, order.value)
        case _:
            return order.value


def _literal(literal: Literal) -> object:
    match literal:
        case InstantLiteral(at):
            return iso_text(at)
        case NumberLiteral(number):
            return _number(number)
        case TextLiteral(value) | VersionLiteral(value) | BooleanLiteral(value):
            return value


def _number(number: float) -> int | float:
    """Whole numbers as integers, so that every JSON writer prints them alike."""
    return int(number) if number.is_integer() and abs(number) <= 2**53 else number
