"""What a recovery derives from contact rows is what the commits derived that wrote them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from schemas.control_rows import CLOCK_KEY
from schemas.topics import Topic
from segmentation.model import InstantMs, SegmentId
from services.evaluator import census, rows
from services.evaluator import contradictions as contradictions_module
from services.evaluator import definitions as definitions_module
from services.evaluator import recovery as recovery_module
from services.evaluator.partition import Partition
from services.evaluator.ports import Bounds, Drained, FencedError, LogError, TopicPart
from services.evaluator.quarantine import is_outdated
from services.evaluator.recovery import InputStart, Recovery, check_input, recover
from services.evaluator.restored import restore
from services.evaluator.store import RocksStore, StoreMemory
from services.runtime.errors import StartRefusedError
from tests.services.evaluator.changelogs import AllDecided
from tests.services.evaluator.inputs import NOW, Record, definition, write

DERIVED = (
    (rows.CONTACTS_START, rows.CONTACTS_END),
    (rows.DUE_START, rows.DUE_END),
    (rows.LISTINGS_START, rows.LISTINGS_END),
)
DAY_MS = 86_400_000
RECENT = [{"seen_at": {"within_last": "50d"}}]


class Written:
    """The changelogs of one partition as its commits wrote them, read in short batches."""

    def __init__(self) -> None:
        self.records: dict[Topic, list[Record]] = {Topic.CONTACTS_CHANGELOG: [], Topic.CONTROL_CHANGELOG: []}
        self.behind = dict.fromkeys(self.records, 0)

    def commit(self, partition: Partition, *inputs: Any) -> None:
        """Take inputs through to a commit."""
        partition.consume(inputs)
        while partition.behind_definitions:
            partition.backfill(100)
        partition.take_unsent()
        for topic, outputs in zip(self.records, partition.seal(), strict=True):
            for each in outputs:
                self.records[topic].append(Record(self.behind[topic], NOW, each.key, each.value))
                self.behind[topic] += 1
        partition.committed(self.behind, InstantMs(NOW))

    def copy(self) -> Written:
        """The same as it stands, to which nothing is added any more."""
        copied = Written()
        copied.records = {topic: list(log) for topic, log in self.records.items()}
        copied.behind = dict(self.behind)
        return copied

    def lose(self, contact_id: bytes) -> None:
        """Have compaction take every record of a contact, its tombstone at last."""
        log = self.records[Topic.CONTACTS_CHANGELOG]
        self.records[Topic.CONTACTS_CHANGELOG] = [record for record in log if record.key != contact_id]

    async def bounds(self, topic: Topic, _partition: int) -> Bounds:
        return Bounds(0, self.behind[topic])

    async def ends(self, wanted: Collection[TopicPart]) -> dict[TopicPart, Bounds]:
        ends = {at: self.behind.get(at[0], 0) for at in wanted}
        return {at: Bounds(end, end) for at, end in ends.items()}

    async def drain(self, starts: Mapping[TopicPart, Bounds], *, undecided: bool = False) -> AsyncIterator[Drained]:
        for (topic, partition), bounds in starts.items():
            found = [record for record in self.records[topic] if bounds.first <= record.offset < bounds.end]
            for start in range(0, len(found), 3):
                yield Drained(topic, partition, found[start : start + 3])


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[RocksStore, RocksStore]]:
    memory = StoreMemory(8 << 20)
    pair = RocksStore(tmp_path / "a", memory), RocksStore(tmp_path / "b", memory)
    yield pair
    for store in pair:
        store.close()


async def test_a_wiped_store_is_rebuilt_row_for_row_from_what_commits_wrote(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, wiped = stores
    partition, written = Partition(0, 1, "contact-changes", kept, restore(kept)), Written()
    written.commit(partition, definition(0, [{"plan": "pro"}]), definition(1, RECENT, "recent"))
    inputs = [
        write(number, f"c{number % 7}", plan=("pro", "free", ',"members":{')[number % 3], seen_at=NOW - number * DAY_MS)
        for number in range(2, 40)
    ]
    for start in range(0, len(inputs), 5):
        written.commit(partition, *inputs[start : start + 5])
    written.commit(partition, Record(40, NOW, b"c3", None))
    recovery = Recovery(0, wiped, AllDecided())
    restored = (await recover([recovery], written))[0]
    for first, last in DERIVED:
        assert wiped.scan(first, last, 1_000) == kept.scan(first, last, 1_000)
    assert kept.scan(*DERIVED[1], 1_000) != []
    assert restored.marks.contacts == partition.contacts == 6
    assert {each: count.members for each, count in restored.counts.items() if count.members} == {
        each: count.members for each, count in partition.counts.items() if count.members
    }


def two_contacts_then_one(kept: RocksStore) -> tuple[Written, Written]:
    """The changelogs when there were two contacts, and after the commit that erased one of them."""
    partition, written = Partition(0, 1, "contact-changes", kept, restore(kept)), Written()
    written.commit(partition, definition(0, RECENT, "recent"))
    written.commit(partition, write(1, "ann", seen_at=NOW), write(2, "bob", seen_at=NOW))
    before = written.copy()
    written.commit(partition, Record(3, NOW, b"bob", None))
    return before, written


async def test_a_store_that_missed_an_erasure_is_emptied_and_filled_as_if_it_had_been_wiped(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, away = stores
    before, written = two_contacts_then_one(kept)
    await recover([Recovery(0, away, AllDecided())], before)
    assert away.get_many([b"cbob"]) != [None]
    written.lose(b"bob")
    restored = (await recover([Recovery(0, away, AllDecided())], written))[0]
    for first, last in DERIVED:
        assert away.scan(first, last, 1_000) == kept.scan(first, last, 1_000)
    assert (restored.marks.contacts, restored.counts[SegmentId("recent")].members) == (1, 1)


async def test_a_store_of_which_the_emptying_was_cut_short_is_deleted_by_whoever_opens_it_next(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, _ = stores
    two_contacts_then_one(kept)
    assert not is_outdated(kept, InstantMs(NOW))
    emptying = census.empty(kept, restore(kept).marks)
    emptying.send(None)  # to its first pause
    emptying.close()
    assert is_outdated(kept, InstantMs(NOW))


async def test_a_store_that_was_emptied_and_filled_again_is_kept_by_whoever_opens_it_next(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, away = stores
    before, written = two_contacts_then_one(kept)
    await recover([Recovery(0, away, AllDecided())], before)
    away.write({rows.MARKS_KEY: recovery_module.read_marks(away)._replace(written=InstantMs(NOW)).encode()})
    written.lose(b"bob")
    await recover([Recovery(0, away, AllDecided())], written)
    assert away.get_many([b"cbob"]) == [None]
    assert not is_outdated(away, InstantMs(NOW))


async def test_a_changelog_that_lost_a_contact_is_refused_and_says_how_many_there_were(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, wiped = stores
    _, written = two_contacts_then_one(kept)
    written.lose(b"ann")
    with pytest.raises(StartRefusedError, match="left 1 contacts, but contacts-changelog holds 0"):
        await recover([Recovery(0, wiped, AllDecided())], written)


class Moved(Written):
    """Changelogs of which one topic is within other bounds now."""

    def __init__(self, written: Written, moved: Topic, within: Bounds) -> None:
        super().__init__()
        self.records, self.behind = written.records, written.behind
        self._moved, self._within = moved, within

    async def bounds(self, topic: Topic, partition: int) -> Bounds:
        return self._within if topic is self._moved else await super().bounds(topic, partition)


@pytest.mark.parametrize("topic", [Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG])
@pytest.mark.parametrize(
    ("within", "why"),
    [
        (Bounds(0, 1), "through offset 2, but committed records end at 1: the topic was truncated or created anew"),
        (Bounds(3, 9), "before offset 3 were deleted, but the local state stands at 2: contacts would be missing"),
    ],
)
async def test_a_changelog_that_does_not_reach_to_the_store_is_refused_and_the_store_is_kept(
    stores: tuple[RocksStore, RocksStore], topic: Topic, within: Bounds, why: str
) -> None:
    kept, _ = stores
    partition, written = Partition(0, 1, "contact-changes", kept, restore(kept)), Written()
    written.commit(partition, write(0, "ann"), write(1, "bob"))
    written.commit(partition, write(2, "ann", plan="pro"), write(3, "bob", plan="pro"))
    marks = recovery_module.read_marks(kept)
    kept.write({rows.MARKS_KEY: marks._replace(contacts_changelog=2, control_changelog=2).encode()})
    rows_before = kept.scan(b"\0", b"\xff", 1_000)
    with pytest.raises(StartRefusedError, match=why) as refusal:
        await recover([Recovery(0, kept, AllDecided())], Moved(written, topic, within))
    assert f"(topic {topic}, partition 0)" in str(refusal.value)
    assert kept.scan(b"\0", b"\xff", 1_000) == rows_before


@pytest.mark.parametrize(
    ("position", "committed", "within", "why"),
    [
        (5, 6, Bounds(0, 9), "has evaluated contact-changes through offset 6, but the changelogs only through 5"),
        (5, 5, Bounds(0, 4), "evaluation stands at offset 5, but the log ends at 4"),
        (5, 5, Bounds(6, 9), "evaluation stands at offset 5, but retention has removed everything before 6"),
    ],
)
def test_an_input_log_that_does_not_hold_the_position_is_refused(
    position: int, committed: int, within: Bounds, why: str
) -> None:
    with pytest.raises(StartRefusedError, match=why):
        check_input(InputStart(0, position, committed), within)


@pytest.mark.parametrize(
    ("position", "committed", "within", "reads_on_at"),
    [(5, 5, Bounds(5, 5), 5), (5, 3, Bounds(0, 9), 5), (5, None, Bounds(0, 9), 5), (0, None, Bounds(7, 9), 7)],
    ids=["level", "group behind", "group unknown", "nothing evaluated"],
)
def test_evaluation_goes_on_at_the_recovered_position_or_where_the_log_begins(
    position: int, committed: int | None, within: Bounds, reads_on_at: int
) -> None:
    assert check_input(InputStart(0, position, committed), within) == reads_on_at


async def test_a_number_that_differs_because_another_owner_commits_meanwhile_ends_the_recovery_and_keeps_the_store(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, other = stores
    before, written = two_contacts_then_one(kept)
    await recover([Recovery(0, other, AllDecided())], before)

    class Growing(Written):
        """The control changelog is looked at only after the other owner's commit."""

        async def bounds(self, topic: Topic, _partition: int) -> Bounds:
            found = await super().bounds(topic, _partition)
            if topic is Topic.CONTACTS_CHANGELOG:
                self.records, self.behind = written.records, written.behind
            return found

    growing = Growing()
    growing.records, growing.behind = before.records, before.behind
    with pytest.raises(FencedError, match="another process"):
        await recover([Recovery(0, other, AllDecided())], growing)
    assert other.get_many([b"cann"]) != [None]


