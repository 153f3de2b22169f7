"""Everything the catalogue answers, on random segments, contacts and instants, against the oracle that walks the tree.

Each way through the engine is forced: trying every touched segment, asking the blocks about every one, and the mixture.
`TIDEGATE_PROPERTY_EXAMPLES` sets how many examples each property tries.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Set

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from segmentation.expression.compiler import CompiledSegment, compile_segment
from segmentation.expression.syntax import Expression
from segmentation.index.catalogue import Catalogue
from segmentation.model import Attributes, InstantMs, SegmentId, SegmentState
from tests.oracle import language
from tests.property.engine.strategies import ATTRIBUTES, NOW, Drawn, catalogues, contacts, expressions, values

EXAMPLES = int(os.environ.get("TIDEGATE_PROPERTY_EXAMPLES", "80"))
ALWAYS_BLOCKS, MIXED, NEVER_BLOCKS = -1, 2, 10**9
WAYS = (ALWAYS_BLOCKS, MIXED, NEVER_BLOCKS)
HORIZON_MS = 8_000
"""As far as dense sampling looks for flips that should have been announced."""

thorough = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def compiled(drawn: Drawn) -> list[CompiledSegment]:
    return [compile_segment(key, 1, drawn.states[key], one) for key, one in drawn.expressions.items()]


def members_of(drawn: Drawn, attributes: Attributes, now: InstantMs, frozen: Set[SegmentId]) -> set[SegmentId]:
    """Who is a member by the oracle: paused segments as frozen, the others by truth, references in order."""
    known: dict[SegmentId, Expression | bool] = {}
    for segment_id, expression in drawn.expressions.items():
        paused = drawn.states[segment_id] is SegmentState.PAUSED
        known[segment_id] = segment_id in frozen if paused else language.holds(expression, attributes, now, known)
    return {segment_id for segment_id, member in known.items() if member}


def boundaries(expressions: Iterable[Expression], attributes: Attributes) -> set[int]:
    return {at for expression in expressions for at in language.boundaries(expression, attributes)}


@thorough
@given(expressions((SegmentId("s0"),), leaves=12), contacts, st.integers(-5_000, 5_000), st.booleans())
def test_compiled_truth_is_the_oracles(
    expression: Expression, attributes: Attributes, shift_ms: int, member: bool
) -> None:
    now = InstantMs(NOW + shift_ms)
    segment = compile_segment(SegmentId("s1"), 1, SegmentState.ACTIVE, expression)
    members = {SegmentId("s0")} if member else set[SegmentId]()
    expected = language.holds(expression, attributes, now, {SegmentId("s0"): member})
    assert segment.holds(attributes, now, members) is expected


@thorough
@given(catalogues(), contacts, st.data())
def test_a_write_flips_what_the_oracle_says_in_every_tier(
    drawn: Drawn, before: Attributes, data: st.DataObject
) -> None:
    changes = data.draw(st.dictionaries(st.sampled_from(ATTRIBUTES), st.none() | values, min_size=1))
    frozen = data.draw(st.sets(st.sampled_from(sorted(drawn.expressions))))
    after = {name: value for name, value in {**before, **changes}.items() if value is not None}
    old = members_of(drawn, before, NOW, frozen)
    new = members_of(drawn, after, NOW, frozen)
    for way in WAYS:
        catalogue = Catalogue.of(compiled(drawn), way)
        flips = catalogue.flips(before, after, list(changes), NOW, old)
        assert (set(flips.entered), set(flips.left)) == (new - old, old - new), way
        assert len(flips.entered) == len(set(flips.entered))
        assert not any(catalogue.flips(after, after, list(changes), NOW, new)), way


@thorough
@given(catalogues(), contacts)
def test_a_new_contact_is_in_the_segments_that_the_oracle_says(drawn: Drawn, attributes: Attributes) -> None:
    active = {key for key, state in drawn.states.items() if state is SegmentState.ACTIVE}
    expected = members_of(drawn, attributes, NOW, set()) & active
    for way in WAYS:
        assert Catalogue.of(compiled(drawn), way).members(attributes, NOW) == expected, way


@thorough
@given(catalogues(), contacts, st.data())
def test_the_next_deadline_is_never_early_and_never_missed(
    drawn: Drawn, attributes: Attributes, data: st.DataObject
) -> None:
    after = InstantMs(NOW + data.draw(st.integers(-6_000, 6_000)))
    active = [drawn.expressions[key] for key, state in drawn.states.items() if state is SegmentState.ACTIVE]
    edges = sorted(at for at in boundaries(active, attributes) if at > after)
    catalogue = Catalogue.of(compiled(drawn))
    assert catalogue.due(attributes, after) == (edges[0] if edges else None)
    for segment in compiled(drawn):
        own = sorted(at for at in language.boundaries(segment.expression, attributes) if at > after)
        assert segment.next_flip(attributes, after) == (own[0] if own else None)


@thorough
@given(catalogues(), contacts, st.data())
def test_time_alone_flips_only_at_deadlines_and_then_what_the_oracle_says(
    drawn: Drawn, attributes: Attributes, data: st.DataObject
) -> None:
    frozen = data.draw(st.sets(st.sampled_from(sorted(drawn.expressions))))
    edges = boundaries(drawn.expressions.values(), attributes)
    dense = {at + by for at in edges for by in (-1, 0, 1)} | set(range(NOW - HORIZON_MS, NOW + HORIZON_MS, 500))
    catalogues_by_way = [Catalogue.of(compiled(drawn), way) for way in WAYS]
    members = members_of(drawn, attributes, InstantMs(min(dense) - 1), frozen)
    due = catalogues_by_way[0].due(attributes, InstantMs(min(dense) - 1))
    for instant in sorted(dense):
        at = InstantMs(instant)
        expected = members_of(drawn, attributes, at, frozen)
        if due is not None and due <= at:
            assert due == at
            for way, catalogue in zip(WAYS, catalogues_by_way, strict=True):
                flips = catalogue.flips_at(attributes, at, members)
                assert (set(flips.entered), set(flips.left)) == (expected - members, members - expected), way
            due = catalogues_by_way[0].due(attributes, at)
        else:
            assert expected == members
        members = expected


@thorough
@given(catalogues(), catalogues(), contacts, contacts, st.data())
def test_defining_one_by_one_gives_the_catalogue_of_all(
    drawn: Drawn, earlier: Drawn, before: Attributes, after: Attributes, data: st.DataObject
) -> None:
    assume(earlier.expressions != drawn.expressions)
    for way in WAYS:
        catalogue = Catalogue.empty(way)
        for segment in compiled(earlier):
            catalogue = catalogue.define(segment)
        for gone in earlier.expressions.keys() - drawn.expressions.keys():
            catalogue = catalogue.define(compile_segment(gone, 2, SegmentState.DELETED, earlier.expressions[gone]))
        segments = [compile_segment(key, 2, drawn.states[key], one) for key, one in drawn.expressions.items()]
        for segment in data.draw(st.permutations(segments)):
            catalogue = catalogue.define(segment)
        whole = Catalogue.of(compiled(drawn), way)
        assert set(catalogue.segments) == set(whole.segments)
        assert catalogue.time_attributes == whole.time_attributes
        assert catalogue.due(after, NOW) == whole.due(after, NOW)
        members = whole.members(before, NOW)
        assert catalogue.members(before, NOW) == members
        one, other = (each.flips(before, after, ATTRIBUTES, NOW, members) for each in (catalogue, whole))
        assert (set(one.entered), set(one.left)) == (set(other.entered), set(other.left))
        for segment_id in (*drawn.expressions, SegmentId("unknown")):
            assert catalogue.dependents([segment_id]) == whole.dependents([segment_id])
