"""Guards: of a facet with many segments, those that a move may let a contact into, found by the contact's texts.

Most segments ask for some text beside the rest: a tag, a city, a plan. Such a test is the segment's *guard*; without
its text the segment cannot hold. So of thousands of segments behind a facet, the few with a text of the contact are
looked at, and of these the ones with a literal that the move makes true. Rule: a guard only narrows down; the segments'
own truth decides. Immutable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from segmentation.expression.atoms import Equal, Reading
from segmentation.expression.compiler import CompiledSegment, Truth
from segmentation.expression.normal import All, Literal
from segmentation.expression.readings import FOLDED
from segmentation.model import AttributeName, Attributes, SegmentId
from segmentation.values import fold, read_text

Segments = tuple[CompiledSegment, ...]
Candidate = tuple[SegmentId, Truth]
"""A segment to try: the id to look up, and the truth that decides."""
Candidates = tuple[Candidate, ...]
Spread = Mapping[AttributeName, int]
"""How many texts the segments of a catalogue ask an attribute for: the more, the fewer segments share one."""


class Guards(NamedTuple):
    """The segments behind one facet.

    Shape: `numbers` counts the facet's literals, for numbers are quicker to look up. `by_text` has, by attribute and
    text, the literals whose segments have that guard; `open` has, by literal, the segments without one; `by_segment`
    has each segment's literals and its truth.
    """

    numbers: Mapping[Literal, int]
    by_text: Mapping[AttributeName, Mapping[str, Sequence[tuple[int, Candidate]]]]
    open: Mapping[int, Segments]
    by_segment: Mapping[SegmentId, tuple[Sequence[int], Truth]]

    @classmethod
    def of(cls, attribute: AttributeName, behind: Mapping[Literal, Segments], spread: Spread) -> Guards:
        """The guards of a facet of `attribute`; a test of that attribute itself says nothing more and guards none."""
        by_text: dict[AttributeName, dict[str, list[tuple[int, Candidate]]]] = {}
        unguarded: dict[int, Segments] = {}
        by_segment: dict[SegmentId, tuple[list[int], Truth]] = {}
        for number, segments in enumerate(behind.values()):
            lone: list[CompiledSegment] = []
            for segment in segments:
                by_segment.setdefault(segment.segment_id, ([], segment.holds))[0].append(number)
                guard = _guard(segment, attribute, spread)
                if guard is None:
                    lone.append(segment)
                    continue
                texts = by_text.setdefault(guard.attribute, {})
                for text in guard.payloads:
                    texts.setdefault(str(text), []).append((number, (segment.segment_id, segment.holds)))
            unguarded[number] = tuple(lone)
        return cls({literal: number for number, literal in enumerate(behind)}, by_text, unguarded, by_segment)

    def found(
        self, rising: Set[int], sinking: Set[int], texts: Texts, members: Collection[SegmentId]
    ) -> tuple[list[Candidate], list[Candidate]]:
        """The guarded segments to try for entry when some literals become true, and all to try for exit."""
        up: list[Candidate] = []
        for attribute, of_text in self.by_text.items():
            for text in texts[attribute]:
                here = of_text.get(text)
                if here is not None:
                    up += [candidate for number, candidate in here if number in rising]
        down: list[Candidate] = []
        for segment_id in self.by_segment.keys() & members:
            numbers, holds = self.by_segment[segment_id]
            if not sinking.isdisjoint(numbers):
                down.append((segment_id, holds))
        return up, down


class Texts(dict[AttributeName, Sequence[str]]):
    """A contact's values as guards compare them, read when asked for."""

    def __init__(self, attributes: Attributes) -> None:
        super().__init__()
        self._attributes = attributes

    def __missing__(self, attribute: AttributeName) -> Sequence[str]:
        value: Any = self._attributes.get(attribute)
        if value.__class__ is str:
            found: Sequence[str] = (FOLDED[value],)
        elif value is None:
            found = ()
        else:
            elements = value if value.__class__ is list else (value,)
            found = [FOLDED[each] if each.__class__ is str else _folded(each) for each in elements]
        self[attribute] = found
        return found


def candidates(segments: Iterable[CompiledSegment]) -> Candidates:
    """What is looked at of segments that are tried."""
    return tuple((segment.segment_id, segment.holds) for segment in segments)


def _guard(segment: CompiledSegment, moved: AttributeName, spread: Spread) -> Equal | None:
    """Of the texts that a segment cannot hold without, those of the attribute with the most different ones."""
    parts = segment.normal.parts if isinstance(segment.normal, All) else (segment.normal,)
    found = [
        part.atom
        for part in parts
        if isinstance(part, Literal)
        and part.positive
        and isinstance(part.atom, Equal)
        and part.atom.attribute != moved
        and all(reading is Reading.FOLDED for reading, _ in part.atom.keys)
    ]
    return max(found, key=lambda atom: (spread.get(atom.attribute, 0), -len(atom.payloads)), default=None)


def _folded(value: Any) -> str:
    text = read_text(value)
    return "" if text is None else fold(text)
