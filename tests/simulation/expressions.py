"""Random expressions and attribute values, by seed, shaped so that flips, ties and unreadable values are common.

Rule: every choice comes from the given random generator, so a seed is a history. References only point to segments
earlier in the given order, so no circle can arise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random

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
    ListLiteral,
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
from segmentation.model import AttributeName, InstantMs, SegmentId, Value

SECOND_MS = 1_000
DAY_MS = 86_400_000
DURATIONS_MS = (1_000, 2_000, 3_000, 5_000, 10_000, 60_000, DAY_MS)
"""Few and aligned, so that deadlines of several conditions fall on one instant, and on writes and definitions."""

PLAN, SCORE, FLAG, TAGS, VERSION = (AttributeName(name) for name in ("plan", "score", "flag", "tags", "app.version"))
SEEN_AT, ENDS_AT = AttributeName("seen_at"), AttributeName("ends_at")
ATTRIBUTES = (PLAN, SCORE, FLAG, TAGS, VERSION, SEEN_AT, ENDS_AT)
TIME_ATTRIBUTES = (SEEN_AT, ENDS_AT)

PLANS = ("pro", "Pro", "free", "straße", "STRASSE", "caf\u00e9", "cafe\u0301", "5", "true", "")
VERSIONS = ("1", "1.2", "v1.2.0", "1.2.1", "2.0-alpha", "2.0-alpha.1", "2.0-beta+7", "2.0", "10.0")
TAG_WORDS = ("a", "B", "b", "ab", "5")


def random_expression(rng: Random, now: int, references: Sequence[SegmentId], depth: int = 2) -> Expression:
    """A tree of at most `depth` levels of combinators; about half of its conditions depend on time."""
    if depth == 0 or rng.random() < 0.35:
        if references and rng.random() < 0.2:
            return InSegment(rng.choice(references))
        return _random_condition(rng, now)
    if rng.random() < 0.2:
        return Not(random_expression(rng, now, references, depth - 1))
    children = tuple(random_expression(rng, now, references, depth - 1) for _ in range(rng.randint(2, 3)))
    return AllOf(children) if rng.random() < 0.5 else AnyOf(children)


def random_value(rng: Random, attribute: AttributeName, now: int) -> Value:
    """A value that usually suits the attribute, and sometimes does not."""
    if rng.random() < 0.06:
        attribute = rng.choice(ATTRIBUTES)
    if attribute in TIME_ATTRIBUTES:
        return _spelled_instant(rng, _aligned(rng, now))
    return _VALUES[attribute](rng)


def _random_condition(rng: Random, now: int) -> Condition:
    attribute = rng.choice(TIME_ATTRIBUTES) if rng.random() < 0.5 else rng.choice(ATTRIBUTES)
    test = _time_test(rng, now) if attribute in TIME_ATTRIBUTES else _TESTS[attribute](rng)
    if rng.random() < 0.05:
        test = IsSet()
    plain = isinstance(test, IsSet) or rng.random() >= 0.2
    policy = MissingPolicy.DEFAULT if plain else rng.choice(list(MissingPolicy))
    return Condition(attribute, test, negated=rng.random() < 0.25, missing=policy)


def _time_test(rng: Random, now: int) -> Test:
    duration = rng.choice(DURATIONS_MS)
    return rng.choice(
        (
            Within(Direction.LAST, duration),
            Within(Direction.LAST, duration),
            Within(Direction.NEXT, duration),
            MoreThanAgo(duration),
            MoreThanFromNow(duration),
            InPast(),
            InFuture(),
            Compare(rng.choice(list(Order)), InstantLiteral(InstantMs(_aligned(rng, now)))),
            OnDay(InstantMs(now - now % DAY_MS)),
        )
    )


def _aligned(rng: Random, now: int) -> int:
    """An instant near now, on whole seconds so that boundaries coincide."""
    return now - now % SECOND_MS + rng.randint(-8, 8) * SECOND_MS


def _spelled_instant(rng: Random, at: int) -> Value:
    spelling = rng.randrange(6)
    if spelling == 0:
        return at // SECOND_MS
    if spelling == 1:
        return datetime.fromtimestamp(at // SECOND_MS, UTC).isoformat()
    if spelling == 2:
        return str(at)
    return at


def _text_test(rng: Random) -> Test:
    exact = rng.random() < 0.3
    texts = [TextLiteral(text) for text in rng.sample(PLANS, 3)]
    return rng.choice(
        (
            Equals(texts[0], exact),
            OneOf(tuple(texts), exact),
            TextMatch(rng.choice(list(TextMatchKind)), rng.choice(("pr", "P", "e", "SS", "\u00e9")), exact),
        )
    )


def _number_test(rng: Random) -> Test:
    low, high = sorted(rng.sample(range(6), 2))
    return rng.choice(
        (
            Equals(NumberLiteral(float(low))),
            Compare(rng.choice(list(Order)), NumberLiteral(float(high))),
            Between(NumberLiteral(float(low)), NumberLiteral(float(high))),
            OneOf((NumberLiteral(float(low)), NumberLiteral(float(high)))),
        )
    )


def _list_test(rng: Random) -> Test:
    words: tuple[ListLiteral, ...] = tuple(TextLiteral(word) for word in rng.sample(TAG_WORDS, 2))
    return rng.choice((HasAny(words), HasAll(words), Equals(words[0]), TextMatch(TextMatchKind.CONTAINS, "a")))


def _version_test(rng: Random) -> Test:
    literal = VersionLiteral(rng.choice(VERSIONS))
    return Compare(rng.choice(list(Order)), literal) if rng.random() < 0.8 else Equals(literal)


def _boolean_test(rng: Random) -> Test:
    return Equals(BooleanLiteral(rng.random() < 0.5))


_TESTS: dict[AttributeName, Callable[[Random], Test]] = {
    PLAN: _text_test,
    SCORE: _number_test,
    FLAG: _boolean_test,
    TAGS: _list_test,
    VERSION: _version_test,
}
_VALUES: dict[AttributeName, Callable[[Random], Value]] = {
    PLAN: lambda rng: rng.choice(PLANS),
    SCORE: lambda rng: rng.choice((0, 1, 2, 3, 4.0, 2.5, 5, "3", "4.0", "three", True)),
    FLAG: lambda rng: rng.choice((True, False, "TRUE", "false", 1, "yes")),
    TAGS: lambda rng: rng.sample(TAG_WORDS, rng.randint(0, 3)) if rng.random() < 0.8 else rng.choice(TAG_WORDS),
    VERSION: lambda rng: rng.choice((*VERSIONS, "latest")),
}
