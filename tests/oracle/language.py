"""The truth of an expression, by walking its tree: slow, plain, and written from the language's definition alone.

Rule: this module shares nothing with the evaluated path but the syntax tree and the type names; it has its own readers
of values. It must not import readers, compilers or indexes, for a shared mistake would be invisible.

Source: `segmentation/expression/GRAMMAR.md` and the docstrings of `syntax.py`.
"""

from __future__ import annotations

import calendar
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

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
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _ms_since_epoch(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


FIRST_INSTANT_MS = _ms_since_epoch(datetime(1, 1, 1, tzinfo=UTC))
LAST_INSTANT_MS = _ms_since_epoch(datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC))

Segments = Mapping[SegmentId, "Expression | bool"]
"""What a reference sees: another expression, or a membership that is given as it is (a paused segment's)."""

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_VERSION = re.compile(
    r"[vV]?([0-9]+(?:\.[0-9]+){0,3})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_ISO_DATE = re.compile(r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})")
_ISO_CLOCK = re.compile(r"([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]+))?)?)?")
_ISO_ZONE = re.compile(r"[Zz]|([+-])([0-9]{2})(?::?([0-9]{2}))?")


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
    if isinstance(condition.test, IsSet):
        return (value is not None) != condition.negated
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
    """Text as written; a number in its shortest JSON form, as ECMAScript writes it; true or false."""
    if isinstance(element, str):
        return element
    if isinstance(element, bool):
        return "true" if element else "false"
    if isinstance(element, int):
        return str(element)
    if element == 0:
        return "0"
    exact = Decimal(repr(element)).normalize()
    if Decimal("1e-6") <= abs(exact) < Decimal("1e21"):
        return format(exact, "f")
    sign, digits, _ = exact.as_tuple()
    fraction = "".join(str(digit) for digit in digits[1:])
    return f"{'-' * sign}{digits[0]}{'.' * bool(fraction)}{fraction}e{exact.adjusted():+d}"


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
    identifiers = found[2].split(".")
    if any(part.isdigit() and part != str(int(part)) for part in identifiers):
        return None
    return (release, 0, tuple(_identifier_key(part) for part in identifiers))


def _identifier_key(identifier: str) -> tuple[int, int, str]:
    """Numeric identifiers are in order of number and before alphanumeric ones, which are in ASCII order."""
    return (0, int(identifier), "") if identifier.isdigit() else (1, 0, identifier)


def read_instant(element: Scalar) -> int | None:
    """ISO 8601 text, or a number of seconds or milliseconds, or text that is such a number. Years 1 to 9999 only."""
    at = _read_iso(element) if isinstance(element, str) else None
    if at is None:
        number = read_number(element)
        if number is None:
            return None
        at = round(number * 1000) if abs(number) < SECONDS_BELOW else round(number)
    return at if FIRST_INSTANT_MS <= at <= LAST_INSTANT_MS else None


def _read_iso(text: str) -> int | None:
    date = _ISO_DATE.match(text)
    if date is None:
        return None
    year, month, day = int(date[1]), int(date[3]), int(date[4])
    rest = text[date.end() :]
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    if not rest:
        # Eight digits alone are a number, so only the dashed form can be a date without a time.
        return _ms_since_epoch(datetime(year, month, day, tzinfo=UTC)) if date[2] else None
    clock = _ISO_CLOCK.match(rest, 1)
    if clock is None or rest[0] not in ("Tt " if date[2] else "Tt"):
        return None
    hour, minute, second = (int(part or 0) for part in clock.groups()[:3])
    if hour > 23 or minute > 59 or second > 59:
        return None
    zone_ms = _zone_ms(rest[clock.end() :])
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return None if zone_ms is None else _ms_since_epoch(moment) + int(((clock[4] or "") + "000")[:3]) - zone_ms


def _zone_ms(zone: str) -> int | None:
    if not zone:
        return 0
    found = _ISO_ZONE.fullmatch(zone)
    if found is None:
        return None
    hours, minutes = int(found[2] or 0), int(found[3] or 0)
    if hours > 23 or minutes > 59:
        return None
    return (-1 if found[1] == "-" else 1) * (hours * 60 + minutes) * 60_000
