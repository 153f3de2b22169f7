"""The syntax tree of a segment expression: what both written forms parse to and everything else starts from.

Rule: a tree is immutable, hashable and meaning-free; spans never take part in equality, so two spellings of one
expression are equal trees once canonical (`render.py`). Truth of each test is defined in `GRAMMAR.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from segmentation.model import AttributeName, InstantMs, SegmentId


@dataclass(frozen=True, slots=True)
class Span:
    """Where in the source text. Units: line and column from 1, offset from 0, length in code points."""

    offset: int
    length: int
    line: int
    column: int


class MissingPolicy(StrEnum):
    """What a condition gives for a missing or unreadable value."""

    DEFAULT = "default"
    """A positive test is false, a negated one true."""
    EXCLUDE = "exclude"
    """The condition is false."""
    INCLUDE = "include"
    """The condition is true."""


class Order(StrEnum):
    """Ordered comparisons."""

    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


class TextMatchKind(StrEnum):
    """Substring tests."""

    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"


class Direction(StrEnum):
    """Which side of now a `within` looks at."""

    LAST = "last"
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class TextLiteral:
    """Text as written; comparison folds it unless the test is exact."""

    value: str


@dataclass(frozen=True, slots=True)
class NumberLiteral:
    """A 64-bit float. `5` and `5.0` are equal literals."""

    value: float


@dataclass(frozen=True, slots=True)
class BooleanLiteral:
    """true or false. Never equal to a NumberLiteral."""

    value: bool


@dataclass(frozen=True, slots=True)
class VersionLiteral:
    """A version as written (`2.10.1`); `values.version_key` gives its order."""

    value: str


@dataclass(frozen=True, slots=True)
class InstantLiteral:
    """An absolute instant."""

    at: InstantMs


Literal = TextLiteral | NumberLiteral | BooleanLiteral | VersionLiteral | InstantLiteral
OrderedLiteral = NumberLiteral | VersionLiteral | InstantLiteral
ListLiteral = TextLiteral | NumberLiteral | BooleanLiteral


@dataclass(frozen=True, slots=True)
class Equals:
    """`is`. A text literal under `exact` compares code points; `exact` is False for other literals."""

    literal: Literal
    exact: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """`in [...]`. Shape: 1 to 10,000 literals, each read by its own type; canonical order is sorted and unique."""

    literals: tuple[ListLiteral, ...]
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Compare:
    """`> >= < <=` against a number, version or instant; `before` is `<` and `after` is `>` on an instant."""

    order: Order
    literal: OrderedLiteral


@dataclass(frozen=True, slots=True)
class Between:
    """Both ends included; numbers only. Invariant: low <= high."""

    low: NumberLiteral
    high: NumberLiteral


@dataclass(frozen=True, slots=True)
class OnDay:
    """`on 2026-05-01`: start <= value < start + 24 h. Invariant: start is 00:00 UTC."""

    start: InstantMs


@dataclass(frozen=True, slots=True)
class IsTrue:
    """A bare attribute: reads a boolean and it is true. Canonical form is `Equals(BooleanLiteral(True))`."""


@dataclass(frozen=True, slots=True)
class IsSet:
    """Present, whatever it holds: `""` and `[]` are set."""


@dataclass(frozen=True, slots=True)
class TextMatch:
    """Substring test; on a list `contains` is equality with an element, the others match any element."""

    kind: TextMatchKind
    text: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class HasAny:
    """The list has any of the literals (a scalar counts as a list of one)."""

    literals: tuple[ListLiteral, ...]


@dataclass(frozen=True, slots=True)
class HasAll:
    """The list has all of the literals (a scalar counts as a list of one)."""

    literals: tuple[ListLiteral, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """LAST: t <= now < t+D. NEXT: t-D <= now < t. Units: milliseconds, 1 s to 3,650 days."""

    direction: Direction
    duration_ms: int


@dataclass(frozen=True, slots=True)
class MoreThanAgo:
    """now >= t+D."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class MoreThanFromNow:
    """now < t-D."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class InPast:
    """now >= t."""


@dataclass(frozen=True, slots=True)
class InFuture:
    """now < t."""


Test = (
    Equals
    | OneOf
    | Compare
    | Between
    | OnDay
    | IsTrue
    | IsSet
    | TextMatch
    | HasAny
    | HasAll
    | Within
    | MoreThanAgo
    | MoreThanFromNow
    | InPast
    | InFuture
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of one attribute.

    Truth: if the value is missing or unreadable, what `missing` says (DEFAULT: `negated`); else the test, complemented
    when `negated`.
    """

    attribute: AttributeName
    test: Test
    negated: bool = False
    missing: MissingPolicy = MissingPolicy.DEFAULT
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class InSegment:
    """The contact is a member of another segment, as of the same evaluation."""

    segment_id: SegmentId
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    """Exact complement."""

    child: Expression
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Conjunction. Shape: at least one child; written order is kept."""

    children: tuple[Expression, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Disjunction. Shape: at least one child; written order is kept."""

    children: tuple[Expression, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


Expression = Condition | InSegment | Not | AllOf | AnyOf
