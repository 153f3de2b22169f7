"""A contact that an input leaves as it was need not be written again, whichever way the decision took."""

from __future__ import annotations

import pytest

from segmentation.decide import CatchUp, Decision, Write, decide
from segmentation.model import AttributeName, ContactId, Offset, Value
from tests.unit.decisions.timeline import Partition, instant

ANN = ContactId("ann")
PLAN, SCORE = AttributeName("plan"), AttributeName("score")


@pytest.fixture
def partition() -> Partition:
    """One contact in one segment, which leaves another by itself in January, and has seen all definitions but one."""
    partition = Partition(lazy=True)
    for step in (
        {"define": {"id": "pros", "where": "plan is pro"}},
        {"define": {"id": "recent", "where": "seen_at within last 30 days"}},
        {"write": {"id": ANN, "attributes": {"plan": "pro", "seen_at": "2026-01-01"}}},
        {"define": {"id": "scored", "where": "score > 5"}},
    ):
        partition.step({"at": "2026-01-01", **step})
    return partition


def decided(partition: Partition, **attributes: Value) -> Decision:
    changes = {AttributeName(name): value for name, value in attributes.items()}
    command = Write(ANN, changes, partition.clock, Offset(9)) if changes else CatchUp(ANN, partition.clock)
    return decide(partition.contacts[ANN], command, partition.definitions)


def test_a_definition_that_does_not_concern_a_contact_is_not_recorded_with_it(partition: Partition) -> None:
    assert decided(partition) == Decision((), partition.contacts[ANN], contact_changed=False)


def test_nor_is_a_write_of_what_it_has_behind_such_a_definition(partition: Partition) -> None:
    assert decided(partition, plan="pro") == Decision((), partition.contacts[ANN], contact_changed=False)


def test_a_write_that_changes_something_is_recorded_with_the_definition_before_it(partition: Partition) -> None:
    decision = decided(partition, score=5)
    assert (decision.events, decision.contact_changed, decision.changed) == ((), True, [SCORE])
    assert decision.contact is not None
    assert decision.contact.position.seq == partition.definitions.seq == partition.contacts[ANN].position.seq + 1


def test_a_definition_that_gives_a_contact_another_deadline_is_recorded_with_it(partition: Partition) -> None:
    old = {"id": "old", "where": "seen_at more than 14 days ago"}
    partition.step({"at": "2026-01-01", "define": {**old, "state": "paused"}})
    assert not decided(partition).contact_changed
    partition.step({"at": "2026-01-09", "define": {**old, "version": 2}})
    decision = decided(partition)
    assert (decision.events, decision.contact_changed) == ((), True)
    assert decision.contact is not None
    assert decision.contact.due == instant("2026-01-15")
