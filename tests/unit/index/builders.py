"""Short ways to write segments, for tests of the index."""

from __future__ import annotations

from segmentation.expression.compiler import CompiledSegment, compile_segment
from segmentation.expression.syntax import (
    Compare,
    Condition,
    Equals,
    Expression,
    HasAny,
    Not,
    NumberLiteral,
    Order,
    TextLiteral,
)
from segmentation.model import AttributeName, SegmentId, SegmentState

PLAN, SCORE, TAGS, SEEN_AT = (AttributeName(name) for name in ("plan", "score", "tags", "seen_at"))


def segment(
    segment_id: str, expression: Expression, state: SegmentState = SegmentState.ACTIVE, version: int = 1
) -> CompiledSegment:
    return compile_segment(SegmentId(segment_id), version, state, expression)


def plan_is(text: str) -> Condition:
    return Condition(PLAN, Equals(TextLiteral(text)))


def plan_is_not(text: str) -> Expression:
    return Not(plan_is(text))


def score_from(number: float) -> Condition:
    return Condition(SCORE, Compare(Order.GTE, NumberLiteral(number)))


def tagged(tag: str) -> Condition:
    return Condition(TAGS, HasAny((TextLiteral(tag),)))
