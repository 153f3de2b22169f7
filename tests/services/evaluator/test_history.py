"""Histories kept for people: what erasing a contact and deleting a segment leave of them, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import orjson
import pytest

from segmentation.model import ContactId, SegmentId
from services.evaluator import history
from services.evaluator.partition import Partition
from services.evaluator.ports import Store
from services.evaluator.recovery import Recovery, recover
from services.evaluator.restored import restore
from services.evaluator.store import RocksStore, StoreMemory
from tests.services.evaluator.changelogs import AllDecided
from tests.services.evaluator.inputs import NOW, Record, definition, write
from tests.services.evaluator.test_recovery import Written

SEGMENTS = [SegmentId(f"s{number}") for number in range(6)]
CONTACTS = [ContactId(each) for each in ("ann", "ann-2", 'quoted "ann"', "back\\slash", "bob", "zoë")]
ERASED = ["ann", 'quoted "ann"', "back\\slash", "zoë"]


class Counted:
    """A store that takes note of which turn of the loop each segment's history was scanned in."""

    def __init__(self, store: RocksStore) -> None:
        self._store = store
        self.scanned: list[tuple[bytes, int]] = []
        self.turn = 0

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """As the store does."""
        if start.startswith(b"h"):
            self.scanned.append((start, self.turn))
        return self._store.scan(start, end, limit)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def turns(self) -> None:
        """Count the turns of the loop, as a heartbeat would take its own."""
        while True:
            self.turn += 1
            await asyncio.sleep(0)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[RocksStore, RocksStore]]:
    memory = StoreMemory(8 << 20)
    pair = RocksStore(tmp_path / "a", memory), RocksStore(tmp_path / "b", memory)
    yield pair
    for store in pair:
        store.close()


def filled(store: Store) -> tuple[Partition, Written]:
    """Every contact was in every segment."""
    partition, written = Partition(0, 1, "contact-changes", store, restore(store)), Written()
    written.commit(partition, *(definition(place, [{"plan": "pro"}], each) for place, each in enumerate(SEGMENTS)))
    written.commit(partition, *(write(10 + place, each, plan="pro") for place, each in enumerate(CONTACTS)))
    return partition, written


def deletes(contacts: Sequence[str]) -> list[Record]:
    return [Record(20 + place, NOW, each.encode(), None) for place, each in enumerate(contacts)]


def named(store: Store) -> set[str]:
    """Whom the histories name: the segments', and the keys of the contacts' own."""
    lines = [each.change.contact_id for segment_id in SEGMENTS for each in history.kept_of_segment(store, segment_id)]
    return {*lines, *(key[1:].decode() for key, _ in store.scan(b"g", b"h", 100))}


