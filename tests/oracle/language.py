"""The truth of an expression, by walking its tree: slow, plain, and written from the language's definition alone.

Rule: this module shares nothing with the evaluated path but the syntax tree and the type names; it has its own readers
of values. It must not import readers, compilers or indexes, for a shared mistake would be invisible.

Source: `segmentation/expression/GRAMMAR.md` and the docstrings of `syntax.py`.
"""

from __future__ import annotations

import calendar
import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

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
    TextLiteral,
    TextMatch,
    TextMatchKind,
    VersionLiteral,
    Within,
)
from segmentation.model import Attributes, InstantMs, Scalar, SegmentId, Value

DAY_MS = 86_400_000
SECONDS_BELOW = 1e11
"""A number whose absolute value is below this is epoch seconds, otherwise epoch milliseconds."""

Segments = Mapping[SegmentId, "Expression | bool"]
"""What a reference sees: another expression, or a membership that is given as it is (a paused segment's)."""

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_VERSION = re.compile(
    r"[vV]?([0-9]+(?:\.[0-9]+){0,3})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?([Zz]|[+-][0-9]{2}:?[0-9]{2}|[+-][0-9]{2})?)?"
)


def holds(expression: Expression, attributes: Attributes, now: InstantMs, segments: Segments) -> bool:
    """Whether a contact with these attributes satisfies the expression at `now`.

    A reference to a segment that is not in `segments` is false.
    """
    match expression:
        case AllOf(children):
            return all(holds(child, attributes, now, segments) for child in children)
        case AnyOf(children):
            return any(holds(child, attributes, now, segments) for child in children)
        case Not(child):
            return not holds(child, attributes, now, segments)
        case InSegment(segment_id):
            target = segments.get(segment_id, False)
            return target if isinstance(target, bool) else holds(target, attributes, now, segments)
        case Condition():
            return _condition_holds(expression, attributes, now)


def boundaries(expression: Expression, attributes: Attributes) -> set[int]:
    """Every instant at which the truth of one of the expression's own conditions can change with no write.

    References are not followed: whoever follows a reference asks for the boundaries of its expression too.
    """
    match expression:
        case AllOf(children) | AnyOf(children):
            return {instant for child in children for instant in boundaries(child, attributes)}
        case Not(child):
            return boundaries(child, attributes)
        case InSegment():
            return set()
        case Condition(attribute, test):
            value = attributes.get(attribute)
            t = None if value is None or isinstance(value, list) else read_instant(value)
            return set() if t is None else _boundaries_of(test, t)


def _boundaries_of(test: object, t: int) -> set[int]:
    match test:
        case Within(Direction.LAST, duration):
            return {t, t + duration}
        case Within(Direction.NEXT, duration):
            return {t - duration, t}
        case MoreThanAgo(duration):
            return {t + duration}
        case MoreThanFromNow(duration):
            return {t - duration}
        case InPast() | InFuture():
            return {t}
        case _:
            return set()


def _condition_holds(condition: Condition, attributes: Attributes, now: InstantMs) -> bool:
    value = attributes.get(condition.attribute)
    truth = None if value is None else _test_holds(condition, value, now)
    if truth is not None:
        return truth != condition.negated
    if condition.missing is MissingPolicy.EXCLUDE:
        return False
    if condition.missing is MissingPolicy.INCLUDE:
        return True
    return condition.negated


def _test_holds(condition: Condition, value: Value, now: InstantMs) -> bool | None:
    """The test on a present value; None when the value is unreadable to it."""
    test = condition.test
    match test:
        case IsSet():
            return True
        case IsTrue():
            return _matches_any((BooleanLiteral(True),), False, value)
        case Equals(literal, exact):
            return _matches_any((literal,), exact, value)
        case OneOf(literals, exact):
            return _matches_any(literals, exact, value)
        case HasAny(literals):
            return _matches_any(literals, False, value)
        case HasAll(literals):
            answers = [_matches_any((literal,), False, value) for literal in literals]
            return None if all(answer is None for answer in answers) else all(answer is True for answer in answers)
        case TextMatch():
            return _text_match(test, value)
    if isinstance(value, list):
        return None
    match test:
        case Compare(order, literal):
            return _compare(order, literal, value)
        case Between(low, high):
            number = read_number(value)
            return None if number is None else low.value <= number <= high.value
    return _time_test_holds(test, read_instant(value), now)


def _time_test_holds(test: object, t: int | None, now: InstantMs) -> bool | None:
    if t is None:
        return None
    match test:
        case OnDay(start):
            return start <= t < start + DAY_MS
        case Within(Direction.LAST, duration):
            return t <= now < t + duration
        case Within(Direction.NEXT, duration):
            return t - duration <= now < t
        case MoreThanAgo(duration):
            return now >= t + duration
        case MoreThanFromNow(duration):
            return now < t - duration
        case InPast():
            return now >= t
        case InFuture():
            return now < t
    raise AssertionError(f"the oracle does not know the test {test!r}")


def _matches_any(literals: tuple[Literal, ...], exact: bool, value: Value) -> bool | None:
    """Any element equals any literal. A list is always readable; a scalar is if one literal's reading works."""
    elements = value if isinstance(value, list) else [value]
    answers = [_equal(literal, exact, element) for element in elements for literal in literals]
    if not isinstance(value, list) and all(answer is None for answer in answers):
        return None
    return any(answer is True for answer in answers)


