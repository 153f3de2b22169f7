"""One facet of one attribute in a catalogue: its atoms, the segments behind each, what a move between places touches.

Rule: immutable; a segment that comes or goes gives another facet, which shares what it can. Moves are remembered.
A rising literal can only let a contact into a segment, a falling one only out of it. So a move has segments to try for
entry and segments to try for exit; their truth decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from segmentation.expression.atoms import Atom, Reading
from segmentation.expression.compiler import Candidate, CompiledSegment
from segmentation.expression.normal import Literal
from segmentation.index.match import MatchTable
from segmentation.index.places import FacetKey, FacetKind, PresenceTable, Step, Table
from segmentation.index.scale import ScaleTable
from segmentation.model import SegmentId

MOVES_MAX = 2_048
"""Moves that a facet remembers."""

Segments = tuple[CompiledSegment, ...]
Candidates = tuple[Candidate, ...]
"""Segments to try."""
Turned = tuple[frozenset[Atom], frozenset[Atom]]
"""The atoms that rise, and those that fall."""


class Posting(NamedTuple):
    """The segments with an atom as it is, and those with its negation; *loose* are those that no block holds."""

    positive: Segments
    negative: Segments
    loose_positive: Segments
    loose_negative: Segments


class Move(NamedTuple):
    """What going from one place to another touches.

    Shape: `up` may be entered and `down` left; if `wide`, they name the loose alone, for the blocks find the others.
    Segments that refer to others are in `referring` and nowhere else.
    """

    up: Candidates
    down: Candidates
    referring: frozenset[SegmentId]
    wide: bool


class Occurrence(NamedTuple):
    """A literal of a segment."""

    segment: CompiledSegment
    literal: Literal
    loose: bool


class Facet:
    """The atoms of one facet, arranged by value, with the segments that they occur in."""

    __slots__ = ("_postings", "_table", "_turned", "_wide_over", "key", "moves", "place", "step")

    def __init__(self, key: FacetKey, table: Table, postings: Mapping[Atom, Posting], wide_over: int) -> None:
        self.key = key
        self.place = table.place
        self.step = table.step
        self._table = table
        self._postings = postings
        self._wide_over = wide_over
        self.moves: dict[Step, Move] = {}
        self._turned: dict[Turned, Move] = {}

    @classmethod
    def empty(cls, key: FacetKey, wide_over: int) -> Facet:
        """No atoms. A move that touches more than `wide_over` segments of blocks is wide."""
        return cls(key, _empty_table(key.kind), {}, wide_over)

    @property
    def is_empty(self) -> bool:
        """Whether no segment needs it."""
        return not self._postings

    @property
    def cuts(self) -> tuple[int, ...]:
        """The cuts of a scale, ascending; none on other facets."""
        return self._table.cuts if isinstance(self._table, ScaleTable) else ()

    def changed(self, gone: Iterable[Occurrence], come: Iterable[Occurrence]) -> Facet:
        """The facet when some occurrences are gone and others have come.

        Cost: a copy of the tables' top levels, and of the postings of the atoms that are named.
        """
        postings = dict(self._postings)
        for occurrence in gone:
            postings[occurrence.literal.atom] = _without(postings[occurrence.literal.atom], occurrence)
        by_atom: dict[Atom, list[Occurrence]] = {}
        for occurrence in come:
            by_atom.setdefault(occurrence.literal.atom, []).append(occurrence)
        for atom, occurrences in by_atom.items():
            postings[atom] = _with(postings.get(atom, Posting((), (), (), ())), occurrences)
        table = self._table
        new = [atom for atom in by_atom if atom not in self._postings]
        if new:
            table = table.with_atoms(new)
        unused = {one.literal.atom for one in gone if not any(postings[one.literal.atom])}
        if unused:
            table = table.without_atoms(unused)
            postings = {atom: posting for atom, posting in postings.items() if atom not in unused}
        return Facet(self.key, table, postings, self._wide_over)

    def move(self, step: Step) -> Move:
        """What going from place to place touches; remembered in `moves`."""
        rising, falling = self._table.flipped(*step)
        by_sets = isinstance(step[0], frozenset)
        move = self._turning((frozenset(rising), frozenset(falling))) if by_sets else self._touched(rising, falling)
        if len(self.moves) >= MOVES_MAX:
            self.moves.clear()
        self.moves[step] = move
        return move

    def _turning(self, turned: Turned) -> Move:
        """`_touched`, remembered: lists are at more places than can be, but few elements come and go at a time."""
        move = self._turned.get(turned)
        if move is None:
            if len(self._turned) >= MOVES_MAX:
                self._turned.clear()
            move = self._turned[turned] = self._touched(*turned)
        return move

    def _touched(self, rising: Iterable[Atom], falling: Iterable[Atom]) -> Move:
        rises = [self._postings[atom] for atom in rising]
        falls = [self._postings[atom] for atom in falling]
        up = _distinct([posting.loose_positive for posting in rises] + [one.loose_negative for one in falls])
        down = _distinct([posting.loose_negative for posting in rises] + [one.loose_positive for one in falls])
        referring = _distinct([tuple(one for one in (*up, *down) if one.references)])
        if referring:
            up = tuple(one for one in up if not one.references)
            down = tuple(one for one in down if not one.references)
        wide = sum(len(one.positive) + len(one.negative) for one in (*rises, *falls)) > self._wide_over
        if not wide:
            up = _distinct([up, *(one.positive for one in rises), *(one.negative for one in falls)])
            down = _distinct([down, *(one.negative for one in rises), *(one.positive for one in falls)])
        return Move(_candidates(up), _candidates(down), frozenset(one.segment_id for one in referring), wide)


def _candidates(segments: Segments) -> Candidates:
    return tuple([segment.candidate for segment in segments])


def _empty_table(kind: FacetKind) -> Table:
    if kind is FacetKind.MATCHES:
        return MatchTable({}, (), ())
    if kind is FacetKind.PRESENCE:
        return PresenceTable(None)
    return ScaleTable(Reading(kind.value), (), {}, {})


def _with(posting: Posting, come: Iterable[Occurrence]) -> Posting:
    lists: tuple[list[CompiledSegment], ...] = ([], [], [], [])
    for segment, literal, loose in come:
        lists[2 * loose + (not literal.positive)].append(segment)
    return Posting(
        *((*segments, *added) if added else segments for segments, added in zip(posting, lists, strict=True))
    )


def _without(posting: Posting, gone: Occurrence) -> Posting:
    at = 2 * gone.loose + (not gone.literal.positive)
    left = tuple(segment for segment in posting[at] if segment is not gone.segment)
    return Posting(*(left if place == at else segments for place, segments in enumerate(posting)))


def _distinct(lists: list[Segments]) -> Segments:
    filled = [segments for segments in lists if segments]
    if len(filled) > 1:
        return tuple({id(segment): segment for segments in filled for segment in segments}.values())
    return filled[0] if filled else ()
