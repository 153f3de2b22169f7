"""Hypothesis strategies for expressions, contacts and catalogues, small enough that ties, boundaries and flips abound.

Rule: values are drawn for every way of reading: as their type, as text, as a list, and as something unreadable. Segment
`s<n>` refers only to segments of smaller n, so no circle arises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hypothesis import strategies as st

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
from segmentation.model import AttributeName, InstantMs, SegmentId, SegmentState, Value

NOW = InstantMs(1_790_000_000_000)
DAY_MS = 86_400_000
START_OF_DAY = InstantMs(NOW - NOW % DAY_MS)
DURATIONS_MS = (1_000, 2_000, 3_000, DAY_MS)
ATTRIBUTES = tuple(AttributeName(name) for name in ("a", "b", "c.d", "e"))
"""Few, and any test may ask any of them, so that one value is read in many ways."""

TEXTS = (
    "pro",
    "Pro",
    "PRO ",
    "5",
    "5.0",
    "true",
    "False",
    "stra\u00dfe",
    "STRASSE",
    "cafe\u0301",
    "Caf\u00e9",
    "",
    "p",
)
VERSIONS = ("1", "1.2", "v1.2.0", "1.2.0-alpha", "1.2.0-alpha.1", "1.10", "2.0.0.1")
NUMBERS = (-1.0, 0.0, 1.0, 2.0, 2.5, 5.0, 2.0**53)

texts = st.sampled_from(TEXTS)
orders = st.sampled_from(tuple(Order))
durations = st.sampled_from(DURATIONS_MS)
near_now = st.integers(-4, 4).map(lambda seconds: InstantMs(NOW + seconds * 1_000))
number_literals = st.sampled_from(NUMBERS).map(NumberLiteral)
list_literals: st.SearchStrategy[ListLiteral] = st.one_of(
    texts.map(TextLiteral), number_literals, st.booleans().map(BooleanLiteral)
)
literal_sets = st.lists(list_literals, min_size=1, max_size=3, unique=True).map(tuple)
ordered_literals = st.one_of(
    number_literals, st.sampled_from(VERSIONS).map(VersionLiteral), near_now.map(InstantLiteral)
)


def _between(ends: list[float]) -> Between:
    return Between(NumberLiteral(min(ends)), NumberLiteral(max(ends)))


tests: st.SearchStrategy[Test] = st.one_of(
    st.builds(Equals, texts.map(TextLiteral), st.booleans()),
    st.builds(Equals, st.one_of(list_literals, ordered_literals)),
    st.builds(OneOf, literal_sets, st.booleans()),
    st.builds(HasAny, literal_sets),
    st.builds(HasAll, literal_sets),
    st.builds(Compare, orders, ordered_literals),
    st.lists(st.sampled_from(NUMBERS), min_size=2, max_size=2).map(_between),
    st.builds(OnDay, st.sampled_from((START_OF_DAY, InstantMs(START_OF_DAY - DAY_MS)))),
    st.just(IsTrue()),
    st.just(IsSet()),
    st.builds(TextMatch, st.sampled_from(tuple(TextMatchKind)), st.sampled_from(TEXTS[:5]), st.booleans()),
    st.builds(Within, st.sampled_from(tuple(Direction)), durations),
    st.builds(Within, st.sampled_from(tuple(Direction)), durations),
    st.builds(MoreThanAgo, durations),
    st.builds(MoreThanFromNow, durations),
    st.just(InPast()),
    st.just(InFuture()),
)
conditions = st.builds(
    Condition,
    st.sampled_from(ATTRIBUTES),
    tests,
    st.booleans(),
    st.sampled_from((MissingPolicy.DEFAULT, *MissingPolicy)),
)
scalars = st.one_of(
    texts,
    st.sampled_from(VERSIONS),
    st.sampled_from(NUMBERS),
    st.sampled_from((0, 1, 2, 5, 2**53, 2**53 + 1, -1)),
    st.booleans(),
    near_now,
    near_now.map(lambda at: at // 1_000),
    near_now.map(str),
    st.sampled_from(("2026-09-21T14:13:20Z", "2026-09-21T16:13:21+02:00", "2026-09-21", "not an instant")),
)
values: st.SearchStrategy[Value] = st.one_of(scalars, scalars, st.lists(st.one_of(texts, scalars), max_size=3))
contacts: st.SearchStrategy[dict[AttributeName, Value]] = st.dictionaries(st.sampled_from(ATTRIBUTES), values)


def expressions(references: tuple[SegmentId, ...] = (), leaves: int = 6) -> st.SearchStrategy[Expression]:
    """Trees over conditions and references."""
    leaf: st.SearchStrategy[Expression] = conditions
    if references:
        leaf = st.one_of(conditions, conditions, st.sampled_from(references).map(InSegment))
    return st.recursive(leaf, _combined, max_leaves=leaves)


def _combined(children: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(children, min_size=1, max_size=3).map(tuple)
    return st.one_of(several.map(AllOf), several.map(AnyOf), children.map(Not))


class Drawn(NamedTuple):
    """Segments in an order in which each comes after those that it refers to; some are paused."""

    expressions: Mapping[SegmentId, Expression]
    states: Mapping[SegmentId, SegmentState]


@st.composite
def catalogues(draw: st.DrawFn) -> Drawn:
    """One to six segments."""
    drawn: dict[SegmentId, Expression] = {}
    for number in range(draw(st.integers(1, 6))):
        drawn[SegmentId(f"s{number}")] = draw(expressions((*drawn, SegmentId("unknown"))))
    kinds = st.sampled_from((SegmentState.ACTIVE, SegmentState.ACTIVE, SegmentState.ACTIVE, SegmentState.PAUSED))
    return Drawn(drawn, {segment_id: draw(kinds) for segment_id in drawn})
