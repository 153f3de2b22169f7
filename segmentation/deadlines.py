"""When could an atom flip unaided: exact instants, from the cuts on a value's age.

An age `now - t` reaches a cut c at the instant t + c, and the new truth holds at that millisecond. Rule: an instant
given here is strictly after the one asked about, no flip lies between them, and the clock is never read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from segmentation.expression.readings import EPOCH_MS_MAX, EPOCH_MS_MIN, instant_of
from segmentation.model import AttributeName, Attributes, InstantMs

AgeCuts = tuple[AttributeName, Sequence[int]]
"""An attribute, and the ages at which tests on it flip, ascending. Units: milliseconds."""


def next_flip(ages: Iterable[AgeCuts], attributes: Attributes, after: InstantMs) -> InstantMs | None:
    """The least instant strictly after `after` at which any of the cuts is reached; None if none will be.

    Cost: one bisection an attribute that has a value.
    """
    earliest: int | None = None
    for attribute, cuts in ages:
        value = attributes.get(attribute)
        if value is None:
            continue
        # The usual value is read in place: calling a function costs as much as all the rest.
        instant: Any = value
        if value.__class__ is not int or not EPOCH_MS_MIN <= instant <= EPOCH_MS_MAX:
            instant = instant_of(value)
        if instant is None:
            continue
        place = bisect_right(cuts, after - instant)
        if place < len(cuts):
            at = instant + cuts[place]
            if earliest is None or at < earliest:
                earliest = at
    return None if earliest is None else InstantMs(earliest)
