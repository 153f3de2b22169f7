"""What would flip one condition of one contact: the smallest write, the removal, or waiting.

Rule: every suggestion with a value is tried before it is offered: applied to the contact as it is, it flips the
condition. A suggestion is advice for people; nothing is ever written because of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from segmentation.expression.atoms import key_of
from segmentation.expression.canonical import OPPOSITE
from segmentation.expression.render import to_text
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
    MoreThanAgo,
    MoreThanFromNow,
    Not,
    NumberLiteral,
    OnDay,
    OneOf,
    Order,
    OrderedLiteral,
    Test,
    TextMatch,
    TextMatchKind,
    Within,
)
from segmentation.expression.truth import condition_truth, keys_held, keys_wanted, readings_of, truth_of
from segmentation.model import AttributeName, InstantMs, Scalar, Value
from segmentation.values import (
    DAY_MS,
    INSTANT_MAX_MS,
    INSTANT_MIN_MS,
    iso_text,
    read_number,
    read_text,
    version_key,
)

_WHOLE_BELOW = 2.0**53


class FlipAction(StrEnum):
    """What to do."""

    SET = "set"
    REMOVE = "remove"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Flip:
    """One way to flip a condition. `value` for SET, or None if any value that fits `says` will do; `at` for WAIT."""

    action: FlipAction
    attribute: AttributeName
    says: str
    value: Value | None = None
    at: InstantMs | None = None

    def to_json(self) -> dict[str, object]:
        """As an object of JSON types."""
        shown: dict[str, object] = {"action": self.action.value, "attribute": self.attribute, "says": self.says}
        if self.value is not None:
            shown["value"] = self.value
        if self.at is not None:
            shown["at_ms"] = self.at
        return shown


def flips_of(condition: Condition, value: Value | None, now: InstantMs, until: InstantMs | None) -> tuple[Flip, ...]:
    """The ways to flip the condition, the smallest write first. `until`: when time alone flips it."""
    return tuple(_flips(condition, value, now, until))


def _flips(condition: Condition, value: Value | None, now: InstantMs, until: InstantMs | None) -> Iterator[Flip]:
    name = condition.attribute
    wanted = not _holds(condition, value, now)
    for candidate in _candidates(condition.test, value, now, wanted is not condition.negated):
        if _holds(condition, candidate, now) is wanted:
            yield Flip(FlipAction.SET, name, f"set {name} to {json.dumps(candidate, ensure_ascii=False)}", candidate)
            break
    else:
        if value is None or not isinstance(condition.test, IsSet):
            says = to_text(condition if wanted else Not(condition))
            yield Flip(FlipAction.SET, name, f"set {name} so that {says}")
    if value is not None and _holds(condition, None, now) is wanted:
        yield Flip(FlipAction.REMOVE, name, f"remove {name}")
    if until is not None:
        yield Flip(FlipAction.WAIT, name, f"wait until {iso_text(until)}", at=until)


def _holds(condition: Condition, value: Value | None, now: InstantMs) -> bool:
    return condition_truth(condition, {} if value is None else {condition.attribute: value}, now)


def _candidates(test: Test, value: Value | None, now: InstantMs, positive: bool) -> Iterator[Value]:
    """Values near the present one that make the positive test true, or false when `positive` is not asked."""
    match test:
        case Equals(literal):
            yield from _equal_to((literal,), value) if positive else _different(literal)
        case IsTrue():
            yield positive
        case OneOf(literals) | HasAny(literals):
            exact = isinstance(test, OneOf) and test.exact
            yield from _equal_to(literals, value) if positive else _without(literals, exact, value)
        case HasAll(literals):
            yield from _with_all(literals, value) if positive else _without(literals, False, value)
        case TextMatch():
            yield from _with_fragment(test, value) if positive else _without_fragment(test, value)
        case Compare(order, literal):
            yield from _beyond(order if positive else OPPOSITE[order], literal)
        case Between(low, high):
            yield from _inside(low.value, high.value, value) if positive else _beyond(Order.GT, high)
        case IsSet():
            return
        case _:
            yield from _instants(test, now, positive)


def _plain(literal: Literal) -> Scalar:
    return iso_text(literal.at) if isinstance(literal, InstantLiteral) else literal.value


def _equal_to(literals: tuple[Literal, ...], value: Value | None) -> Iterator[Value]:
    for literal in literals:
        yield [*value, _plain(literal)] if isinstance(value, list) else _plain(literal)


def _different(literal: Literal) -> Iterator[Value]:
    if isinstance(literal, BooleanLiteral):
        yield not literal.value
    elif isinstance(literal, NumberLiteral):
        yield from _beyond(Order.GT, literal)


def _without(literals: tuple[Literal, ...], exact: bool, value: Value | None) -> Iterator[Value]:
    """A list without the elements that equal one of the literals."""
    if isinstance(value, list):
        wanted = keys_wanted(literals, exact)
        readings = readings_of(wanted)
        yield [element for element in value if wanted.isdisjoint(keys_held(element, readings))]


def _without_fragment(test: TextMatch, value: Value | None) -> Iterator[Value]:
    """A list without the elements that match."""
    if isinstance(value, list):
        yield [element for element in value if not truth_of(test, [element], InstantMs(0))]


def _with_all(literals: tuple[Literal, ...], value: Value | None) -> Iterator[Value]:
    kept: list[Scalar] = value if isinstance(value, list) else [] if value is None else [value]
    held = keys_held(kept, readings_of(keys_wanted(literals, exact=False)))
    yield [*kept, *(_plain(literal) for literal in literals if key_of(literal) not in held)]
    yield [_plain(literal) for literal in literals]


def _with_fragment(test: TextMatch, value: Value | None) -> Iterator[Value]:
    if isinstance(value, list):
        yield [*value, test.text]
        return
    text = read_text(value)
    if text:
        yield test.text + text if test.kind is TextMatchKind.STARTS_WITH else text + test.text
    yield test.text


def _beyond(order: Order, literal: OrderedLiteral) -> Iterator[Value]:
    """The nearest value on the asked side of a literal, in whole steps where the literal is whole."""
    up = order in {Order.GT, Order.GTE}
    inclusive = order in {Order.GTE, Order.LTE}
    if isinstance(literal, InstantLiteral):
        yield iso_text(InstantMs(literal.at + (0 if inclusive else 1 if up else -1)))
    elif isinstance(literal, NumberLiteral):
        number = literal.value
        if not inclusive:
            whole = number.is_integer() and abs(number) < _WHOLE_BELOW
            number = number + (1 if up else -1) if whole else math.nextafter(number, math.inf if up else -math.inf)
        if math.isfinite(number):
            yield int(number) if number.is_integer() and abs(number) <= _WHOLE_BELOW else number
    elif inclusive:
        yield literal.value
    else:
        yield from _version_beyond(literal.value, up)


def _version_beyond(version: str, up: bool) -> Iterator[Value]:
    key = version_key(version)
    if key is None:
        return
    numbers = list(key[:4])
    if not up:
        yield f"{'.'.join(map(str, numbers))}-0"
    for place in (3, 2, 1, 0):
        if up or numbers[place] > 0:
            stepped = [*numbers[:place], numbers[place] + (1 if up else -1), *([0] * (3 - place))]
            yield ".".join(map(str, stepped))


def _inside(low: float, high: float, value: Value | None) -> Iterator[Value]:
    number = read_number(value)
    nearest = high if number is not None and number > high else low
    yield int(nearest) if nearest.is_integer() and abs(nearest) <= _WHOLE_BELOW else nearest


def _instants(
    test: OnDay | Within | MoreThanAgo | MoreThanFromNow | InPast | InFuture, now: InstantMs, positive: bool
) -> Iterator[Value]:
    """An instant on the asked side of every boundary, the one that stays there longest first."""
    match test:
        case OnDay(start):
            at = start if positive else start + DAY_MS
        case Within(Direction.LAST, duration_ms):
            at = now if positive else now - duration_ms
        case Within(_, duration_ms):
            at = now + duration_ms if positive else now
        case MoreThanAgo(duration_ms):
            at = now - duration_ms if positive else now
        case MoreThanFromNow(duration_ms):
            at = now + duration_ms + 1 if positive else now
        case InPast():
            at = now if positive else now + DAY_MS
        case InFuture():
            at = now + DAY_MS if positive else now
    if INSTANT_MIN_MS <= at <= INSTANT_MAX_MS:
        yield iso_text(InstantMs(at))
