"""The reference on small timelines worked out by hand, and its sampling of time against looking at every instant."""

from __future__ import annotations

from random import Random

import pytest

from segmentation.expression.syntax import (
    Condition,
    Direction,
    Equals,
    Expression,
    InSegment,
    MoreThanAgo,
    NumberLiteral,
    TextLiteral,
    Within,
)
from segmentation.model import (
    AttributeName,
    ChangeKind,
    ContactId,
    InstantMs,
    SegmentId,
    SegmentState,
    Value,
)
from tests.oracle.language import boundaries, holds
from tests.oracle.partitions import murmur2
from tests.oracle.reference import (
    DefinitionInput,
    DeleteInput,
    ExpectedErasure,
    Input,
    LogEntry,
    PoisonInput,
    Reference,
    TickInput,
    WriteInput,
)
from tests.simulation.expressions import ATTRIBUTES, TIME_ATTRIBUTES, random_expression, random_value

ANN = ContactId("ann")
PRO, SEEN, BOTH = SegmentId("pro"), SegmentId("seen"), SegmentId("both")
PLAN, SEEN_AT, SCORE = AttributeName("plan"), AttributeName("seen_at"), AttributeName("score")
NOON = 1_790_000_000_000
IS_PRO = Condition(PLAN, Equals(TextLiteral("Pro")))
SEEN_LATELY = Condition(SEEN_AT, Within(Direction.LAST, 10_000))
ENTER, EXIT = ChangeKind.ENTER, ChangeKind.EXIT


def log(*inputs: tuple[int, Input]) -> Reference:
    return Reference().read_all(LogEntry(offset, NOON + after, each) for offset, (after, each) in enumerate(inputs))


def define(segment_id: SegmentId, version: int, expression: Expression, state: str = "active") -> DefinitionInput:
    return DefinitionInput(segment_id, version, SegmentState(state), expression)


def write(**values: Value | None) -> WriteInput:
    return WriteInput(ANN, {AttributeName(name): value for name, value in values.items()})


def changes(reference: Reference) -> list[tuple[str, str, int, int, str]]:
    return [
        (event.segment_id, "tombstone", 0, 0, "")
        if isinstance(event, ExpectedErasure)
        else (event.segment_id, event.kind.value, event.at - NOON, event.offset, event.cause.value)
        for event in reference.events.get(ANN, [])
    ]


def test_a_deadline_fires_at_its_own_instant_however_late_the_tick() -> None:
    found = log((0, define(SEEN, 1, SEEN_LATELY)), (1, write(seen_at=NOON)), (90_000, TickInput()))
    assert changes(found) == [("seen", "enter", 1, 1, "write"), ("seen", "exit", 10_000, -1, "time")]


def test_a_deadline_comes_before_a_write_of_the_same_instant() -> None:
    found = log((0, define(SEEN, 1, SEEN_LATELY)), (1, write(seen_at=NOON)), (10_000, write(seen_at=NOON + 10_000)))
    assert changes(found)[1:] == [("seen", "exit", 10_000, -1, "time"), ("seen", "enter", 10_000, 2, "write")]


def test_a_record_with_an_older_timestamp_is_evaluated_at_the_clock() -> None:
    found = log((0, define(PRO, 1, IS_PRO)), (500, PoisonInput()), (100, write(plan="pro")))
    assert changes(found) == [("pro", "enter", 500, 2, "write")]


def test_a_paused_segment_keeps_its_members_and_catches_up_when_resumed() -> None:
    found = log(
        (0, define(PRO, 1, IS_PRO)),
        (0, define(BOTH, 1, InSegment(PRO))),
        (1, write(plan="pro")),
        (2, define(PRO, 2, IS_PRO, "paused")),
        (3, write(plan="free")),
        (4, define(PRO, 3, IS_PRO)),
    )
    assert changes(found) == [
        ("both", "enter", 1, 2, "write"),
        ("pro", "enter", 1, 2, "write"),
        ("both", "exit", 4, 5, "definition"),
        ("pro", "exit", 4, 5, "definition"),
    ]


