"""The contenders: each finds what one write flips, given the contact before and after it and its memberships.

Rule: all answer the same question from the same input, prepared as each likes best beforehand. The naive one uses our
own compiled truths, so it is as fast as evaluating every segment can be here; the JSONLogic one runs native code.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import datalogic_py

from bench.engine.workload import Write
from segmentation.expression.compiler import CompiledSegment
from segmentation.expression.syntax import (
    AllOf,
    AnyOf,
    Between,
    Compare,
    Condition,
    Direction,
    Equals,
    Expression,
    HasAny,
    IsSet,
    MoreThanAgo,
    Not,
    NumberLiteral,
    OneOf,
    Order,
    TextMatch,
    Within,
)
from segmentation.index.catalogue import Catalogue
from segmentation.model import SegmentId

Found = tuple[Collection[SegmentId], Collection[SegmentId]]


class Contender(Protocol):
    """Finds the segments entered and left."""

    def flips(self, write: Write, members: dict[SegmentId, int]) -> Found:
        """What the write flips."""


class Tidegate:
    """The matching engine."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._flips = catalogue.flips

    def flips(self, write: Write, members: dict[SegmentId, int]) -> Found:
        """What the write flips."""
        return self._flips(write.before, write.after, write.changed, write.now, members)


class Naive:
    """Every segment's compiled truth, compared with the membership."""

    def __init__(self, segments: Sequence[CompiledSegment]) -> None:
        self._truths = [(segment.segment_id, segment.holds) for segment in segments]

    def flips(self, write: Write, members: dict[SegmentId, int]) -> Found:
        """What the write flips."""
        after, now = write.after, write.now
        holding = {segment_id for segment_id, holds in self._truths if holds(after, now, members)}
        return holding - members.keys(), members.keys() - holding


class JsonLogic:
    """Every segment as a compiled rule of `datalogic-py`, all in one native call on the contact parsed once."""

    def __init__(self, segments: Sequence[CompiledSegment]) -> None:
        engine = datalogic_py.Engine()
        self._ids = [segment.segment_id for segment in segments]
        self._rules = [engine.compile(to_jsonlogic(segment.expression)) for segment in segments]
        self._session = engine.session()

    def flips(self, write: Write, members: dict[SegmentId, int]) -> Found:
        """What the write flips."""
        document = datalogic_py.DataHandle({**write.after, "now": write.now})
        answers = self._session.evaluate_many(self._rules, document)
        holding = {segment_id for segment_id, answer in zip(self._ids, answers, strict=True) if answer == "true"}
        return holding - members.keys(), members.keys() - holding


def to_jsonlogic(expression: Expression) -> Any:  # a JSON document
    """The expression as JSONLogic, guarded where a missing value would compare as zero."""
    match expression:
        case AllOf(children):
            return {"and": [to_jsonlogic(child) for child in children]}
        case AnyOf(children):
            return {"or": [to_jsonlogic(child) for child in children]}
        case Not(child):
            return {"!": [to_jsonlogic(child)]}
        case Condition():
            test = _test(expression)
            return {"!": [test]} if expression.negated else test
    raise AssertionError(f"the workload draws no {expression!r}")


def _test(condition: Condition) -> Any:  # a JSON document
    value = {"var": condition.attribute}
    is_set = {"!==": [value, None]}
    age = {"-": [{"var": "now"}, value]}
    match condition.test:
        case IsSet():
            return is_set
        case Equals(literal):
            return {"===": [value, literal.at if hasattr(literal, "at") else literal.value]}
        case OneOf(literals):
            return {"in": [value, [literal.value for literal in literals]]}
        case HasAny(literals):
            return {"in": [literals[0].value, value]}
        case TextMatch(_, text):
            return {"in": [text, value]}
        case Compare(Order.GTE, NumberLiteral(number)):
            return {">=": [value, number]} if number > 0 else {"and": [is_set, {">=": [value, number]}]}
        case Compare(_, NumberLiteral(number)):
            return {"and": [is_set, {"<": [value, number]}]}
        case Between(NumberLiteral(low), NumberLiteral(high)):
            return {"and": [is_set, {"<=": [low, value, high]}]}
        case Within(Direction.LAST, duration):
            return {"and": [is_set, {">=": [age, 0]}, {"<": [age, duration]}]}
        case Within(_, duration):
            return {"and": [is_set, {">=": [age, -duration]}, {"<": [age, 0]}]}
        case MoreThanAgo(duration):
            return {"and": [is_set, {">=": [age, duration]}]}
    raise AssertionError(f"the workload draws no {condition.test!r}")
