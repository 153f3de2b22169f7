"""What an expression depends on: the attributes it reads, the segments it refers to, and whether time can flip it.

Rule: a write that touches none of these attributes, and no membership referred to, cannot change the truth.
"""

from __future__ import annotations

from collections.abc import Iterator

from segmentation.expression.syntax import (
    AllOf,
    AnyOf,
    Condition,
    Expression,
    InFuture,
    InPast,
    InSegment,
    MoreThanAgo,
    MoreThanFromNow,
    Not,
    Test,
    Within,
)
from segmentation.model import AttributeName, SegmentId

TIME_TESTS = (Within, MoreThanAgo, MoreThanFromNow, InPast, InFuture)
"""The tests whose truth depends on now. `before`, `after` and `on` compare with a fixed instant and do not."""


def parts(expression: Expression) -> Iterator[Condition | InSegment]:
    """Every condition and segment reference, in written order."""
    pending: list[Expression] = [expression]
    while pending:
        node = pending.pop()
        if isinstance(node, AllOf | AnyOf):
            pending.extend(reversed(node.children))
        elif isinstance(node, Not):
            pending.append(node.child)
        else:
            yield node


def attributes_read(expression: Expression) -> frozenset[AttributeName]:
    """The attributes whose values the truth can depend on, referenced segments' own attributes apart."""
    return frozenset(part.attribute for part in parts(expression) if isinstance(part, Condition))


def segments_read(expression: Expression) -> frozenset[SegmentId]:
    """The segments referred to directly."""
    return frozenset(part.segment_id for part in parts(expression) if isinstance(part, InSegment))


def reads_now(test: Test) -> bool:
    """Whether now takes part in the test."""
    return isinstance(test, TIME_TESTS)


def depends_on_time(expression: Expression) -> bool:
    """Whether the truth may flip with no write, by the expression's own conditions; references have their own."""
    return any(isinstance(part, Condition) and reads_now(part.test) for part in parts(expression))
