"""The tests of the JSON form: what each name asks, and how its operand is read.

Rule: one row a test. A reader gives the test, or the problems of its operand with pointers relative to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from segmentation.attributes import nearest_name
from segmentation.errors import PROBLEMS_MAX, Problem
from segmentation.expression import codes, limits, operands
from segmentation.expression.codes import LanguageCode, problem
from segmentation.expression.jsonwrite import COMBINATORS
from segmentation.expression.limits import shortened
from segmentation.expression.syntax import (
    BooleanLiteral,
    Compare,
    Direction,
    Equals,
    HasAll,
    HasAny,
    InFuture,
    InPast,
    InstantLiteral,
    IsSet,
    ListLiteral,
    MoreThanAgo,
    MoreThanFromNow,
    NumberLiteral,
    OneOf,
    Order,
    Test,
    TextLiteral,
    TextMatch,
    TextMatchKind,
    VersionLiteral,
    Within,
)
from segmentation.values import number_text, read_number, read_text

OPTIONS = frozenset(("missing", "case"))
_MEANT = {
    "eq": "is",
    "=": "is",
    "==": "is",
    "equal": "is",
    "equals": "is",
    "not_equal": "is_not",
    "not_equals": "is_not",
    "ne": "is_not",
    "neq": "is_not",
    "!=": "is_not",
    "<>": "is_not",
    "not": "is_not",
    "greater_than": "gt",
    "greater_than_or_equal": "gte",
    "less_than": "lt",
    "less_than_or_equal": "lte",
    ">": "gt",
    ">=": "gte",
    "ge": "gte",
    "<": "lt",
    "<=": "lte",
    "le": "lte",
    "nin": "not_in",
    "exists": "set",
    "is_set": "set",
    "not_exists": '"set": false',
    "is_null": '"set": false',
    "any": "any_of",
    "all": "all_of",
    "none": "none_of",
    "has_any": "any_of",
    "has_all": "all_of",
    "older_than": "more_than_ago",
    "newer_than": "within_last",
    "since": "after",
    "until": "before",
}
_COMBINED = {"and": "all", "all": "all", "or": "any", "any": "any", "not": "not", "nor": "not"}
"""What joins conditions, under names that other languages give it."""
_RESERVED: dict[str, Callable[[], Problem]] = {
    "regex": codes.reserved_regular_expression,
    "regexp": codes.reserved_regular_expression,
    "matches": codes.reserved_regular_expression,
    "like": codes.reserved_regular_expression,
    "anniversary": codes.reserved_anniversary,
    "count": codes.reserved_event_count,
    "times": codes.reserved_event_count,
    "this_month": lambda: codes.reserved_calendar("this month"),
    "time_zone": codes.reserved_time_zone,
    "timezone": codes.reserved_time_zone,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What surrounds an operand: the test's name, `"case": "exact"`, and where a bare `within` looks."""

    name: str
    exact: bool
    direction: Direction


Read = Test | tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class JsonTest:
    """One test: how its operand is read, whether it is the complement, and whether it tests presence."""

    read: Callable[[object, Asked], Read]
    negated: bool = False
    presence: bool = False


