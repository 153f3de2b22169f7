"""Guards narrow down and never decide: whatever texts a contact has, the flips are those of every segment's truth."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from segmentation.expression.compiler import CompiledSegment
from segmentation.expression.normal import All, Literal
from segmentation.expression.syntax import AllOf, AnyOf, Condition, Equals, Expression, OneOf, TextLiteral
from segmentation.index.catalogue import Catalogue
from segmentation.index.facet import FEW, GUARDED_MAX, MOVED_LITERALS_MAX
from segmentation.index.guards import Guards, Texts
from segmentation.model import AttributeName, InstantMs, SegmentId, SegmentState, Value
from tests.unit.index.builders import PLAN, SCORE, TAGS, plan_is, plan_is_not, score_from, segment, tagged

NOW = InstantMs(1_800_000_000_000)
CITY = AttributeName("city")
SEGMENTS = 90
Contact = dict[AttributeName, Value]


def drawn_expression(random: Random) -> Expression:
    """A cut of the score beside what may and what may not be a guard."""
    text = f"T{random.randrange(6)}"
    city = Condition(CITY, random.choice((Equals(TextLiteral(text)), OneOf((TextLiteral(text), TextLiteral("5"))))))
    others = (tagged(text), plan_is(text), city, plan_is_not(text), AnyOf((tagged(text), city)))
    return AllOf((score_from(random.randrange(40)), *random.sample(others, random.randint(0, 2))))


def drawn_contact(random: Random) -> Contact:
    """Texts in another case than the segments have them, lists, and values that only read as text."""
    drawn: Contact = {SCORE: random.randrange(45)}
    if random.random() < 0.8:
        drawn[TAGS] = [random.choice((f"t{random.randrange(6)}", 5, True)) for _ in range(random.randrange(4))]
    if random.random() < 0.8:
        drawn[PLAN] = random.choice((f"t{random.randrange(6)}", "other", 5))
    if random.random() < 0.8:
        cities: tuple[Value, ...] = (f"T{random.randrange(6)}", 5, 5.0, ["t1", "t2"])
        drawn[CITY] = random.choice(cities)
    return drawn


@pytest.mark.parametrize("wide_over", [-1, 0, 4, FEW, 1_000])
def test_whatever_way_a_move_goes_the_flips_are_those_of_every_segments_own_truth(wide_over: int) -> None:
    random = Random(wide_over)
    segments = {f"s{number}": segment(f"s{number}", drawn_expression(random)) for number in range(SEGMENTS)}
    catalogue = Catalogue.of(segments.values(), wide_over)
    flipped = 0
    for step in range(400):
        if step % 20 == 19:  # what was made for a facet is not kept when the segments behind it change
            key = f"s{random.randrange(SEGMENTS)}"
            segments[key] = segment(key, drawn_expression(random), version=step)
            catalogue = catalogue.define(segments[key])
        before, after = drawn_contact(random), drawn_contact(random)
        members = {one.segment_id for one in segments.values() if one.holds(before, NOW, ())}
        wanted = {one.segment_id for one in segments.values() if one.holds(after, NOW, ())}
        flips = catalogue.flips(before, after, {*before, *after}, NOW, members)
        assert (set(flips.entered), set(flips.left)) == (wanted - members, members - wanted)
        flipped += len(flips.entered) + len(flips.left)
    assert flipped > 400


def test_a_deleted_segment_is_found_by_no_guard() -> None:
    segments = [segment(f"s{number}", AllOf((score_from(5), tagged("vip")))) for number in range(FEW + 2)]
    catalogue = Catalogue.of(segments)
    contact: Contact = {TAGS: ["vip"]}
    flips = catalogue.flips(contact, {**contact, SCORE: 9}, [SCORE], NOW, set())
    assert set(flips.entered) == {one.segment_id for one in segments}
    gone = segment("s0", AllOf((score_from(5), tagged("vip"))), SegmentState.DELETED, version=2)
    flips = catalogue.define(gone).flips(contact, {**contact, SCORE: 9}, [SCORE], NOW, set())
    assert set(flips.entered) == {one.segment_id for one in segments[1:]}


def test_only_segments_with_a_text_of_the_contact_are_looked_at() -> None:
    rare = segment("rare", AllOf((score_from(5), plan_is("pro"), tagged("rare"))))
    common = segment("common", AllOf((score_from(5), plan_is("pro"))))
    literal = next(part for part in _parts(rare) if part.atom in {each.atom for each in _parts(common)})
    guards = Guards.of(SCORE, {literal: (rare, common)}, {TAGS: 100, PLAN: 3})
    number = frozenset([guards.numbers[literal]])

    def found(contact: Contact) -> list[SegmentId]:
        return [segment_id for segment_id, _ in guards.found(number, frozenset(), Texts(contact), set())[0]]

    assert found({PLAN: "PRO", TAGS: ["other"]}) == [SegmentId("common")]
    assert sorted(found({PLAN: "pro", TAGS: ["RARE"]})) == [SegmentId("common"), SegmentId("rare")]
    assert found({TAGS: ["other"]}) == []


def test_what_a_facet_remembers_of_moves_over_many_cuts_is_bounded() -> None:
    cuts = GUARDED_MAX
    catalogue = Catalogue.of(segment(f"s{cut}", AllOf((score_from(cut), tagged("vip")))) for cut in range(cuts))
    (facet,) = catalogue._index._facets[SCORE]
    most = 0
    for low, high in product(range(4), range(cuts // 2, cuts)):
        catalogue.flips({SCORE: low}, {SCORE: high}, [SCORE], NOW, set())
        remembered = sum(len(move.rising) + len(move.sinking) for move in facet.moves.values())
        assert remembered <= MOVED_LITERALS_MAX
        most = max(most, len(facet.moves))
    assert 1 < len(facet.moves) < most


def _parts(one: CompiledSegment) -> list[Literal]:
    assert isinstance(one.normal, All)
    return [part for part in one.normal.parts if isinstance(part, Literal)]
