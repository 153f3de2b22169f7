"""A contact passes thousands of unseen definitions at a cost that grows with them, and no faster."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from segmentation.decide import CatchUp, decide
from segmentation.model import ContactId
from tests.unit.decisions.timeline import Partition

ANN = ContactId("ann")
FEW = 150
GROWTH_MAX = 2.5
"""Twice as many take so many times the calls at most; where each looked at all others they would take four times."""
DAY = "2026-01-01"

Definition = Callable[[int], dict[str, Any]]
DEFINITIONS: dict[str, Definition] = {
    "of values": lambda number: {"id": f"s{number}", "where": f"score > {number}"},
    "of time": lambda number: {"id": f"s{number}", "where": f"seen_at within last {number + 1} days"},
    "that refer to one": lambda number: {"id": f"s{number}", "where": "in segment first"},
    "that refer to the last": lambda number: {"id": f"s{number}", "where": f"not in segment s{number - 1}"},
    "that replace one another": lambda number: {"id": "s", "version": number + 1, "where": f"score > {number}"},
    "that delete what was there": lambda number: {
        "id": f"old{number}", "version": 2, "where": "plan is pro", "state": "deleted"
    },
}  # fmt: skip


def calls(define: Definition, unseen: int) -> int:
    """How many functions are called for a contact that passes so many definitions."""
    partition = Partition(lazy=True)
    for old in [{"id": "first", "where": "plan is pro"}] + [
        {"id": f"old{number}", "where": "plan is pro"} for number in range(unseen)
    ]:
        partition.step({"at": DAY, "define": old})
    partition.step({"at": DAY, "write": {"id": ANN, "attributes": {"plan": "pro", "seen_at": DAY, "score": 40}}})
    partition.settle()
    for number in range(unseen):
        partition.step({"at": f"2026-01-02T{number // 60:02}:{number % 60:02}", "define": define(number)})
    return calls_of(partition)


def calls_of(partition: Partition) -> int:
    """How many functions are called to bring the contact to the present."""
    contact, command = partition.contacts[ANN], CatchUp(ANN, partition.clock)
    found = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        decision = decide(contact, command, partition.definitions)
    finally:
        sys.setprofile(None)
    assert decision.contact_changed
    return found


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_twice_the_definitions_take_about_twice_the_calls(kind: str) -> None:
    few, many = (calls(DEFINITIONS[kind], unseen) for unseen in (FEW, 2 * FEW))
    assert many <= GROWTH_MAX * few, (few, many)


def calls_past_a_deadline(others: int) -> int:
    """The same for a contact with a deadline before one unseen definition, among so many segments that read no time."""
    partition = Partition(lazy=True)
    for number in range(others):
        partition.step({"at": DAY, "define": {"id": f"s{number}", "where": f"score > {number}"}})
    partition.step({"at": DAY, "define": {"id": "new", "where": "seen_at within last 1 day"}})
    partition.step({"at": DAY, "define": {"id": "old", "where": "plan is pro and not in segment new"}})
    partition.step({"at": DAY, "write": {"id": ANN, "attributes": {"plan": "pro", "seen_at": DAY}}})
    partition.settle()
    partition.step({"at": "2026-01-03", "define": {"id": "last", "where": "plan is pro"}})
    found = [calls_of(partition) for _ in range(2)]  # that time flips none of the others is found out once
    partition.settle()
    told = [(change.segment_id, change.kind, change.cause) for change in partition.changes]
    assert told[1:] == [("new", "exit", "time"), ("old", "enter", "time"), ("last", "enter", "definition")]
    return found[-1]


def test_a_deadline_between_definitions_looks_at_no_segment_that_time_cannot_flip() -> None:
    assert calls_past_a_deadline(FEW) == calls_past_a_deadline(0)