def test_a_deleted_segment_exits_its_members_then_leaves_no_trace_and_references_to_it_are_false() -> None:
    found = log(
        (0, define(PRO, 1, IS_PRO)),
        (0, define(BOTH, 1, InSegment(PRO))),
        (1, write(plan="pro")),
        (2, define(PRO, 2, IS_PRO, "deleted")),
    )
    assert changes(found)[2:] == [
        ("both", "exit", 2, 3, "definition"),
        ("pro", "exit", 2, 3, "definition"),
        ("pro", "tombstone", 0, 0, ""),
    ]


def test_an_erased_contact_exits_and_every_key_it_ever_had_becomes_a_tombstone() -> None:
    found = log(
        (0, define(PRO, 1, IS_PRO)),
        (0, define(SEEN, 1, SEEN_LATELY)),
        (1, write(plan="pro", seen_at=NOON)),
        (2, write(plan="free")),
        (3, DeleteInput(ANN)),
        (4, write(plan="pro")),
    )
    assert changes(found)[2:] == [
        ("pro", "exit", 2, 3, "write"),
        ("seen", "exit", 3, 4, "delete"),
        ("pro", "tombstone", 0, 0, ""),
        ("seen", "tombstone", 0, 0, ""),
        ("pro", "enter", 4, 5, "write"),
    ]


def test_a_version_that_is_already_there_changes_nothing() -> None:
    other = Condition(SCORE, Equals(NumberLiteral(1.0)))
    found = log(
        (0, define(PRO, 2, IS_PRO)), (1, write(plan="pro")), (2, define(PRO, 2, other)), (3, define(PRO, 1, other))
    )
    assert changes(found) == [("pro", "enter", 1, 1, "write")]


def test_changes_at_one_version_are_numbered_in_the_order_of_segment_ids() -> None:
    found = log((0, define(SEEN, 1, SEEN_LATELY)), (0, define(PRO, 1, IS_PRO)), (1, write(plan="pro", seen_at=NOON)))
    numbers = [
        (event.segment_id, event.index, event.count)
        for event in found.events[ANN]
        if not isinstance(event, ExpectedErasure)
    ]
    assert numbers == [("pro", 0, 2), ("seen", 1, 2)]


def test_a_definition_at_the_instant_of_a_deadline_comes_after_it() -> None:
    longer = Condition(SEEN_AT, Within(Direction.LAST, 20_000))
    found = log((0, define(SEEN, 1, SEEN_LATELY)), (1, write(seen_at=NOON)), (10_000, define(SEEN, 2, longer)))
    assert changes(found)[1:] == [("seen", "exit", 10_000, -1, "time"), ("seen", "enter", 10_000, 2, "definition")]


@pytest.mark.parametrize("seed", range(60))
def test_truth_changes_at_boundaries_only(seed: int) -> None:
    rng = Random(seed)
    expression = random_expression(rng, NOON, [])
    attributes = {name: random_value(rng, name, NOON) for name in ATTRIBUTES if rng.random() < 0.8}
    found = boundaries(expression, attributes)
    instants = sorted(
        {NOON + step for step in range(-20_000, 20_000, 250)} | {edge + d for edge in found for d in (-1, 0, 1)}
    )
    truths = [holds(expression, attributes, InstantMs(at), {}) for at in instants]
    flips = {after for after, was, now in zip(instants[1:], truths, truths[1:], strict=False) if was != now}
    assert flips <= found


def test_more_than_ago_begins_at_the_exact_millisecond() -> None:
    expression = Condition(TIME_ATTRIBUTES[0], MoreThanAgo(5_000))
    attributes: dict[AttributeName, Value] = {TIME_ATTRIBUTES[0]: NOON}
    truths = [holds(expression, attributes, InstantMs(NOON + after), {}) for after in (4_999, 5_000)]
    assert truths == [False, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("abc", 479470107)],
)
def test_murmur2_gives_the_values_that_kafkas_own_tests_give(text: str, expected: int) -> None:
    assert murmur2(text.encode()) == expected % 2**32