async def test_a_row_of_an_earlier_version_that_does_not_say_how_many_contacts_there_are_is_believed(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, wiped = stores
    _, written = two_contacts_then_one(kept)
    row = b'{"clock":%d,"offset":4}' % NOW
    written.records[Topic.CONTROL_CHANGELOG].append(
        Record(written.behind[Topic.CONTROL_CHANGELOG], NOW, CLOCK_KEY, row)
    )
    written.behind[Topic.CONTROL_CHANGELOG] += 1
    written.lose(b"ann")
    assert (await recover([Recovery(0, wiped, AllDecided())], written))[0].marks.contacts == 0


async def test_a_store_whose_last_commit_was_aborted_is_emptied_and_filled_from_what_is_committed(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, ahead = stores
    before, written = two_contacts_then_one(kept)
    await recover([Recovery(0, ahead, AllDecided())], written)
    aborted = before.copy()
    aborted.behind = written.behind  # what was aborted keeps its offsets
    restored = (await recover([Recovery(0, ahead, AllDecided())], aborted))[0]
    assert ahead.get_many([b"cbob"]) != [None]
    assert (restored.marks.contacts, restored.marks.input) == (2, 3)


async def test_a_store_that_cannot_be_compared_any_more_is_emptied_even_where_its_recovery_was_broken_off(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, away = stores
    before, written = two_contacts_then_one(kept)
    await recover([Recovery(0, away, AllDecided())], before)
    last = restore(away).marks.control_changelog - 1
    away.write({b"cghost": kept.get_many([b"cann"])[0]})
    for topic, log in written.records.items():
        written.records[topic] = [each for each in log if topic is Topic.CONTACTS_CHANGELOG or each.offset != last]

    class BrokenOff(Written):
        async def drain(self, starts: Mapping[TopicPart, Bounds], *, undecided: bool = False) -> AsyncIterator[Drained]:
            async for drained in super().drain(starts):
                yield drained
                if drained.topic is Topic.CONTROL_CHANGELOG:
                    raise LogError("the broker is gone")

    broken = BrokenOff()
    broken.records, broken.behind = written.records, written.behind
    with pytest.raises(LogError):
        await recover([Recovery(0, away, AllDecided())], broken)
    await recover([Recovery(0, away, AllDecided())], written)
    assert away.get_many([b"cghost"]) == [None]


async def test_partitions_that_recover_the_same_segments_share_one_catalogue_and_leave_the_loop_its_turns(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, other = stores
    partition, written = Partition(0, 1, "contact-changes", kept, restore(kept)), Written()
    many = 10 * contradictions_module.COMPILED_BETWEEN_TURNS
    written.commit(partition, *(definition(number, [{"plan": f"p{number}"}], f"s{number}") for number in range(many)))
    definitions_module._compile.cache_clear()
    turns, recovering = 0, asyncio.ensure_future(recover([Recovery(0, kept, AllDecided())], written))
    while not recovering.done():
        turns += 1
        await asyncio.sleep(0)
    first = recovering.result()[0]
    second = (await recover([Recovery(0, other, AllDecided())], written))[0]
    assert second.definitions.catalogue is first.definitions.catalogue
    assert len(first.definitions.catalogue.segments) == many
    assert turns > 10
