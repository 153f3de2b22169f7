"""What proves that undecided transactions were committed: first the log, then the group, then the disk."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytest

from schemas.topics import Topic
from services.evaluator.evidence import Case, Row, is_committed, telling
from services.evaluator.ledger import Wrote
from services.evaluator.ports import Bounds

CHANGES, CONTACTS, CONTROL = Topic.MEMBERSHIPS, Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG
ENDS = {CHANGES: 12, CONTACTS: 23, CONTROL: 31}
LAST: Row = {CHANGES: Wrote(9, 2), CONTACTS: Wrote(19, 3)}
"""Two changes and three contacts, each behind the marker of the transaction before."""


def case(
    undecided: Mapping[Topic, int],
    *,
    open_rows: Sequence[Row] = (),
    committed: Row | None = None,
    disk: int = 0,
    group: int | None = None,
) -> Case:
    bounds = {topic: Bounds(first, ENDS[topic]) for topic, first in undecided.items()}
    return Case(bounds, ENDS, committed or {}, open_rows, 100, disk, group)


@pytest.mark.parametrize(("holding", "expected"), [({CHANGES}, True), (set(), False)])
def test_a_transaction_whose_control_row_is_undecided_is_told_by_a_topic_that_is_decided(
    holding: Collection[Topic], expected: bool
) -> None:
    found = case({CONTACTS: 20, CONTROL: 30}, open_rows=[LAST], disk=31, group=101)
    assert telling(found) == {CHANGES: Bounds(9, 12)}
    assert is_committed(found, holding) is expected


@pytest.mark.parametrize(("holding", "expected"), [(set(), True), ({CHANGES}, False)])
def test_a_transaction_whose_control_row_is_committed_owns_what_is_undecided_unless_its_own_is_decided(
    holding: Collection[Topic], expected: bool
) -> None:
    found = case({CHANGES: 10}, committed=LAST)
    assert telling(found) == {CHANGES: Bounds(9, 10)}
    assert is_committed(found, holding) is expected


def test_what_is_undecided_from_before_a_committed_transaction_began_holds_its_own_too() -> None:
    found = case({CHANGES: 8}, committed=LAST)
    assert is_committed(found, set())


def test_a_topic_that_no_committed_transaction_wrote_to_holds_what_was_aborted() -> None:
    found = case({CHANGES: 8}, committed={CONTACTS: Wrote(19, 3)})
    assert telling(found) == {}
    assert not is_committed(found, set())


def test_the_last_committed_transaction_tells_of_those_before_which_compaction_may_have_taken() -> None:
    found = case({CHANGES: 10}, committed={CHANGES: Wrote(9, 0), CONTACTS: Wrote(19, 3)})
    assert is_committed(found, set())


def test_an_undecided_transaction_is_not_told_by_what_those_before_it_wrote() -> None:
    found = case({CONTACTS: 20, CONTROL: 30}, open_rows=[{CHANGES: Wrote(9, 0), CONTACTS: Wrote(19, 3)}])
    assert telling(found) == {}


@pytest.mark.parametrize(("group", "expected"), [(None, False), (100, False), (101, True)])
def test_where_no_topic_tells_the_groups_position_does(group: int | None, expected: bool) -> None:
    found = case({CHANGES: 10, CONTACTS: 20, CONTROL: 30}, open_rows=[LAST], group=group)
    assert is_committed(found, set()) is expected


@pytest.mark.parametrize(
    ("changes_from", "disk", "expected"),
    [
        (10, 31, True),
        (10, 30, False),  # the store does not hold the last row
        (9, 31, False),  # three changes: one is of a later transaction, which was aborted
    ],
)
def test_where_nothing_else_tells_the_disk_does_if_it_holds_everything(
    changes_from: int, disk: int, expected: bool
) -> None:
    found = case({CHANGES: changes_from, CONTACTS: 20, CONTROL: 30}, open_rows=[LAST], disk=disk)
    assert is_committed(found, set()) is expected


def test_several_commits_in_a_row_are_proved_together() -> None:
    rows = [{CHANGES: Wrote(8, 1)}, {CHANGES: Wrote(10, 2), CONTACTS: Wrote(19, 3)}]
    found = case({CHANGES: 9, CONTACTS: 20, CONTROL: 29}, open_rows=rows, disk=31)
    assert is_committed(found, set())


def test_of_several_undecided_transactions_the_first_says_from_where_a_decided_topic_tells() -> None:
    rows = [{CHANGES: Wrote(8, 1)}, {CHANGES: Wrote(10, 2)}]
    found = case({CONTROL: 29}, open_rows=rows)
    assert telling(found) == {CHANGES: Bounds(8, 12)}
    assert is_committed(found, {CHANGES})
