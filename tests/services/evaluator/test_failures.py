"""Work that no record asked for fails: the contact is held, the log goes on, and nothing of it is forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.codec import encode_membership_change
from schemas.dead_letter import DeadLetterHeaders
from schemas.topics import Topic
from segmentation.decide import Command, Decision, decide
from segmentation.definitions import DefinitionLog
from segmentation.model import Change, ContactId, ContactState, InstantMs
from services.evaluator import failures as failures_module
from services.evaluator import partition as partition_module
from services.evaluator import rows
from services.evaluator.dead_letters import EVALUATION_FAILED
from services.evaluator.failures import EvaluationError
from services.evaluator.measures import HELD, PartitionMeasures
from services.evaluator.partition import Partition
from services.evaluator.restored import restore
from services.evaluator.service import working
from services.evaluator.store import RocksStore, StoreMemory
from tests.services.evaluator.inputs import NOW, Record, definition, tick, write

RECENT = [{"seen": {"within_last": "10s"}}]
PROS = [{"plan": "pro"}]
Break = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path / "0", StoreMemory(8 << 20))
    yield store
    store.close()


@pytest.fixture
def break_contacts(monkeypatch: pytest.MonkeyPatch) -> Break:
    """From now on the evaluation of some contacts fails, and of nobody when it is called with none."""

    def breaks(*broken: str) -> None:
        def failing(contact: ContactState | None, command: Command, definitions: DefinitionLog) -> Decision:
            if command.contact_id in broken:
                raise ZeroDivisionError("a bug of ours")
            return decide(contact, command, definitions)

        monkeypatch.setattr(partition_module, "decide", failing)

    return breaks


def opened(store: RocksStore) -> Partition:
    return Partition(0, 1, "contact-changes", store, restore(store))


def ended_at(store: RocksStore, batch: list[Record], *offsets: int) -> Partition:
    """A partition that has taken a batch, after processes that ended at these offsets of it."""
    for offset in offsets:
        with pytest.raises(EvaluationError, match=f"offset {offset}"):
            opened(store).consume(batch)
    partition = opened(store)
    partition.consume(batch)
    return partition


def work(partition: Partition, *records: Record) -> list[tuple[str, str, int]]:
    """Take records, do what waits, commit: contact, change and instant of what was published."""
    if records:
        partition.consume(list(records))
    while partition.due.any_due(partition.clock) and partition.wake_due(100):
        pass
    while partition.behind_definitions:
        partition.backfill(100)
    sent = partition.take_unsent()
    partition.seal()
    partition.committed({Topic.CONTACTS_CHANGELOG: 1, Topic.CONTROL_CHANGELOG: 1}, InstantMs(NOW))
    changes: list[dict[str, Any]] = [json.loads(each.value) for each in sent.memberships if each.value is not None]
    return [(change["contact_id"], change["change"], change["at"]) for change in changes]


def codes(partition: Partition) -> list[str]:
    return [DeadLetterHeaders.read_from(letter.headers).code for letter in partition.unsent.dead_letters]


def fail_once(store: RocksStore) -> None:
    """What the first failure leaves behind: the process has ended with it."""
    with pytest.raises(EvaluationError):
        work(opened(store), tick(99, NOW + 60_000))


def with_deadlines(store: RocksStore) -> None:
    seen = [write(1, "ann", seen=NOW), write(2, "bob", seen=NOW), write(3, "cho", seen=NOW - 2_000)]
    work(opened(store), definition(0, RECENT), *seen)


def held_in_a_backfill(store: RocksStore, break_contacts: Break) -> Partition:
    """A partition begun after bob failed in the backfill of offset 3, which it has yet to take again."""
    work(opened(store), *(write(number, name, plan="pro") for number, name in enumerate(("ann", "bob", "cho"))))
    break_contacts("bob")
    with pytest.raises(EvaluationError):
        work(opened(store), definition(3, PROS))
    return opened(store)


def test_a_deadline_that_fails_twice_holds_its_contact_and_the_others_fire(
    store: RocksStore, break_contacts: Break
) -> None:
    with_deadlines(store)
    break_contacts("bob")
    fail_once(store)
    partition = opened(store)
    assert work(partition, tick(4, NOW + 60_000)) == [("cho", "exit", NOW + 8_000), ("ann", "exit", NOW + 10_000)]
    assert list(partition.failures.held) == ["bob"]
    assert "ZeroDivisionError" in partition.failures.held[ContactId("bob")].reason
    assert not partition.due.any_due(partition.clock)


def test_a_held_deadline_fires_at_its_own_instant_once_a_restart_brings_the_repair(
    store: RocksStore, break_contacts: Break
) -> None:
    with_deadlines(store)
    break_contacts("bob")
    fail_once(store)
    work(opened(store), tick(4, NOW + 60_000))
    again = opened(store)
    assert work(again) == []
    assert list(again.failures.held) == ["bob"]
    break_contacts()
    repaired = opened(store)
    assert work(repaired, tick(5, NOW + 90_000)) == [("bob", "exit", NOW + 10_000)]
    assert not repaired.failures.held


def test_a_definition_has_held_contacts_tried_again(store: RocksStore, break_contacts: Break) -> None:
    with_deadlines(store)
    break_contacts("bob")
    fail_once(store)
    partition = opened(store)
    work(partition, tick(4, NOW + 60_000))
    break_contacts()
    partition.consume([definition(5, RECENT, version=2, at=NOW + 60_000)])
    assert work(partition) == [("bob", "exit", NOW + 10_000)]
    assert not partition.failures.held
    assert not partition.definitions.pending


def test_a_backfill_passes_a_held_contact_by_and_keeps_what_it_still_needs(
    store: RocksStore, break_contacts: Break
) -> None:
    partition = held_in_a_backfill(store, break_contacts)
    assert work(partition, definition(3, PROS)) == [("ann", "enter", NOW), ("cho", "enter", NOW)]
    assert partition.definitions.pending
    assert not partition.behind_definitions
    partition.consume([definition(4, [{"plan": "free"}], version=2, at=NOW + 1_000)])
    assert work(partition) == [("ann", "exit", NOW + 1_000), ("cho", "exit", NOW + 1_000)]
    break_contacts()
    assert work(opened(store)) == [("bob", "enter", NOW), ("bob", "exit", NOW + 1_000)]
    assert not opened(store).definitions.pending


def test_a_backfill_that_waits_for_a_held_contact_alone_is_as_good_as_done_and_a_new_one_begins_at_nothing(
    store: RocksStore, break_contacts: Break
) -> None:
    partition = held_in_a_backfill(store, break_contacts)
    work(partition, definition(3, PROS))
    assert (partition.settling, partition.settled, partition.behind_definitions) == (["s"], 1.0, False)
    partition.consume([definition(4, PROS, version=2)])
    for reached in (1, 2):
        partition.backfill(1)
        assert partition.settled == reached / 3
    partition.consume([definition(5, PROS, version=3)])
    partition.backfill(1)
    assert partition.settled == 1 / 3


def test_one_fault_that_hits_many_records_of_a_transaction_ends_the_process_once(
    store: RocksStore, break_contacts: Break
) -> None:
    batch = [write(number, name, plan="pro") for number, name in enumerate(("ann", "bob", "cho", "dee"))]
    break_contacts("ann", "cho", "dee")
    partition = ended_at(store, batch, 0)
    assert [letter.key for letter in partition.unsent.dead_letters] == [b"ann", b"cho", b"dee"]
    work(partition)
    assert store.scan(rows.FAILED_RECORDS_START, rows.FAILED_RECORDS_END, 10) == []
    partition.consume([write(4, "ann", plan="free")])
    assert codes(partition) == [EVALUATION_FAILED]


def test_faults_at_several_places_of_a_transaction_end_the_process_once_each(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(contact: ContactState | None, command: Command, definitions: DefinitionLog) -> Decision:
        if command.contact_id == "ann":
            raise ZeroDivisionError("one bug of ours")
        if command.contact_id == "cho":
            raise LookupError("another")
        return decide(contact, command, definitions)

    monkeypatch.setattr(partition_module, "decide", failing)
    batch = [write(number, name, plan="pro") for number, name in enumerate(("ann", "bob", "cho"))]
    partition = ended_at(store, batch, 0, 2)
    assert [letter.key for letter in partition.unsent.dead_letters] == [b"ann", b"cho"]


def test_a_record_that_failed_is_evaluated_again_and_taken_if_that_goes_well(
    store: RocksStore, break_contacts: Break
) -> None:
    batch = [write(0, "ann", plan="pro"), write(1, "bob", plan="pro")]
    break_contacts("ann")
    with pytest.raises(EvaluationError):
        opened(store).consume(batch)
    break_contacts()
    partition = opened(store)
    partition.consume(batch)
    assert codes(partition) == []
    work(partition)
    assert store.get_many([rows.contact_key(ContactId("ann"))]) != [None]
    assert store.scan(rows.FAILED_RECORDS_START, rows.FAILED_RECORDS_END, 10) == []


def test_a_record_that_failed_is_known_until_what_is_committed_is_behind_it(
    store: RocksStore, break_contacts: Break
) -> None:
    batch = [write(0, "ann", plan="pro"), write(1, "bob", plan="pro")]
    break_contacts("bob")
    with pytest.raises(EvaluationError, match="offset 1"):
        opened(store).consume(batch)
    work(opened(store), batch[0])
    partition = opened(store)
    partition.consume(batch[1:])
    assert codes(partition) == [EVALUATION_FAILED]
    work(partition)
    assert store.scan(rows.FAILED_RECORDS_START, rows.FAILED_RECORDS_END, 10) == []
    assert partition.failures.passed(partition.next_offset) == {}


def test_another_place_of_the_code_is_another_fault(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(contact: ContactState | None, command: Command, definitions: DefinitionLog) -> Decision:
        if command.contact_id == "ann":
            raise ZeroDivisionError("a bug of ours")
        if command.contact_id == "bob":
            raise ZeroDivisionError("a bug of ours")
        return decide(contact, command, definitions)

    monkeypatch.setattr(partition_module, "decide", failing)
    batch = [write(0, "ann", plan="pro"), write(1, "bob", plan="pro")]
    partition = ended_at(store, batch, 0, 1)
    assert codes(partition) == [EVALUATION_FAILED] * 2


def test_a_new_definition_has_a_held_deadline_tried_before_the_backfill_comes_to_it(
    store: RocksStore, break_contacts: Break
) -> None:
    with_deadlines(store)
    break_contacts("bob")
    fail_once(store)
    partition = opened(store)
    work(partition, tick(4, NOW + 60_000))
    assert partition.failures.held.keys() == {"bob"}
    break_contacts()
    partition.consume([definition(5, PROS, "pros")])
    partition.wake_due(100)
    assert [json.loads(each.value or b"")["contact_id"] for each in partition.unsent.memberships] == ["bob"]
    assert partition.behind_definitions


def test_nothing_of_a_decision_stays_when_its_outputs_cannot_be_written(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(opened(store), definition(0, PROS), definition(1, [{"plan": "pro"}], "t"))

    def failing(change: Change, partition: int) -> object:
        if change.segment_id == "t":
            raise ZeroDivisionError("a bug of ours")
        return encode_membership_change(change, partition)

    monkeypatch.setattr(partition_module, "encode_membership_change", failing)
    with pytest.raises(EvaluationError):
        opened(store).consume([write(2, "ann", plan="pro")])
    partition = opened(store)
    partition.consume([write(2, "ann", plan="pro")])
    assert codes(partition) == [EVALUATION_FAILED]
    assert (partition.unsent.memberships, partition.changed_contacts) == ([], 0)


def test_a_definition_that_cannot_be_placed_ends_the_process_each_time(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_definition: object) -> object:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(partition_module, "compile_definition", failing)
    for _ in range(3):
        with pytest.raises(EvaluationError, match="offset 0: a definition"):
            opened(store).consume([definition(0, PROS)])


def test_a_write_of_a_held_contact_is_a_dead_letter_at_once_and_its_repair_when_it_can_be_evaluated(
    store: RocksStore, break_contacts: Break
) -> None:
    with_deadlines(store)
    break_contacts("bob")
    fail_once(store)
    partition = opened(store)
    work(partition, tick(4, NOW + 60_000))
    partition.consume([write(5, "bob", at=NOW + 61_000, plan="pro")])
    assert codes(partition) == [EVALUATION_FAILED]
    work(partition)
    break_contacts()
    found = work(partition, write(6, "bob", at=NOW + 62_000, seen=NOW + 62_000))
    assert found == [("bob", "exit", NOW + 10_000), ("bob", "enter", NOW + 62_000)]
    assert not partition.failures.held


def test_a_held_contact_is_erased_with_its_exits_when_it_is_deleted(store: RocksStore, break_contacts: Break) -> None:
    with_deadlines(store)
    break_contacts("bob")
    fail_once(store)
    partition = opened(store)
    work(partition, tick(4, NOW + 60_000))
    assert work(partition, Record(5, NOW + 61_000, b"bob", None)) == [("bob", "exit", NOW + 61_000)]
    assert codes(partition) == []
    assert not partition.failures.held
    assert work(opened(store), tick(6, NOW + 90_000)) == []


def test_the_same_failure_of_many_contacts_ends_the_process_once(store: RocksStore, break_contacts: Break) -> None:
    with_deadlines(store)
    break_contacts("ann", "bob", "cho")
    fail_once(store)
    partition = opened(store)
    assert work(partition, tick(4, NOW + 60_000)) == []
    assert sorted(partition.failures.held) == ["ann", "bob", "cho"]


def test_more_held_contacts_than_may_be_end_the_process(
    store: RocksStore, break_contacts: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures_module, "HELD_CONTACTS_MAX", 2)
    with_deadlines(store)
    break_contacts("ann", "bob", "cho")
    fail_once(store)
    with pytest.raises(EvaluationError, match="2 contacts are held already"):
        work(opened(store), tick(4, NOW + 60_000))


def test_another_failure_than_the_known_one_ends_the_process_too(
    store: RocksStore, break_contacts: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_deadlines(store)
    break_contacts("bob")
    fail_once(store)

    def other(_contact: ContactState | None, command: Command, _definitions: DefinitionLog) -> Decision:
        raise KeyError(command.contact_id)

    monkeypatch.setattr(partition_module, "decide", other)
    fail_once(store)


def test_held_contacts_are_counted_for_alerts_and_told_to_operators(store: RocksStore, break_contacts: Break) -> None:
    with_deadlines(store)
    break_contacts("ann", "bob")
    fail_once(store)
    partition = opened(store)
    work(partition, tick(4, NOW + 60_000))
    PartitionMeasures(partition).refresh()
    assert HELD.labels("0")._value.get() == 2
    told = working([0, 1], {0: 2})
    assert "2 in partition 0" in told
    assert "held" in told
    assert "held" not in working([0, 1], {})
