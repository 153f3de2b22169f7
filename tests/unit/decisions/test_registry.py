"""Acceptance of definitions in log order: races, references, circles, depth."""

from __future__ import annotations

import pytest

from segmentation.expression.syntax import AllOf, Condition, Expression, InSegment, IsSet, Not
from segmentation.model import AttributeName, SegmentId, SegmentState
from segmentation.registry import REFERENCE_DEPTH_MAX, Definition, Refusal, RefusalCode, SegmentRegistry

PLAIN: Expression = Condition(AttributeName("plan"), IsSet())


def refers_to(*segment_ids: str) -> Expression:
    return AllOf((PLAIN, *(Not(InSegment(SegmentId(segment_id))) for segment_id in segment_ids)))


def define(
    registry: SegmentRegistry,
    segment_id: str,
    expression: Expression = PLAIN,
    *,
    state: SegmentState = SegmentState.ACTIVE,
    replaces: int | None = None,
) -> Refusal | None:
    current = registry.version_of(SegmentId(segment_id)) if replaces is None else replaces
    return registry.accept(Definition(SegmentId(segment_id), current + 1, current, state, expression))


def code(refusal: Refusal | None) -> RefusalCode:
    assert refusal is not None
    assert refusal.hint
    return refusal.code


def test_of_two_racing_edits_the_first_in_the_log_wins() -> None:
    registry = SegmentRegistry()
    assert define(registry, "pro") is None
    assert define(registry, "pro", replaces=1) is None
    assert code(define(registry, "pro", replaces=1)) is RefusalCode.LOST_RACE
    assert registry.version_of(SegmentId("pro")) == 2


@pytest.mark.parametrize(("version", "replaces"), [(2, 0), (2, 2), (1, 1), (3, 1)])
def test_a_version_and_what_it_replaces_must_both_follow_on_the_newest(version: int, replaces: int) -> None:
    registry = SegmentRegistry()
    assert define(registry, "pro") is None
    proposed = Definition(SegmentId("pro"), version, replaces, SegmentState.ACTIVE, PLAIN)
    assert code(registry.accept(proposed)) is RefusalCode.LOST_RACE


def test_two_racing_creations_have_one_winner() -> None:
    registry = SegmentRegistry()
    assert define(registry, "pro", replaces=0) is None
    assert code(define(registry, "pro", replaces=0)) is RefusalCode.LOST_RACE


def test_a_deleted_segment_can_be_defined_again_and_its_versions_go_on() -> None:
    registry = SegmentRegistry()
    define(registry, "pro")
    assert define(registry, "pro", state=SegmentState.DELETED) is None
    assert registry.get(SegmentId("pro")) is None
    assert code(define(registry, "pro", replaces=0)) is RefusalCode.LOST_RACE
    assert define(registry, "pro") is None
    assert registry.version_of(SegmentId("pro")) == 3


def test_a_reference_to_an_unknown_segment_is_refused() -> None:
    assert code(define(SegmentRegistry(), "vip", refers_to("pro"))) is RefusalCode.UNKNOWN_SEGMENT


def test_deleting_what_was_never_defined_is_refused() -> None:
    assert code(define(SegmentRegistry(), "pro", state=SegmentState.DELETED)) is RefusalCode.UNKNOWN_SEGMENT


def test_a_referenced_segment_cannot_be_deleted_until_nobody_refers_to_it() -> None:
    registry = SegmentRegistry()
    define(registry, "pro")
    define(registry, "vip", refers_to("pro"))
    refusal = define(registry, "pro", state=SegmentState.DELETED)
    assert code(refusal) is RefusalCode.STILL_REFERENCED
    assert refusal is not None
    assert "vip" in refusal.message
    define(registry, "vip", PLAIN)
    assert define(registry, "pro", state=SegmentState.DELETED) is None


def test_a_deleted_segment_refers_to_nothing_whatever_its_last_expression_names() -> None:
    registry = SegmentRegistry()
    define(registry, "pro")
    define(registry, "vip", refers_to("pro"))
    assert registry.referrers(SegmentId("pro")) == ["vip"]
    assert define(registry, "vip", refers_to("pro"), state=SegmentState.DELETED) is None
    assert registry.referrers(SegmentId("pro")) == []
    assert define(registry, "pro", state=SegmentState.DELETED) is None


def test_a_circle_is_refused_and_named() -> None:
    registry = SegmentRegistry()
    define(registry, "a")
    define(registry, "b", refers_to("a"))
    define(registry, "c", refers_to("b"))
    refusal = define(registry, "a", refers_to("c"))
    assert code(refusal) is RefusalCode.REFERENCE_CYCLE
    assert refusal is not None
    assert "a → c → b → a" in refusal.message
    assert code(define(registry, "a", refers_to("a"))) is RefusalCode.REFERENCE_CYCLE
    assert code(define(registry, "new", refers_to("new"))) is RefusalCode.REFERENCE_CYCLE


@pytest.mark.parametrize("edit_at_the_bottom", [True, False])
def test_references_may_follow_one_another_only_so_deep(edit_at_the_bottom: bool) -> None:
    registry = SegmentRegistry()
    define(registry, "s0")
    for depth in range(1, REFERENCE_DEPTH_MAX + 1):
        assert define(registry, f"s{depth}", refers_to(f"s{depth - 1}")) is None
    if edit_at_the_bottom:
        define(registry, "below")
        refusal = define(registry, "s0", refers_to("below"))
    else:
        refusal = define(registry, "above", refers_to(f"s{REFERENCE_DEPTH_MAX}"))
    assert code(refusal) is RefusalCode.REFERENCES_TOO_DEEP


def test_many_diamonds_are_checked_without_walking_every_path() -> None:
    registry = SegmentRegistry()
    for name in ("a0", "b0"):
        define(registry, name)
    for layer in range(1, REFERENCE_DEPTH_MAX + 1):
        for name in ("a", "b"):
            assert define(registry, f"{name}{layer}", refers_to(f"a{layer - 1}", f"b{layer - 1}")) is None
    assert registry.referrers(SegmentId("a0")) == ["a1", "b1"]
