"""Which readings the conditions of an expression ask of a value, so that unreadable values can be counted as they come.

Many segments ask the same reading of an attribute. Counting once a reading, and looking up each segment's readings only
when its counts are shown, costs a write a few checks however many segments there are.

Rule: a value is unreadable to an expression if and only if some reading that it asks cannot read it.
"""

from __future__ import annotations

from typing import NamedTuple

from segmentation.expression.reads import parts
from segmentation.expression.syntax import (
    Condition,
    Equals,
    Expression,
    HasAll,
    HasAny,
    IsSet,
    IsTrue,
    OneOf,
    TextMatch,
)
from segmentation.expression.truth import READERS, reading_of
from segmentation.model import AttributeName, Value

_ELEMENTWISE = (Equals, OneOf, HasAny, HasAll, IsTrue, TextMatch)


class AskedReading(NamedTuple):
    """One way in which an attribute's value is asked for. `lists`: whether a list can be read, element by element."""

    attribute: AttributeName
    reading: str
    """`number`, `instant`, …; of a set with literals of several types, those joined by ` or `."""
    lists: bool


def readings_asked(expression: Expression) -> frozenset[AskedReading]:
    """The readings that the expression's own conditions ask for. `is set` reads anything, so it asks for none."""
    return frozenset(
        AskedReading(part.attribute, reading_of(part.test), isinstance(part.test, _ELEMENTWISE))
        for part in parts(expression)
        if isinstance(part, Condition) and not isinstance(part.test, IsSet)
    )


def can_read(asked: AskedReading, value: Value) -> bool:
    """Whether the value can be read as asked."""
    if isinstance(value, list):
        return asked.lists
    return any(READERS[reading](value) is not None for reading in asked.reading.split(" or "))
