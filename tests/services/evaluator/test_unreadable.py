"""Unreadable values are counted as exactly as members, whatever is written, committed, restarted or rebuilt."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from schemas.codec import decode_contact
from schemas.topics import Topic
from segmentation.expression.readability import AskedReading, can_read, readings_asked
from segmentation.model import AttributeName, ContactId, InstantMs, SegmentId, SegmentState, Value
from services.evaluator import rows
from services.evaluator.partition import Partition
from services.evaluator.recovery import Recovery, recover
from services.evaluator.restored import restore, scan_all
from services.evaluator.store import RocksStore
from services.evaluator.unreadable import SAMPLES_MAX, UnreadableCount, Watched
from tests.services.evaluator.changelogs import AllDecided, RecordedChangelogs
from tests.services.evaluator.inputs import NOW, Record, definition, write

MRR = AttributeName("mrr")
VALUES: list[Any] = ["120", "lots", 5, 1.5, True, "TRUE", "2026-01-01", "v1.2", "", [], ["a", 1], 1e12, 10**15, None]
WHERES: list[Any] = [
    [{"mrr": {"gt": 99}}],
    [{"mrr": 5}],
    [{"mrr": {"in": [5, True]}}, {"plan": "pro"}],
    [{"seen": {"within_last": "7d"}}],
    [{"seen": {"before": "2026-01-01"}}, {"version": {"version_gte": "2.1"}}],
    [{"paid": True}],
    [{"any": [{"mrr": {"lt": 3}}, {"mrr": 7}, {"paid": False}]}],
]


def opened(store: RocksStore) -> Partition:
    return Partition(0, 1, "contact-changes", store, restore(store))


def commit(partition: Partition, changelogs: RecordedChangelogs | None = None) -> None:
    partition.take_unsent()
    contacts, controls = partition.seal()
    changelogs = changelogs or RecordedChangelogs()
    ends = changelogs.append({Topic.CONTACTS_CHANGELOG: contacts, Topic.CONTROL_CHANGELOG: controls})
    partition.committed(ends, InstantMs(NOW))


def settle(partition: Partition) -> None:
    while partition.behind_definitions:
        partition.backfill(3)
    while partition.unreadable.is_behind:
        partition.count_unreadable(3)


def counted_anew(partition: Partition, store: RocksStore) -> dict[tuple[str, AskedReading], int]:
    """Every contact looked at, by the readings that an expression asks."""
    found: dict[tuple[str, AskedReading], int] = {}
    segments = partition.definitions.catalogue.segments.values()
    for segment in [segment for segment in segments if segment.state is SegmentState.ACTIVE]:
        for asked in readings_asked(segment.expression):
            for _, row in scan_all(store, rows.CONTACTS_START, rows.CONTACTS_END):
                value = decode_contact(row).attributes.get(asked.attribute)
                if value is not None and not can_read(asked, value):
                    found[segment.segment_id, asked] = found.get((segment.segment_id, asked), 0) + 1
    return found


def told(partition: Partition) -> dict[tuple[str, str, str], int]:
    return {
        (segment_id, each.attribute, each.reading): each.contacts
        for segment_id, counts in partition.unreadable.report().items()
        for each in counts
    }


def expected(partition: Partition, store: RocksStore) -> dict[tuple[str, str, str], int]:
    """Where one reading is asked with lists and without, the greater count is that of the union."""
    found: dict[tuple[str, str, str], int] = {}
    for (segment_id, asked), contacts in counted_anew(partition, store).items():
        key = (segment_id, asked.attribute, asked.reading)
        found[key] = max(found.get(key, 0), contacts)
    return found


def random_record(dice: random.Random, offset: int, versions: dict[str, int]) -> Record:
    contact = f"u{dice.randrange(25):02}"
    roll = dice.random()
    if roll < 0.05:
        segment_id = f"s{dice.randrange(4)}"
        versions[segment_id] = versions.get(segment_id, 0) + 1
        state = dice.choice(["active", "active", "paused", "deleted"])
        return definition(offset, dice.choice(WHERES), segment_id, versions[segment_id], state)
    if roll < 0.1:
        return Record(offset, NOW + offset, contact.encode(), None)
    names = dice.sample(["mrr", "seen", "paid", "version", "plan", "other"], dice.randrange(1, 4))
    return write(offset, contact, NOW + offset, **{name: dice.choice(VALUES) for name in names})


@pytest.mark.parametrize("seed", range(12))
async def test_counts_are_those_of_looking_at_every_contact(seed: int, open_store: Callable[[str], RocksStore]) -> None:
    dice = random.Random(seed)
    changelogs = RecordedChangelogs()
    store = open_store("0")
    partition = opened(store)
    versions: dict[str, int] = {}
    for offset in range(300):
        partition.consume([random_record(dice, offset, versions)])
        if dice.random() < 0.2:
            partition.backfill(4)
        if dice.random() < 0.3:
            commit(partition, changelogs)
            partition.count_unreadable(4)
        if dice.random() < 0.02:
            commit(partition, changelogs)
            partition = opened(store)
        if dice.random() < 0.03:
            commit(partition, changelogs)
            settle(partition)
            commit(partition, changelogs)
            assert told(partition) == expected(partition, store), f"seed {seed} offset {offset}"
    commit(partition, changelogs)
    settle(partition)
    commit(partition, changelogs)
    final = told(partition)
    assert final == expected(partition, store)
    rebuilt_store = open_store("rebuilt")
    restored = await recover([Recovery(0, rebuilt_store, AllDecided())], changelogs)
    rebuilt = Partition(0, 1, "contact-changes", rebuilt_store, restored[0])
    settle(rebuilt)
    assert told(rebuilt) == final


async def test_a_store_that_is_behind_brings_its_counts_along(open_store: Callable[[str], RocksStore]) -> None:
    changelogs = RecordedChangelogs()
    store = open_store("0")
    partition = opened(store)
    partition.consume([definition(0, [{"mrr": {"gt": 1}}]), write(1, "a", mrr="lots"), write(2, "b", mrr="few")])
    settle(partition)
    commit(partition, changelogs)
    settle(partition)
    partition.consume([write(3, "a", mrr=5)])
    commit(partition, changelogs)
    assert told(partition) == {("s", "mrr", "number"): 1}
    # Another owner's commit, which this store has not seen.
    partition.consume([write(4, "b", mrr=5), write(5, "c", mrr="none"), write(6, "d", mrr=[1])])
    partition.take_unsent()
    contacts, controls = partition.seal()
    changelogs.append({Topic.CONTACTS_CHANGELOG: contacts, Topic.CONTROL_CHANGELOG: controls})
    restored = await recover([Recovery(0, store, AllDecided())], changelogs)
    again = Partition(0, 1, "contact-changes", store, restored[0])
    assert not again.unreadable.is_behind
    assert told(again) == {("s", "mrr", "number"): 2}


def test_a_count_says_that_it_is_settling_until_every_contact_was_looked_at(
    open_store: Callable[[str], RocksStore],
) -> None:
    partition = opened(open_store("0"))
    partition.consume([write(offset, f"u{offset}", mrr="lots") for offset in range(6)])
    commit(partition)
    partition.consume([definition(6, [{"mrr": {"gt": 1}}])])
    commit(partition)
    assert partition.unreadable.counts() == [UnreadableCount(MRR, "number", 0, None, settling=True)]
    partition.count_unreadable(4)
    (half,) = partition.unreadable.counts()
    assert (half.contacts, half.settling) == (4, True)
    settle(partition)
    (whole,) = partition.unreadable.counts()
    assert (whole.contacts, whole.sample, whole.settling) == (6, "lots", False)


def test_a_reading_asked_with_lists_and_without_is_told_once(open_store: Callable[[str], RocksStore]) -> None:
    partition = opened(open_store("0"))
    partition.consume([definition(0, [{"mrr": 5}], "equal"), definition(1, [{"mrr": {"gt": 1}}], "more")])
    partition.consume([write(2, "a", mrr="lots"), write(3, "b", mrr=[5])])
    settle(partition)
    commit(partition)
    settle(partition)
    assert [count.contacts for count in partition.unreadable.counts()] == [2]
    assert told(partition) == {("equal", "mrr", "number"): 1, ("more", "mrr", "number"): 2}


def test_complete_counts_survive_a_restart_without_looking_again(open_store: Callable[[str], RocksStore]) -> None:
    store = open_store("0")
    partition = opened(store)
    partition.consume([definition(0, [{"mrr": {"gt": 1}}]), write(1, "a", mrr="lots")])
    settle(partition)
    commit(partition)
    settle(partition)
    commit(partition)
    again = opened(store)
    assert not again.unreadable.is_behind
    assert told(again) == {("s", "mrr", "number"): 1}


def test_an_erased_contact_leaves_no_sample(open_store: Callable[[str], RocksStore]) -> None:
    store = open_store("0")
    partition = opened(store)
    partition.consume(
        [definition(0, [{"mrr": {"gt": 1}}]), write(1, "ann", mrr="a secret"), write(2, "bob", mrr="lots")]
    )
    settle(partition)
    commit(partition)
    settle(partition)
    commit(partition)
    partition.consume([Record(3, NOW, b"ann", None)])
    commit(partition)
    assert told(partition) == {("s", "mrr", "number"): 1}
    assert not [row for row in store.scan(b"\0", b"\xff", 1_000) if b"a secret" in row[1]]


def test_a_sample_is_looked_for_again_when_every_sampled_contact_is_repaired(
    open_store: Callable[[str], RocksStore],
) -> None:
    partition = opened(open_store("0"))
    many = SAMPLES_MAX + 3
    partition.consume([definition(0, [{"mrr": {"gt": 1}}])])
    partition.consume([write(1 + place, f"u{place:02}", mrr="lots") for place in range(many)])
    settle(partition)
    commit(partition)
    settle(partition)
    partition.consume([write(100 + place, f"u{place:02}", mrr=1) for place in range(3, many)])
    commit(partition)
    settle(partition)
    (count,) = partition.unreadable.report()[SegmentId("s")]
    assert (count.contacts, count.sample) == (3, "lots")


def test_a_count_that_is_begun_anew_is_not_taken_for_complete_by_a_restart(
    open_store: Callable[[str], RocksStore],
) -> None:
    store = open_store("a")
    partition = opened(store)
    partition.consume([definition(0, [{"mrr": {"gt": 99}}])])
    partition.consume([write(1 + each, f"u{each:02}", mrr="lots") for each in range(SAMPLES_MAX + 2)])
    commit(partition)
    settle(partition)
    commit(partition)
    partition.consume([write(20 + each, f"u{each:02}", mrr=1) for each in range(2, SAMPLES_MAX + 2)])
    commit(partition)
    again = opened(store)
    assert again.unreadable.is_behind
    settle(again)
    assert told(again) == expected(again, store)


def test_a_reading_that_is_no_longer_asked_before_it_was_counted_is_not_counted(
    open_store: Callable[[str], RocksStore],
) -> None:
    partition = opened(open_store("a"))
    partition.consume([definition(0, [{"mrr": {"gt": 99}}]), write(1, mrr="lots")])
    commit(partition)
    assert partition.unreadable.is_behind
    partition.consume([definition(2, [{"mrr": {"gt": 99}}], version=2, state="deleted")])
    commit(partition)
    assert not partition.unreadable.is_behind


def test_long_values_are_shortened_in_samples(open_store: Callable[[str], RocksStore]) -> None:
    partition = opened(open_store("0"))
    partition.consume([definition(0, [{"mrr": {"gt": 1}}]), write(1, "a", mrr=["x" * 500] * 50)])
    commit(partition)
    settle(partition)
    (count,) = partition.unreadable.counts()
    assert count.sample == ["x" * 100] * 5


READINGS = ["number", "boolean", "version", "instant", "boolean or number", "number or text"]


@pytest.mark.parametrize("reading", READINGS)
def test_the_quick_readers_agree_with_the_core(reading: str) -> None:
    values: list[Value] = [value for value in VALUES if value is not None] + [
        "1e3",
        "1.2.3",
        "false",
        -5,
        253402300800000,
    ]
    for lists in (True, False):
        asked = AskedReading(MRR, reading, lists)
        watched = Watched(asked)
        for value in values:
            assert watched.reads(value) == can_read(asked, value), value
        assert watched.change(ContactId("u"), None, "anything") is False  # not reached by the counting yet
