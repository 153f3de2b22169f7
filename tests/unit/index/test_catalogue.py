"""The catalogue's promises that random expressions do not reach: sharing, states, circles, size."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest

from segmentation.expression.normal import CONJUNCTIONS_MAX
from segmentation.expression.syntax import (
    AllOf,
    AnyOf,
    BooleanLiteral,
    Condition,
    Direction,
    Equals,
    InSegment,
    Not,
    NumberLiteral,
    OneOf,
    TextLiteral,
    Within,
)
from segmentation.index.catalogue import Catalogue
from segmentation.index.masks import BLOCK_BITS, WIDTH_MIN
from segmentation.model import AttributeName, InstantMs, SegmentId, SegmentState, Value
from tests.unit.index.builders import (
    PLAN,
    SCORE,
    SEEN_AT,
    TAGS,
    plan_is,
    plan_is_not,
    score_from,
    segment,
    tagged,
)

NOW = InstantMs(1_790_000_000_000)
DAY_MS = 86_400_000
Contact = dict[AttributeName, Value]
PRO, BOTH = SegmentId("pro"), SegmentId("both")


def test_partitions_that_take_the_same_step_share_the_successor() -> None:
    first = Catalogue.of([segment("pro", plan_is("pro"))])
    one = first.define(segment("rich", score_from(10)))
    other = first.define(segment("rich", score_from(10)))
    assert one is other
    assert first.define(segment("rich", score_from(11))) is not one
    assert set(first.segments) == {PRO}


def test_a_catalogue_that_another_has_taken_the_place_of_goes_without_the_garbage_collector() -> None:
    catalogue = Catalogue.empty(wide_over=0)
    contact: Contact = {PLAN: "pro", SCORE: 10, TAGS: ["a", "b"], SEEN_AT: NOW}
    gc.collect()
    gc.disable()
    try:
        for version, text in enumerate("abcdefgh", start=1):
            where = AllOf((AnyOf((plan_is(text), tagged(text))), score_from(version), plan_is_not("free")))
            for segment_id in ("pro", f"of_{text}"):
                catalogue = catalogue.define(segment(segment_id, where, version=version))
            seen = Condition(SEEN_AT, Within(Direction.LAST, version * DAY_MS))
            catalogue = catalogue.define(segment("seen", seen, version=version))
            members = catalogue.members(contact, NOW)
            catalogue.flips(contact, {**contact, PLAN: text}, [PLAN], NOW, members)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_partitions_that_recover_the_same_segments_share_one_catalogue() -> None:
    segments = [segment("pro", plan_is("pro")), segment("rich", score_from(10))]
    one = Catalogue.of(segments)
    assert Catalogue.of(reversed(segments)) is one
    assert Catalogue.of(segments[:1]) is not one
    assert Catalogue.of([segments[0], segment("rich", score_from(11))]).members({SCORE: 10}, NOW) == set()


def test_a_defined_segment_leaves_the_earlier_snapshot_as_it_was() -> None:
    first = Catalogue.of([segment("pro", plan_is("pro"))])
    second = first.define(segment("pro", plan_is("free"), version=2))
    assert first.members({PLAN: "pro"}, NOW) == {PRO}
    assert second.members({PLAN: "pro"}, NOW) == set()
    assert second.flips({}, {PLAN: "FREE"}, [PLAN], NOW, set()).entered == {PRO}


def test_a_paused_segment_never_flips_and_others_see_its_members_as_they_are() -> None:
    paused = segment("pro", plan_is("pro"), SegmentState.PAUSED)
    catalogue = Catalogue.of([paused, segment("both", AllOf((InSegment(PRO), score_from(10))))])
    flips = catalogue.flips({}, {PLAN: "pro", SCORE: 10}, [PLAN, SCORE], NOW, set())
    assert not flips.entered
    flips = catalogue.flips({PLAN: "pro"}, {SCORE: 10}, [PLAN, SCORE], NOW, {PRO})
    assert (set(flips.entered), set(flips.left)) == ({BOTH}, set())
    resumed = catalogue.define(segment("pro", plan_is("pro"), version=2))
    assert set(resumed.flips({}, {PLAN: "pro", SCORE: 10}, [PLAN, SCORE], NOW, set()).entered) == {PRO, BOTH}


def test_a_paused_segment_has_no_deadlines() -> None:
    recent = Condition(SEEN_AT, Within(Direction.LAST, DAY_MS))
    catalogue = Catalogue.of([segment("recent", recent)])
    assert catalogue.due({SEEN_AT: NOW}, NOW) == NOW + DAY_MS
    paused = catalogue.define(segment("recent", recent, SegmentState.PAUSED, version=2))
    assert paused.due({SEEN_AT: NOW}, NOW) is None
    assert paused.time_attributes == set()


def test_a_reference_to_a_segment_that_is_gone_is_false_even_for_its_last_members() -> None:
    referring = segment("both", AllOf((InSegment(PRO), score_from(10))))
    catalogue = Catalogue.of([segment("pro", plan_is("pro")), referring])
    gone = catalogue.define(segment("pro", plan_is("pro"), SegmentState.DELETED, version=2))
    assert gone.dependents([PRO]) == (BOTH,)
    assert not gone.flips({}, {SCORE: 10}, [SCORE], NOW, {PRO}).entered


def test_flips_run_down_a_chain_of_references_in_one_pass() -> None:
    names = [f"link{9 - number}" for number in range(9)]
    links = [segment(name, Not(InSegment(SegmentId(before)))) for before, name in pairwise(names)]
    catalogue = Catalogue.of([*links[::-1], segment(names[0], plan_is("pro"))])
    before = catalogue.members({}, NOW)
    assert before == {SegmentId(name) for name in names[1::2]}
    flips = catalogue.flips({}, {PLAN: "pro"}, [PLAN], NOW, before)
    assert set(flips.entered) == {SegmentId(name) for name in names[0::2]}
    assert set(flips.left) == before
    assert catalogue.dependents([SegmentId(names[0])]) == tuple(map(SegmentId, names[1:]))


def test_a_circle_of_references_ends_and_gives_one_answer() -> None:
    one = segment("one", AnyOf((plan_is("pro"), InSegment(SegmentId("two")))))
    two = segment("two", AnyOf((score_from(10), InSegment(SegmentId("one")))))
    forwards = Catalogue.of([one, two])
    backwards = Catalogue.empty().define(two).define(one)
    members = forwards.members({PLAN: "pro"}, NOW)
    assert SegmentId("one") in members
    assert backwards.members({PLAN: "pro"}, NOW) == members
    for catalogue in (forwards, backwards):
        flips = catalogue.flips({}, {SCORE: 10}, [SCORE], NOW, set())
        assert set(flips.entered) == {SegmentId("one"), SegmentId("two")}
    assert forwards.dependents([SegmentId("one")]) == backwards.dependents([SegmentId("one")])


def test_writing_the_same_value_again_flips_nothing() -> None:
    catalogue = Catalogue.of([segment("pro", plan_is("pro")), segment("vip", tagged("vip"))])
    contact: Contact = {PLAN: "pro", TAGS: ["vip", "old"]}
    spelled: Contact = {PLAN: "PRO", TAGS: ["old", "VIP"]}
    members = catalogue.members(contact, NOW)
    assert not any(catalogue.flips(contact, dict(contact), [PLAN, TAGS], NOW, members))
    assert not any(catalogue.flips(contact, spelled, [PLAN, TAGS], NOW, members))


@pytest.mark.parametrize(("before", "after"), [(1, True), (True, 1), ("true", 1), (False, 0)])
def test_a_number_and_a_boolean_are_never_one_value(before: Value, after: Value) -> None:
    equal = Condition(SCORE, Equals(NumberLiteral(1)))
    true = Condition(SCORE, Equals(BooleanLiteral(True)))
    text = Condition(SCORE, OneOf((TextLiteral("1"), TextLiteral("true"))))
    catalogue = Catalogue.of([segment("equal", equal), segment("true", true), segment("text", text)])
    was: Contact = {SCORE: before}
    will: Contact = {SCORE: after}
    members = catalogue.members(was, NOW)
    expected = catalogue.members(will, NOW)
    flips = catalogue.flips(was, will, [SCORE], NOW, members)
    assert (set(flips.entered), set(flips.left)) == (expected - members, members - expected)


def test_a_removed_value_is_missing() -> None:
    catalogue = Catalogue.of([segment("pro", plan_is("pro")), segment("other", plan_is_not("pro"))])
    flips = catalogue.flips({PLAN: "pro"}, {}, [PLAN], NOW, {PRO})
    assert (set(flips.entered), set(flips.left)) == ({SegmentId("other")}, {PRO})


def test_a_segment_of_too_many_conjunctions_is_matched_all_the_same() -> None:
    pairs = tuple(AnyOf((plan_is(f"p{number}"), tagged(f"t{number}"))) for number in range(CONJUNCTIONS_MAX))
    every_plan = AllOf(tuple(AnyOf((pair, score_from(number))) for number, pair in enumerate(pairs)))
    catalogue = Catalogue.of([segment("wide", every_plan)], wide_over=-1)
    flips = catalogue.flips({}, {SCORE: 100}, [SCORE], NOW, set())
    assert set(flips.entered) == {SegmentId("wide")}
    assert catalogue.members({SCORE: 100}, NOW) == {SegmentId("wide")}


def test_more_conjunctions_than_one_block_holds_are_matched_across_blocks() -> None:
    count = BLOCK_BITS + 100
    ids = [SegmentId(f"s{number}") for number in range(count)]
    all_segments = [segment(key, AllOf((score_from(number), plan_is("pro")))) for number, key in enumerate(ids)]
    catalogue = Catalogue.of(all_segments)
    before: Contact = {PLAN: "pro", SCORE: 10}
    members = catalogue.members(before, NOW)
    assert members == set(ids[:11])
    flips = catalogue.flips(before, {**before, SCORE: count}, [SCORE], NOW, members)
    assert set(flips.entered) == set(ids[11:])
    flips = catalogue.flips(before, {SCORE: count}, [PLAN, SCORE], NOW, members)
    assert (set(flips.entered), set(flips.left)) == (set(), members)


def test_a_block_that_outgrows_its_masks_goes_on_with_wider_ones() -> None:
    count = WIDTH_MIN + 40
    ids = [SegmentId(f"s{number}") for number in range(count)]
    catalogue = Catalogue.empty(wide_over=-1)
    before: Contact = {PLAN: "pro", SCORE: 10}
    for number, key in enumerate(ids):
        catalogue = catalogue.define(segment(key, AllOf((score_from(number), plan_is("pro")))))
        if number == WIDTH_MIN - 2:  # masks are made while they are narrow
            assert catalogue.members(before, NOW) == set(ids[:11])
    members = catalogue.members(before, NOW)
    assert members == set(ids[:11])
    flips = catalogue.flips(before, {**before, SCORE: count}, [SCORE], NOW, members)
    assert set(flips.entered) == set(ids[11:])


def test_bits_of_segments_that_are_gone_serve_those_that_come() -> None:
    catalogue = Catalogue.empty(wide_over=-1)
    for round_number in range(40):
        for name, text in (("one", "a"), ("two", "b")):
            changed = AnyOf((plan_is(f"{text}{round_number}"), score_from(round_number)))
            catalogue = catalogue.define(segment(name, changed, version=round_number + 1))
    assert catalogue.members({PLAN: "a39"}, NOW) == {SegmentId("one")}
    assert catalogue.members({PLAN: "a38", SCORE: 38}, NOW) == set()
    assert catalogue.members({SCORE: 39}, NOW) == {SegmentId("one"), SegmentId("two")}
    for name in ("one", "two"):
        catalogue = catalogue.define(segment(name, plan_is("a"), SegmentState.DELETED, version=99))
    assert not catalogue.segments
    assert not any(catalogue.flips({}, {PLAN: "a39", SCORE: 39}, [PLAN, SCORE], NOW, set()))