def _equal(literal: Literal, exact: bool, element: Scalar) -> bool | None:
    match literal:
        case TextLiteral(text):
            read = read_text(element)
            return read == text if exact else fold(read) == fold(text)
        case NumberLiteral(number):
            return _same(read_number(element), number)
        case BooleanLiteral(truth):
            return _same(read_boolean(element), truth)
        case VersionLiteral(text):
            return _same(read_version(element), version_key(text))
        case InstantLiteral(at):
            return _same(read_instant(element), at)


def _same(read: object, wanted: object) -> bool | None:
    return None if read is None else read == wanted


def _compare(order: Order, literal: Literal, value: Scalar) -> bool | None:
    match literal:
        case NumberLiteral(number):
            return _ordered(order, read_number(value), number)
        case VersionLiteral(text):
            return _ordered(order, read_version(value), version_key(text))
        case InstantLiteral(at):
            return _ordered(order, read_instant(value), at)
    raise AssertionError(f"{literal!r} has no order")


def _ordered(order: Order, read: object, wanted: object) -> bool | None:
    if read is None or wanted is None:
        return None
    operators: Mapping[Order, Callable[[object, object], bool]] = {
        Order.GT: lambda a, b: bool(a > b),  # type: ignore[operator]  # both were read as one ordered type
        Order.GTE: lambda a, b: bool(a >= b),  # type: ignore[operator]  # as above
        Order.LT: lambda a, b: bool(a < b),  # type: ignore[operator]  # as above
        Order.LTE: lambda a, b: bool(a <= b),  # type: ignore[operator]  # as above
    }
    return operators[order](read, wanted)


def _text_match(test: TextMatch, value: Value) -> bool:
    def normal(text: str) -> str:
        return text if test.exact else fold(text)

    wanted = normal(test.text)
    if isinstance(value, list):
        texts = [normal(read_text(element)) for element in value]
        if test.kind is TextMatchKind.CONTAINS:
            return wanted in texts
    else:
        texts = [normal(read_text(value))]
    match test.kind:
        case TextMatchKind.CONTAINS:
            return any(wanted in text for text in texts)
        case TextMatchKind.STARTS_WITH:
            return any(text[: len(wanted)] == wanted for text in texts)
        case TextMatchKind.ENDS_WITH:
            return any(text[len(text) - len(wanted) :] == wanted for text in texts if len(text) >= len(wanted))


def fold(text: str) -> str:
    """Text as a comparison that ignores case sees it."""
    return unicodedata.normalize("NFC", text).casefold()


def read_text(element: Scalar) -> str:
    """Text as written; a number in its shortest JSON form; true or false."""
    if isinstance(element, str):
        return element
    if isinstance(element, bool):
        return "true" if element else "false"
    if isinstance(element, float) and element.is_integer():
        return str(int(element)) if abs(element) < 2**53 else json.dumps(element)
    return json.dumps(element)


def read_number(element: Scalar) -> float | None:
    """A number, or text that is wholly one JSON number."""
    if isinstance(element, bool):
        return None
    if isinstance(element, str) and _JSON_NUMBER.fullmatch(element) is None:
        return None
    try:
        number = float(element)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def read_boolean(element: Scalar) -> bool | None:
    """A boolean, or text `true` or `false` in any case."""
    if isinstance(element, bool):
        return element
    if isinstance(element, str):
        return {"true": True, "false": False}.get(element.lower())
    return None


def read_version(element: Scalar) -> tuple[object, ...] | None:
    """Text that is a version."""
    return version_key(element) if isinstance(element, str) else None


def version_key(text: str) -> tuple[object, ...] | None:
    """SemVer 2.0 precedence over one to four numbers: a pre-release is before its release, build does not count."""
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    release = (*numbers, 0, 0, 0)[:4]
    if found[2] is None:
        return (release, 1)
    return (release, 0, tuple(_identifier_key(part) for part in found[2].split(".")))


def _identifier_key(identifier: str) -> tuple[int, int, str]:
    """Numeric identifiers are in order of number and before alphanumeric ones, which are in ASCII order."""
    return (0, int(identifier), "") if identifier.isdigit() else (1, 0, identifier)


def read_instant(element: Scalar) -> int | None:
    """ISO 8601 text, or a number of seconds or milliseconds, or text that is such a number."""
    number = read_number(element)
    if number is not None:
        return math.floor(number * 1000) if abs(number) < SECONDS_BELOW else math.floor(number)
    return _read_iso(element) if isinstance(element, str) else None


def _read_iso(text: str) -> int | None:
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    if not (1 <= month <= 12 and year >= 1 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    fraction_ms = int(((found[7] or "") + "000")[:3])
    offset_ms = _zone_ms(found[8])
    return None if offset_ms is None else since_epoch // timedelta(milliseconds=1) + fraction_ms - offset_ms


def _zone_ms(zone: str | None) -> int | None:
    if zone is None or zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        return None
    return (-1 if zone[0] == "-" else 1) * (hours * 60 + minutes) * 60_000