def kind_of(value: object) -> str:
    """What an operand is, in words, with as much of it as fits."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{shortened(value)}"'
    if isinstance(value, int | float):
        number = _finite(value)
        return f"the number {number_text(number)}" if number is not None else "a number beyond 64 bits"
    return "a list" if isinstance(value, list) else "an object"


def unknown_test(name: str, key: str) -> Problem:
    """For a key that is neither a test nor an option."""
    normal = key.lower().lstrip("$").replace(" ", "_")
    if normal in _RESERVED:
        return _RESERVED[normal]()
    combinator = _COMBINED.get(name.lower().lstrip("$"))
    if combinator is not None and name not in COMBINATORS:
        hint = f'did you mean {{"{combinator}": …}}?'
        return problem(LanguageCode.UNKNOWN_TEST, f"`{shortened(key)}` is not a test of `{shortened(name)}`", hint)
    meant = normal if normal in TESTS else _MEANT.get(normal) or nearest_name(normal, TESTS)
    hint = (
        f"did you mean `{meant}`?"
        if meant
        else f'for a nested attribute write its dotted name: "{shortened(f"{name}.{key}")}"'
    )
    return problem(LanguageCode.UNKNOWN_TEST, f"`{shortened(key)}` is not a test", hint)


def _literal(value: object) -> ListLiteral | Problem:
    """A text, number or boolean."""
    if isinstance(value, bool):
        return BooleanLiteral(value)
    if isinstance(value, str):
        return operands.text_problem(value) or TextLiteral(value)
    if isinstance(value, int | float):
        number = _finite(value)
        return NumberLiteral(number) if number is not None else operands.out_of_range()
    if value is None:
        hint = 'write {"set": false} for a missing attribute'
        return problem(LanguageCode.NULL_VALUE, "null is no value: a missing attribute is just missing", hint)
    hint = "write a text, a number, true or false; a bare list means `in`"
    if isinstance(value, dict):
        hint = 'write a text, a number, true or false; to join conditions write {"any": […]} or {"all": […]}'
    return problem(LanguageCode.EXPECTS_VALUE, f"expected a value, found {kind_of(value)}", hint)


def _finite(value: float) -> float | None:
    number = read_number(value)
    return number if number is not None and abs(number) != float("inf") and number == number else None


def _equals(value: object, asked: Asked) -> Read:
    literal = _literal(value)
    if isinstance(literal, Problem):
        return (literal,)
    exact = asked.exact or asked.name.endswith("exactly")
    if exact and not isinstance(literal, TextLiteral):
        return (operands.not_exact(),)
    return Equals(literal, exact)


def _values(value: object, exact: bool) -> tuple[ListLiteral, ...] | list[Problem]:
    if not isinstance(value, list):
        hint = 'write the values in a list, for example ["US", "CA"]'
        return [problem(LanguageCode.EXPECTS_SET, f"expected a list of values, found {kind_of(value)}", hint)]
    if len(value) > limits.SET_VALUES_MAX:
        return [operands.set_too_large(len(value))]
    problems: list[Problem] = []
    literals: list[ListLiteral] = []
    for index, one in enumerate(value):
        read = _literal(one)
        if not isinstance(read, Problem):
            literals.append(read)
        elif len(problems) < PROBLEMS_MAX:
            problems.append(replace(read, pointer=f"/{index}"))
        else:
            break
    whole = None if problems else operands.set_problem(literals, exact)
    if whole is not None and whole.code == LanguageCode.EMPTY_SET:
        whole = replace(whole, hint='put at least one value in it, for example ["US", "CA"]')
    return [whole] if whole is not None else problems or tuple(literals)


def _one_of(value: object, asked: Asked) -> Read:
    values = _values(value, asked.exact)
    return tuple(values) if isinstance(values, list) else OneOf(values, asked.exact)


def _has(test: type[HasAny | HasAll]) -> Callable[[object, Asked], Read]:
    def read(value: object, asked: Asked) -> Read:
        values = _values(value, exact=False)
        if asked.exact:
            return (_no_case(asked),)
        return tuple(values) if isinstance(values, list) else test(values)

    return read


def _no_case(asked: Asked) -> Problem:
    hint = "leave `case` out; it goes with is, in, contains, starts_with and ends_with"
    return problem(LanguageCode.EXPECTS_OPTION, f"`{asked.name}` does not compare letter for letter", hint)


def _compare(order: Order) -> Callable[[object, Asked], Read]:
    def read(value: object, asked: Asked) -> Read:
        found = _ordered(value, asked.name)
        return (found,) if isinstance(found, Problem) else Compare(order, found)

    return read


def _ordered(value: object, name: str) -> NumberLiteral | InstantLiteral | Problem:
    if isinstance(value, str):
        return operands.ordered_text_operand(value, name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = _finite(value)
        return NumberLiteral(number) if number is not None else operands.out_of_range()
    return problem(
        LanguageCode.EXPECTS_NUMBER,
        f"`{name}` compares numbers or instants; this is {kind_of(value)}",
        'write a number, for example 99, or an instant, for example "2026-05-01T12:00:00Z"',
    )


def _between(value: object, asked: Asked) -> Read:
    if not isinstance(value, list) or len(value) != 2:
        hint = "write both ends in a list: [10, 99]"
        return (problem(LanguageCode.EXPECTS_SET, f"`between` needs two numbers, found {kind_of(value)}", hint),)
    ends = [_ordered(one, asked.name) for one in value]
    problems = [replace(one, pointer=f"/{index}") for index, one in enumerate(ends) if isinstance(one, Problem)]
    low, high = ends
    if not isinstance(low, NumberLiteral) or not isinstance(high, NumberLiteral):
        hint = 'for dates use both `after` and `before`: {"after": "2026-01-01", "before": "2026-02-01"}'
        return tuple(problems) or (problem(LanguageCode.EXPECTS_NUMBER, "`between` takes numbers", hint),)
    found = operands.range_operand(low, high)
    if isinstance(found, Problem):
        ends_text = f"[{number_text(high.value)}, {number_text(low.value)}]"
        return (replace(found, hint=f'write "between": {ends_text}'),)
    return found


def _presence(value: object, _: Asked) -> Read:
    if isinstance(value, bool):
        return IsSet()
    hint = 'write {"set": true} or {"set": false}'
    return (problem(LanguageCode.EXPECTS_BOOLEAN, f"`set` is true or false, not {kind_of(value)}", hint),)


def _text_match(kind: TextMatchKind) -> Callable[[object, Asked], Read]:
    operator = kind.value.replace("_", " ")

    def read(value: object, asked: Asked) -> Read:
        text = read_text(value) if isinstance(value, str | bool | int | float) else None
        if text is None:
            hint = 'write one text; for several {"any": […]} with a condition each, or for lists `any_of`'
            return (problem(LanguageCode.EXPECTS_TEXT, f"`{operator}` needs a text, found {kind_of(value)}", hint),)
        found = operands.fragment_problem(text, operator)
        return (found,) if found is not None else TextMatch(kind, text, asked.exact)

    return read


def _version(value: object, asked: Asked) -> VersionLiteral | Problem:
    if isinstance(value, str):
        return operands.version_operand(value)
    hint = f'write it in quotes, for example {{"{asked.name}": "2.10"}}: as a number 2.10 would be 2.1'
    return problem(LanguageCode.EXPECTS_VERSION, f"`{asked.name}` needs a version, found {kind_of(value)}", hint)


def _version_equals(value: object, asked: Asked) -> Read:
    found = _version(value, asked)
    return (found,) if isinstance(found, Problem) else Equals(found)


def _version_compare(order: Order) -> Callable[[object, Asked], Read]:
    def read(value: object, asked: Asked) -> Read:
        found = _version(value, asked)
        return (found,) if isinstance(found, Problem) else Compare(order, found)

    return read


def _instant(value: object, name: str) -> InstantLiteral | Problem:
    if isinstance(value, int | float) and not isinstance(value, bool) and _finite(value) is None:
        return operands.out_of_range()
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return operands.instant_operand(value, name)
    hint = 'write a date ("2026-05-01") or an instant ("2026-05-01T12:00:00Z")'
    return problem(LanguageCode.EXPECTS_INSTANT, f"`{name}` needs a date or an instant, found {kind_of(value)}", hint)


def _instant_equals(value: object, asked: Asked) -> Read:
    found = _instant(value, asked.name)
    return (found,) if isinstance(found, Problem) else Equals(found)


def _instant_compare(order: Order) -> Callable[[object, Asked], Read]:
    def read(value: object, asked: Asked) -> Read:
        found = _instant(value, asked.name)
        return (found,) if isinstance(found, Problem) else Compare(order, found)

    return read


def _on(value: object, _: Asked) -> Read:
    found = operands.day_operand(value) if isinstance(value, str) else _instant(value, "on")
    if isinstance(found, InstantLiteral):
        found = operands.day_operand(str(value))
    return (found,) if isinstance(found, Problem) else found


def _duration(build: Callable[[int, Asked], Test]) -> Callable[[object, Asked], Read]:
    def read(value: object, asked: Asked) -> Read:
        if not isinstance(value, str):
            count = value if isinstance(value, int) and 0 < value < 10**operands.DURATION_DIGITS_MAX else 7
            example = f"{int(count)}d"
            hint = f'write a number and a unit in quotes, for example "{shortened(example)}"'
            message = f"`{asked.name}` needs a duration, found {kind_of(value)}"
            return (problem(LanguageCode.EXPECTS_DURATION, message, hint),)
        found = operands.parse_duration(value)
        return (found,) if isinstance(found, Problem) else build(found, asked)

    return read


def _side(test: Test, opposite: str) -> Callable[[object, Asked], Read]:
    def read(value: object, asked: Asked) -> Read:
        if value is True:
            return test
        hint = f'write "{asked.name}": true, or use `{opposite}`'
        return (problem(LanguageCode.EXPECTS_BOOLEAN, f"`{asked.name}` is only true, not {kind_of(value)}", hint),)

    return read


TESTS: dict[str, JsonTest] = {
    "is": JsonTest(_equals),
    "is_not": JsonTest(_equals, negated=True),
    "exactly": JsonTest(_equals),
    "not_exactly": JsonTest(_equals, negated=True),
    "gt": JsonTest(_compare(Order.GT)),
    "gte": JsonTest(_compare(Order.GTE)),
    "lt": JsonTest(_compare(Order.LT)),
    "lte": JsonTest(_compare(Order.LTE)),
    "between": JsonTest(_between),
    "in": JsonTest(_one_of),
    "not_in": JsonTest(_one_of, negated=True),
    "set": JsonTest(_presence, presence=True),
    "contains": JsonTest(_text_match(TextMatchKind.CONTAINS)),
    "not_contains": JsonTest(_text_match(TextMatchKind.CONTAINS), negated=True),
    "starts_with": JsonTest(_text_match(TextMatchKind.STARTS_WITH)),
    "not_starts_with": JsonTest(_text_match(TextMatchKind.STARTS_WITH), negated=True),
    "ends_with": JsonTest(_text_match(TextMatchKind.ENDS_WITH)),
    "not_ends_with": JsonTest(_text_match(TextMatchKind.ENDS_WITH), negated=True),
    "any_of": JsonTest(_has(HasAny)),
    "all_of": JsonTest(_has(HasAll)),
    "none_of": JsonTest(_has(HasAny), negated=True),
    "version_is": JsonTest(_version_equals),
    "version_is_not": JsonTest(_version_equals, negated=True),
    "version_gt": JsonTest(_version_compare(Order.GT)),
    "version_gte": JsonTest(_version_compare(Order.GTE)),
    "version_lt": JsonTest(_version_compare(Order.LT)),
    "version_lte": JsonTest(_version_compare(Order.LTE)),
    "within": JsonTest(_duration(lambda duration_ms, asked: Within(asked.direction, duration_ms))),
    "within_last": JsonTest(_duration(lambda duration_ms, _: Within(Direction.LAST, duration_ms))),
    "within_next": JsonTest(_duration(lambda duration_ms, _: Within(Direction.NEXT, duration_ms))),
    "more_than_ago": JsonTest(_duration(lambda duration_ms, _: MoreThanAgo(duration_ms))),
    "more_than_from_now": JsonTest(_duration(lambda duration_ms, _: MoreThanFromNow(duration_ms))),
    "in_past": JsonTest(_side(InPast(), "in_future")),
    "in_future": JsonTest(_side(InFuture(), "in_past")),
    "before": JsonTest(_instant_compare(Order.LT)),
    "after": JsonTest(_instant_compare(Order.GT)),
    "on": JsonTest(_on),
    "instant_is": JsonTest(_instant_equals),
    "instant_is_not": JsonTest(_instant_equals, negated=True),
}
