"""What is explained is true: the same truth as the oracle's, flips that flip, and an exact until."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given

from segmentation.expression.canonical import canonicalize
from segmentation.expression.explain import ConditionTruth, GroupTruth, TruthTree, explain, until
from segmentation.expression.flips import FlipAction, flips_of
from segmentation.expression.readability import can_read, readings_asked
from segmentation.expression.reads import parts, segments_read
from segmentation.expression.syntax import AllOf, Condition, Expression, InSegment, Not
from segmentation.expression.truth import condition_truth, reading_of, truth_of
from segmentation.model import AttributeName, InstantMs, SegmentId, Value
from tests.oracle import language as oracle
from tests.property.expression import trees


@given(trees.expressions, trees.contacts, trees.instants, trees.members)
def test_the_explained_truth_is_the_oracles(
    expression: Expression, contact: dict[AttributeName, Value], now: InstantMs, members: frozenset[SegmentId]
) -> None:
    explained = explain(expression, contact, now, members)
    assert explained.holds is oracle.holds(expression, contact, now, dict.fromkeys(members, True))
    assert _recomputed(explained.tree) is explained.holds


@given(trees.expressions, trees.contacts, trees.instants, trees.members)
def test_until_is_never_early_and_never_missed(
    expression: Expression, contact: dict[AttributeName, Value], now: InstantMs, members: frozenset[SegmentId]
) -> None:
    segments = dict.fromkeys(members, True)
    holds = oracle.holds(expression, contact, now, segments)
    boundaries = {at for at in oracle.boundaries(expression, contact) if at > now}
    sampled = sorted({max(at + step, now + 1) for at in boundaries for step in (-1, 0, 1)})
    flipped = [at for at in sampled if oracle.holds(expression, contact, InstantMs(at), segments) is not holds]
    assert until(expression, contact, now, members) == (flipped[0] if flipped else None)


@given(trees.expressions, trees.contacts, trees.instants)
def test_until_follows_the_segments_referred_to(
    expression: Expression, contact: dict[AttributeName, Value], now: InstantMs
) -> None:
    if not segments_read(expression):
        definitions = {trees.SEGMENTS[0]: canonicalize(Not(expression))}
        referring = AllOf((InSegment(trees.SEGMENTS[0]),))
        assert until(referring, contact, now, (), definitions) == until(expression, contact, now)


@given(trees.conditions, trees.values | trees.values.map(lambda _: None), trees.instants)
def test_every_offered_value_flips_its_condition(condition: Condition, value: Value | None, now: InstantMs) -> None:
    contact = {} if value is None else {condition.attribute: value}
    holds = condition_truth(condition, contact, now)
    for flip in flips_of(condition, value, now, until(condition, contact, now)):
        if flip.action is FlipAction.SET and flip.value is not None:
            assert condition_truth(condition, {condition.attribute: flip.value}, now) is not holds
        elif flip.action is FlipAction.REMOVE:
            assert condition_truth(condition, {}, now) is not holds
        elif flip.action is FlipAction.WAIT:
            assert flip.at is not None
            assert condition_truth(condition, contact, flip.at) is not holds


@given(trees.expressions, trees.contacts)
def test_unreadable_values_are_those_whose_tests_have_no_truth(
    expression: Expression, contact: dict[AttributeName, Value]
) -> None:
    told = {attribute for attribute, _ in _without_truth(expression, contact)}
    for truth in _conditions(explain(expression, contact, InstantMs(trees.NOW)).tree):
        assert (truth.state == "unreadable") <= (truth.attribute in told)
        assert (truth.state == "missing") is (truth.attribute not in contact)


@given(trees.expressions, trees.contacts)
def test_asked_readings_find_the_same_unreadable_values(
    expression: Expression, contact: dict[AttributeName, Value]
) -> None:
    by_reading = {
        (asked.attribute, asked.reading)
        for asked in readings_asked(expression)
        if asked.attribute in contact and not can_read(asked, contact[asked.attribute])
    }
    assert by_reading == set(_without_truth(expression, contact))


def _without_truth(expression: Expression, contact: dict[AttributeName, Value]) -> Iterator[tuple[AttributeName, str]]:
    """Attribute and reading of each value whose test has no truth, whenever it is asked."""
    for part in parts(expression):
        value = contact.get(part.attribute) if isinstance(part, Condition) else None
        if isinstance(part, Condition) and value is not None and truth_of(part.test, value, InstantMs(0)) is None:
            yield part.attribute, reading_of(part.test)


@given(trees.tests_and_values)
def test_readability_does_not_depend_on_now(pair: tuple[object, Value]) -> None:
    test, value = pair
    early, late = (truth_of(test, value, InstantMs(at)) for at in (0, trees.NOW))  # type: ignore[arg-type]  # any test
    assert (early is None) is (late is None)


def _conditions(tree: TruthTree) -> Iterator[ConditionTruth]:
    if isinstance(tree, GroupTruth):
        for child in tree.children:
            yield from _conditions(child)
    elif isinstance(tree, ConditionTruth):
        yield tree


def _recomputed(tree: TruthTree) -> bool:
    if not isinstance(tree, GroupTruth):
        return tree.holds
    below = [_recomputed(child) for child in tree.children]
    truth = all(below) if tree.kind == "all" else any(below) if tree.kind == "any" else not below[0]
    assert truth is tree.holds
    return truth
