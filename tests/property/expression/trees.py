"""Random expressions, values and instants, shaped so that boundaries, folds and unreadable values are common."""

from __future__ import annotations

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
from segmentation.model import AttributeName, InstantMs, SegmentId
from segmentation.values import iso_text

NOW = 1_790_000_000_000
DAY_MS = 86_400_000
NAMES = ("plan", "mrr", "in", "all", "segment", "last active", "a`b\\", "Größe", "ends_at", "é", "set", "AND")
SEGMENTS = tuple(map(SegmentId, ("a", "b-2", "0_c", "exists", "and", "not")))

_TEXTS = ("pro", "Pro", "STRASSE", "straße", "caf\u00e9", "cafe\u0301", "5", "5.0", "true", "", '"', "\\", "\n")
texts = st.one_of(st.sampled_from(_TEXTS), st.text(max_size=6))
numbers = st.one_of(
    st.integers(-3, 6).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from((0.1, -0.0, 1e21, 2.0**53, 1e-7, 99.5)),
)
durations = st.sampled_from((1_000, 60_000, 3_600_000, DAY_MS, 7 * DAY_MS, 90_000, 3_650 * DAY_MS))
near_instants = st.builds(
    lambda base, offset: InstantMs(NOW + base + offset),
    st.sampled_from((0, DAY_MS, -DAY_MS, 7 * DAY_MS, -7 * DAY_MS, 3_600_000, -1_000, 1_000)),
    st.integers(-2, 2),
)
versions = st.sampled_from(("1", "1.0", "v1.2", "1.2.0-rc.1", "1.2.0-rc.2", "1.2+x", "2.10", "2.9.1.4", "0"))

_list_literals = st.one_of(
    st.builds(TextLiteral, texts), st.builds(NumberLiteral, numbers), st.builds(BooleanLiteral, st.booleans())
)
_ordered = st.one_of(
    st.builds(NumberLiteral, numbers), st.builds(VersionLiteral, versions), st.builds(InstantLiteral, near_instants)
)
_sets = st.lists(_list_literals, min_size=1, max_size=4).map(tuple)
_exact_sets = st.lists(st.builds(TextLiteral, texts), min_size=1, max_size=3).map(tuple)
_days = near_instants.map(lambda at: InstantMs(at - at % DAY_MS))

tests = st.one_of(
    st.builds(Equals, st.one_of(_list_literals, _ordered)),
    st.builds(Equals, st.builds(TextLiteral, texts), st.just(True)),
    st.builds(OneOf, _sets),
    st.builds(OneOf, _exact_sets, st.just(True)),
    st.builds(Compare, st.sampled_from(Order), _ordered),
    st.tuples(numbers, numbers).map(lambda ends: Between(NumberLiteral(min(ends)), NumberLiteral(max(ends)))),
    st.builds(OnDay, _days),
    st.just(IsTrue()),
    st.just(IsSet()),
    st.builds(TextMatch, st.sampled_from(TextMatchKind), texts.filter(bool), st.booleans()),
    st.builds(HasAny, _sets),
    st.builds(HasAll, _sets),
    st.builds(Within, st.sampled_from(Direction), durations),
    st.builds(MoreThanAgo, durations),
    st.builds(MoreThanFromNow, durations),
    st.just(InPast()),
    st.just(InFuture()),
)
conditions = st.builds(
    Condition, st.sampled_from(NAMES).map(AttributeName), tests, st.booleans(), st.sampled_from(MissingPolicy)
)
_references = st.builds(InSegment, st.sampled_from(SEGMENTS))
_leaves: st.SearchStrategy[Expression] = st.one_of(conditions, conditions, _references)


def _groups(below: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    children = st.lists(below, min_size=1, max_size=3).map(tuple)
    return st.one_of(st.builds(AllOf, children), st.builds(AnyOf, children), st.builds(Not, below))


expressions: st.SearchStrategy[Expression] = st.recursive(_leaves, _groups, max_leaves=8)
"""Trees as the parsers never give them: groups of one, NOT over conditions, policies that say nothing."""

_scalars = st.one_of(
    texts, st.integers(-3, 6), numbers, st.booleans(), versions, near_instants, near_instants.map(iso_text),
    near_instants.map(str), near_instants.map(lambda at: at // 1000),
)  # fmt: skip
values = st.one_of(_scalars, _scalars, _scalars, st.lists(_scalars, max_size=3))
contacts = st.dictionaries(st.sampled_from(NAMES).map(AttributeName), values, max_size=len(NAMES))
members = st.frozensets(st.sampled_from(SEGMENTS))
tests_and_values = st.tuples(tests, values)
instants = st.one_of(near_instants, st.just(InstantMs(NOW)))
