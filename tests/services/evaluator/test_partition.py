"""A partition by itself, over a real store: failing evaluation, sizes, deadlines after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.control_rows import definition_key
from schemas.dead_letter import DeadLetterHeaders
from schemas.partitioner import partition_for
from schemas.topics import Topic
from segmentation.model import ContactId, InstantMs, SegmentId
from services.evaluator import dead_letters, rows
from services.evaluator import partition as partition_module
from services.evaluator.dead_letters import CONTACT_TOO_LARGE, EVALUATION_FAILED, WRONG_PARTITION
from services.evaluator.failures import EvaluationError
from services.evaluator.partition import Partition
from services.evaluator.ports import OutputRecord
from services.evaluator.restored import restore
from services.evaluator.store import RocksStore, StoreMemory
from tests.services.evaluator.inputs import NOW, Record, definition, tick, write


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path / "0", StoreMemory(8 << 20))
    yield store
    store.close()


def opened(store: RocksStore, partitions: int = 1) -> Partition:
    return Partition(0, partitions, "contact-changes", store, restore(store))


def commit(partition: Partition) -> list[dict[str, Any]]:
    """Finish the background work, commit, and give the changes published since the last call."""
    while partition.due.any_due(partition.clock) and partition.wake_due(100):
        pass
    while partition.behind_definitions:
        partition.backfill(100)
    records = commit_as_it_is(partition)
    return [json.loads(record.value) for record in records if record.value is not None]


def commit_as_it_is(partition: Partition) -> list[OutputRecord]:
    """Commit, with background work left to do; what was published since the last commit."""
    records = partition.take_unsent().memberships
    partition.seal()
    partition.committed({Topic.CONTACTS_CHANGELOG: 1, Topic.CONTROL_CHANGELOG: 1}, InstantMs(NOW))
    return records


def refusals(partition: Partition) -> list[str]:
    return [DeadLetterHeaders.read_from(letter.headers).code for letter in partition.take_unsent().dead_letters]


def fail(*_: object) -> None:
    raise ZeroDivisionError("a bug of ours")


def test_a_backfill_that_changes_nobody_is_committed_as_any_other(store: RocksStore) -> None:
    partition = opened(store)
    partition.consume([write(0, plan="free"), definition(1, [{"plan": "pro"}])])
    commit_as_it_is(partition)
    assert not partition.is_ahead
    while partition.behind_definitions:
        partition.backfill(100)
    assert partition.has_outputs
    commit(partition)
    assert not opened(store).behind_definitions


def test_a_version_that_everybody_has_passed_is_not_kept(store: RocksStore) -> None:
    partition = opened(store)
    for version in (1, 2, 3):
        partition.consume([definition(version, [{"plan": "pro"}], version=version)])
        commit(partition)
    keys = [rows.control_key(definition_key(SegmentId("s"), version)) for version in (1, 2, 3)]
    assert [row is not None for row in store.get_many(keys)] == [False, False, True]


def test_a_refusal_alone_waits_for_a_commit_as_changes_do(store: RocksStore) -> None:
    partition = opened(store)
    partition.consume([Record(0, NOW, b"ann", b"no json")])
    assert partition.has_outputs


def test_a_commit_without_contacts_leaves_their_changelogs_mark_where_it_was(store: RocksStore) -> None:
    partition = opened(store)
    partition.consume([write(0, plan="pro")])
    partition.seal()
    partition.committed({Topic.CONTACTS_CHANGELOG: 7, Topic.CONTROL_CHANGELOG: 3}, InstantMs(NOW))
    partition.consume([tick(1, NOW)])
    partition.seal()
    partition.committed({Topic.CONTROL_CHANGELOG: 5}, InstantMs(NOW))
    marks = restore(store).marks
    assert (marks.contacts_changelog, marks.control_changelog) == (7, 5)


def test_a_write_on_which_evaluation_fails_twice_becomes_a_dead_letter(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_module, "decide", fail)
    with pytest.raises(EvaluationError, match="offset 0"):
        opened(store).consume([write(0, plan="pro")])
    again = opened(store)
    again.consume([write(0, plan="pro")])
    (letter,) = again.unsent.dead_letters
    said = DeadLetterHeaders.read_from(letter.headers)
    assert (said.code, said.offset) == (EVALUATION_FAILED, 0)
    assert "ZeroDivisionError" in said.message
    assert letter.key == b"c"


def test_a_transient_failure_is_forgotten_by_the_replay_of_other_offsets(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        failing.setattr(partition_module, "decide", fail)
        with pytest.raises(EvaluationError):
            opened(store).consume([write(0, plan="pro")])
    again = opened(store)
    again.consume([write(1, plan="pro")])
    assert refusals(again) == []


def test_a_definition_on_which_evaluation_fails_is_never_set_aside(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        failing.setattr(partition_module, "compile_definition", fail)
        for _ in range(3):
            with pytest.raises(EvaluationError, match="offset 0"):
                opened(store).consume([definition(0, [{"plan": "pro"}])])
    repaired = opened(store)
    repaired.consume([definition(0, [{"plan": "pro"}]), write(1, plan="pro")])
    assert [change["change"] for change in commit(repaired)] == ["enter"]


def test_a_contact_of_another_partition_is_refused_when_first_seen(store: RocksStore) -> None:
    partition = opened(store, partitions=8)
    partition.consume([write(offset, contact=f"c{offset}", plan="pro") for offset in range(40)])
    assert set(refusals(partition)) == {WRONG_PARTITION}
    assert 0 < partition.tally.dead_lettered < 40


def test_an_erasure_that_arrives_in_another_partition_than_its_contact_is_refused_and_not_taken_for_done(
    store: RocksStore,
) -> None:
    partition = opened(store, partitions=8)
    strangers = [each for number in range(40) if partition_for(each := ContactId(f"c{number}"), 8) != 0]
    partition.consume([Record(offset, NOW, each.encode(), None) for offset, each in enumerate(strangers)])
    assert refusals(partition) == [WRONG_PARTITION] * len(strangers)
    assert partition.tally.dead_lettered == partition.tally.processed == len(strangers)


def test_an_erasure_of_a_contact_that_is_not_there_is_done(store: RocksStore) -> None:
    partition = opened(store)
    partition.consume([Record(0, NOW, b"nobody", None)])
    assert refusals(partition) == []


def test_a_contact_that_grows_beyond_its_row_is_refused_and_kept_as_it_was(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "CONTACT_ROW_BYTES_MAX", 50_000)
    partition = opened(store)
    partition.consume([write(0, a="x" * 30_000), write(1, b="x" * 30_000), write(2, c=1)])
    assert refusals(partition) == [CONTACT_TOO_LARGE]
    commit(partition)
    again = opened(store)
    again.consume([write(3, d=1)])
    contact = again._overlay[ContactId("c")]
    assert contact is not None
    assert sorted(contact.attributes) == ["a", "c", "d"]


def test_a_definition_that_cannot_be_read_is_a_dead_letter_and_the_log_goes_on(store: RocksStore) -> None:
    partition = opened(store)
    partition.consume(
        [definition(0, [{"plan": {"unheard_of": 1}}]), definition(1, [{"plan": "pro"}]), write(2, plan="pro")]
    )
    assert len(partition.unsent.dead_letters) == 1
    assert [change["segment_id"] for change in commit(partition)] == ["s"]


def test_deadlines_survive_a_restart_and_fire_at_their_own_instants(store: RocksStore) -> None:
    first = opened(store)
    first.consume(
        [definition(0, [{"seen": {"within_last": "10s"}}]), write(1, seen=NOW), write(2, "d", seen=NOW + 2_000)]
    )
    commit(first)
    second = opened(store)
    second.consume([tick(3, NOW + 60_000)])
    changes = {change["contact_id"]: (change["change"], change["at"], change["offset"]) for change in commit(second)}
    assert changes == {"c": ("exit", NOW + 10_000, -1), "d": ("exit", NOW + 12_000, -1)}
    third = opened(store)
    third.consume([tick(4, NOW + 120_000)])
    assert not third.due.any_due(third.clock) or third.due.take(third.clock, 10) == []


def test_an_earlier_deadline_is_found_after_the_scan_has_passed_its_place(store: RocksStore) -> None:
    partition = opened(store)
    partition.consume([definition(0, [{"seen": {"within_last": "10s"}}]), write(1, seen=NOW)])
    commit(partition)
    partition.consume([tick(2, NOW + 8_000)])
    commit(partition)
    partition.consume([write(3, "d", at=NOW + 8_000, seen=NOW - 1_500)])
    commit(partition)
    partition.consume([tick(4, NOW + 9_000)])
    assert [(change["contact_id"], change["at"]) for change in commit(partition)] == [("d", NOW + 8_500)]


def test_a_segment_settles_until_what_its_backfill_changed_is_committed(store: RocksStore) -> None:
    """Else who waits for it reads members that are not there yet, as of a segment that has them all."""
    partition = opened(store)
    partition.consume([write(0, plan="pro"), write(1, "d", plan="pro")])
    commit(partition)
    partition.consume([definition(2, [{"plan": "pro"}])])
    while partition.behind_definitions:
        partition.backfill(1)
        assert partition.settling == ["s"]
    assert (partition.settling, partition.settled, partition.counts) == (["s"], 1.0, {})
    commit(partition)
    assert (partition.settling, partition.counts[SegmentId("s")].members) == ([], 2)


def test_how_far_a_backfill_has_come_survives_a_restart(store: RocksStore) -> None:
    partition = opened(store)
    partition.consume([write(offset, contact, plan="pro") for offset, contact in enumerate("abcd")])
    commit(partition)
    partition.consume([definition(4, [{"plan": "pro"}])])
    partition.backfill(3)
    commit_as_it_is(partition)
    again = opened(store)
    assert again.settled == 0.75
    again.backfill(1)
    assert again.settled == 1.0


def test_a_backfill_that_waits_behind_live_writes_is_not_told_as_done_because_the_one_before_it_is(
    store: RocksStore,
) -> None:
    partition = opened(store)
    partition.consume([write(0, "a", plan="pro"), write(1, "b", plan="pro")])
    commit(partition)
    partition.consume([definition(2, [{"plan": "free"}])])
    commit(partition)
    partition.consume([definition(3, [{"plan": "pro"}], version=2)])
    assert (partition.settling, partition.settled) == (["s"], 0.0)


def test_the_clock_never_goes_back_and_survives_a_restart(store: RocksStore) -> None:
    partition = opened(store)
    partition.consume([tick(0, NOW + 5_000), tick(1, NOW)])
    commit(partition)
    assert opened(store).clock == NOW + 5_000
    assert opened(store).next_offset == 2