def test_a_commit_that_erases_many_contacts_reads_the_history_of_each_segment_once(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    store = Counted(stores[0])
    partition, written = filled(cast("Store", store))
    assert named(stores[0]) == set(CONTACTS)
    store.scanned = []
    written.commit(partition, *deletes(ERASED))
    assert sorted(start for start, _ in store.scanned) == [b"h%s|" % each.encode() for each in SEGMENTS]
    assert named(stores[0]) == {"ann-2", "bob"}


async def test_a_recovery_that_erases_reads_one_history_between_two_turns_of_the_loop(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, away = stores
    partition, written = filled(kept)
    away.write(dict(kept.scan(b"\0", b"\xff", 10_000)))
    written.commit(partition, *deletes(ERASED))
    store = Counted(away)
    turns = asyncio.create_task(store.turns())
    await recover([Recovery(0, cast("Store", store), AllDecided())], written)
    turns.cancel()
    at = [turn for _, turn in store.scanned]
    assert len(at) >= len(SEGMENTS)
    assert len(set(at)) == len(at)
    assert named(away) == named(kept) == {"ann-2", "bob"}


def delete_segments(written: Written, partition: Partition, segment_ids: Sequence[SegmentId], first: int) -> None:
    written.commit(
        partition,
        *(
            definition(first + place, [{"plan": "pro"}], each, version=2, state="deleted")
            for place, each in enumerate(segment_ids)
        ),
    )


def segments_of_histories(store: Store) -> set[str]:
    return {key[1:].split(b"|")[0].decode() for key, _ in store.scan(b"h", b"i", 10_000)}


def test_a_deleted_segment_takes_its_history_and_its_count_along(stores: tuple[RocksStore, RocksStore]) -> None:
    store = stores[0]
    partition, written = filled(store)
    gone, kept = SEGMENTS[:5], SEGMENTS[5:]
    delete_segments(written, partition, gone, 30)
    for offset in range(50, 54):
        written.commit(partition, write(offset, "somebody", country="pt"))
    assert segments_of_histories(store) == set(kept) == set(partition.counts)
    assert {key[1:].decode() for key, _ in store.scan(b"n", b"o", 100)} == set(kept)
    own = history.kept_of_contact(store, CONTACTS[0])
    assert {each.change.segment_id for each in own} == set(SEGMENTS), "a contact's own history tells of the deletion"


def test_a_commit_reads_few_histories_of_deleted_segments(stores: tuple[RocksStore, RocksStore]) -> None:
    store = Counted(stores[0])
    partition, written = filled(cast("Store", store))
    delete_segments(written, partition, SEGMENTS, 30)
    written.commit(partition, write(50, "somebody", country="pt"))
    store.scanned = []
    written.commit(partition, write(51, "somebody", country="br"))
    assert 0 < len(store.scanned) <= history.FORGOTTEN_AT_ONCE


def test_what_a_crash_left_of_a_deleted_segment_goes_with_the_next_commit(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    store = stores[0]
    partition, written = filled(store)
    left = dict(store.scan(b"h", b"i", 10_000)) | dict(store.scan(b"n", b"o", 100))
    delete_segments(written, partition, SEGMENTS, 30)
    for offset in range(50, 54):
        written.commit(partition, write(offset, "somebody", country="pt"))
    assert not segments_of_histories(store)
    store.write(left)
    again = Partition(0, 1, "contact-changes", store, restore(store))
    for offset in range(60, 63):
        written.commit(again, write(offset, "somebody", country="nl"))
    assert not segments_of_histories(store)


def test_a_segment_that_is_defined_again_begins_its_history_anew(stores: tuple[RocksStore, RocksStore]) -> None:
    store = stores[0]
    partition, written = filled(store)
    delete_segments(written, partition, SEGMENTS, 30)
    for offset in range(50, 54):
        written.commit(partition, write(offset, "somebody", country="pt"))
    written.commit(partition, definition(60, [{"plan": "pro"}], SEGMENTS[0], version=3))
    written.commit(partition, write(61, "somebody", country="nl"))
    kept = history.kept_of_segment(store, SEGMENTS[0])
    assert {each.change.contact_id for each in kept} == set(CONTACTS)
    assert all(each.is_first and each.change.segment_version == 3 for each in kept)


def test_who_enters_a_segment_that_was_deleted_and_defined_again_since_the_last_commit_is_new_to_it(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    partition, written = filled(stores[0])
    written.commit(partition, *(write(20 + place, each, plan="free") for place, each in enumerate(CONTACTS)))
    partition.consume([definition(30, [{"plan": "pro"}], SEGMENTS[0], version=2, state="deleted")])
    partition.backfill(100)
    partition.consume([definition(31, [{"plan": "pro"}], SEGMENTS[0], version=3)])
    written.commit(partition, write(32, "ann", plan="pro"), write(33, "ann", plan="free"), write(34, "ann", plan="pro"))
    latest = history.kept_of_contact(stores[0], ContactId("ann"))[-3 * len(SEGMENTS) :]
    assert [each.is_first for each in latest if each.change.segment_id == SEGMENTS[0]] == [True, False, False]
    assert not any(each.is_first for each in latest if each.change.segment_id != SEGMENTS[0])


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "one by one"])
def test_of_a_contact_that_was_erased_and_came_back_only_the_present_life_is_kept(
    stores: tuple[RocksStore, RocksStore], together: bool
) -> None:
    store = stores[0]
    partition, written = filled(store)
    records = [*deletes(["ann"]), write(40, "ann", plan="pro")]
    for some in [records] if together else [[each] for each in records]:
        written.commit(partition, *some)
    own = history.kept_of_contact(store, ContactId("ann"))
    assert [each.change.version.offset for each in own] == [40] * len(SEGMENTS)


async def test_a_recovery_that_finds_only_the_later_life_of_a_contact_keeps_nothing_of_the_one_before(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, away = stores
    partition, written = filled(kept)
    away.write(dict(kept.scan(b"\0", b"\xff", 10_000)))
    written.commit(partition, *deletes(["ann"]), write(40, "ann", plan="pro"))
    await recover([Recovery(0, away, AllDecided())], written)
    assert away.get_many([b"cann"]) != [None]
    assert "ann" in named(kept)
    assert "ann" not in named(away)


def test_a_contact_does_not_name_the_deleted_segments_of_its_past_for_ever(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    """Each of its changes writes that list, which would grow with every segment that it was ever in."""
    store = stores[0]
    partition, written = filled(store)
    delete_segments(written, partition, SEGMENTS[1:], 30)
    for offset in range(50, 54):
        written.commit(partition, write(offset, "ann", plan="free" if offset % 2 == 0 else "pro"))
    (row,) = store.get_many([history.contact_history_key(ContactId("ann"))])
    assert row is not None
    assert row.split(b"\n")[0] == orjson.dumps([SEGMENTS[0]])
    written.commit(partition, *deletes(["ann"]))
    assert "ann" not in named(store)
