"""The attribute catalogue as the language sees it: what is declared about an attribute, and which names are known.

Rule: immutable, and never needed for meaning except one: the direction of a bare `within`. Everything else in it only
improves hints, so an unknown attribute is always allowed: contacts may get it later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from segmentation.expression.syntax import Direction
from segmentation.model import AttributeName

NAMES_COMPARED_MAX = 5_000
"""How many known names a search for the nearest one looks at."""
NEAREST_CHARS_MAX = 64
"""A longer word is not looked up: nobody mistypes a word as long as that."""
MISTYPED_MAX = 3
"""More letters than this are not mistyped: it is another word."""
NEAREST_REMEMBERED_MAX = 1_024
"""Names for which a catalogue remembers the nearest one it knows."""

_WORD_BREAK = re.compile("[_.-]")
_LOOKS_FORWARD = (
    ("ends", "at"),
    ("end", "at"),
    ("end", "date"),
    ("expires", "at"),
    ("expiry",),
    ("expiration", "date"),
    ("renews", "at"),
    ("renewal", "date"),
    ("due", "at"),
    ("due", "date"),
    ("starts", "at"),
    ("start", "date"),
    ("scheduled", "at"),
    ("until",),
)


class AttributeType(StrEnum):
    """What an attribute is declared to hold. Information for people and hints: reading follows the literal."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    VERSION = "version"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class AttributeDeclaration:
    """What is declared about one attribute; None where nothing is."""

    type: AttributeType | None = None
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class AttributeCatalogue:
    """Declared attributes, and the names seen on contacts without a declaration."""

    declared: Mapping[AttributeName, AttributeDeclaration]
    seen: frozenset[AttributeName] = field(default=frozenset())
    _nearest: dict[str, str | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def empty(cls) -> AttributeCatalogue:
        """Nothing is declared and no name is known: bare `within` goes by the attribute's name."""
        return _EMPTY

    @classmethod
    def of(
        cls, declared: Mapping[AttributeName, AttributeDeclaration], seen: Iterable[AttributeName] = ()
    ) -> AttributeCatalogue:
        """A catalogue of these declarations, kept as they are now."""
        return cls(MappingProxyType(dict(declared)), frozenset(seen))

    def knows(self, name: AttributeName) -> bool:
        """Whether the name is declared or was seen on a contact."""
        return name in self.declared or name in self.seen

    def names(self) -> Iterator[AttributeName]:
        """Every known name, the declared ones first."""
        yield from self.declared
        yield from sorted(self.seen.difference(self.declared))

    def nearest(self, name: AttributeName) -> str | None:
        """The known name that an unknown one most probably mistypes, if any.

        Cost: a search through the known names, remembered for as long as the catalogue stands.
        """
        if name not in self._nearest:
            if len(self._nearest) >= NEAREST_REMEMBERED_MAX:
                self._nearest.clear()
            self._nearest[name] = nearest_name(name, self.names())
        return self._nearest[name]

    def direction_of(self, name: AttributeName) -> Direction:
        """Where a bare `within` on this attribute looks: as declared, else as its name suggests."""
        declaration = self.declared.get(name)
        if declaration is not None and declaration.direction is not None:
            return declaration.direction
        return direction_by_name(name)


_EMPTY = AttributeCatalogue(MappingProxyType({}))


def direction_by_name(name: str) -> Direction:
    """NEXT for names such as `trial_ends_at`, `contract.end_date` and `next_billing`; LAST for all others.

    The last words of the name decide, or `next_` at its beginning.
    """
    lowered = name.lower()
    words = tuple(_WORD_BREAK.split(lowered))
    forward = lowered.startswith("next_") or any(words[-len(ending) :] == ending for ending in _LOOKS_FORWARD)
    return Direction.NEXT if forward else Direction.LAST


def nearest_name(word: str, names: Iterable[str]) -> str | None:
    """The known name that `word` most probably mistypes, or None when none is near.

    Near is what differs in at most a third of the word, and in no more than `MISTYPED_MAX` letters.
    """
    if len(word) > NEAREST_CHARS_MAX:
        return None
    lowered, best, best_distance = word.lower(), None, min(max(1, len(word) // 3), MISTYPED_MAX) + 1
    for count, name in enumerate(names):
        if count >= NAMES_COMPARED_MAX:
            break
        if name != word and abs(len(name) - len(word)) < best_distance:
            distance = _distance(lowered, name.lower(), best_distance)
            if distance < best_distance:
                best, best_distance = name, distance
    return best


def _distance(left: str, right: str, bound: int) -> int:
    """Edit distance with neighbouring letters exchanged counted once, or `bound` as soon as it is reached.

    Cost: what both begin and end with is passed over; of the rest, cells nearer to the diagonal than `bound`.
    """
    left, right = _differing(left, right)
    before: list[int] = []
    above = list(range(len(right) + 1))
    for row, one in enumerate(left, 1):
        first, last = max(1, row - bound + 1), min(len(right), row + bound - 1)
        current = [row, *(bound,) * len(right)]
        for column in range(first, last + 1):
            other = right[column - 1]
            cost = min(above[column] + 1, current[column - 1] + 1, above[column - 1] + (one != other))
            if row > 1 and column > 1 and one == right[column - 2] and left[row - 2] == other:
                cost = min(cost, before[column - 2] + 1)
            current[column] = cost
        if min(current) >= bound:
            return bound
        before, above = above, current
    return min(above[-1], bound)


def _differing(left: str, right: str) -> tuple[str, str]:
    """Two texts without what both begin with and what both end with."""
    start, shorter = 0, min(len(left), len(right))
    while start < shorter and left[start] == right[start]:
        start += 1
    end = 0
    while end < shorter - start and left[-1 - end] == right[-1 - end]:
        end += 1
    return left[start : len(left) - end], right[start : len(right) - end]
