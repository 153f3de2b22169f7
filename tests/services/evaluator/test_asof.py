"""As-of reads: a past membership is told exactly as far back as the histories reach, and never guessed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schemas.topics import Topic
from segmentation.model import ContactId, InstantMs, SegmentId
from services.evaluator import history
from services.evaluator.asof import BEYOND_HISTORY, FUTURE, SETTLING, MembershipAsOf, membership_as_of
from services.evaluator.partition import Partition
from services.evaluator.recovery import Recovery, recover
from services.evaluator.restored import restore
from services.evaluator.store import RocksStore
from tests.services.evaluator.changelogs import AllDecided, RecordedChangelogs
from tests.services.evaluator.inputs import NOW, Record, definition, write

PRO = [{"plan": "pro"}]


class World:
    """One partition, its store and its changelogs."""

    def __init__(self, store: RocksStore) -> None:
        self.store = store
        self.partition = Partition(0, 1, "contact-changes", store, restore(store))
        self.changelogs = RecordedChangelogs()

    def commit(self, *records: Record, backfill: bool = True) -> None:
        """Evaluate and commit."""
        self.partition.consume(records)
        while backfill and self.partition.behind_definitions:
            self.partition.backfill(100)
        self.partition.take_unsent()
        contacts, controls = self.partition.seal()
        ends = self.changelogs.append({Topic.CONTACTS_CHANGELOG: contacts, Topic.CONTROL_CHANGELOG: controls})
        self.partition.committed(ends, InstantMs(NOW))

    def at(self, second: int, segment_id: str = "s", contact_id: str = "c") -> MembershipAsOf | None:
        """The membership `second` seconds after the start."""
        instant = InstantMs(NOW + second * 1_000)
        told = self._told(instant, contact_id, segment_id)
        return told[1] if told is not None else None

    def now(self, clock: int | None = None) -> tuple[int, MembershipAsOf]:
        """The membership at the latest instant that can be told, and how many seconds after the start that is."""
        told = self._told(None, clock=InstantMs(NOW + clock * 1_000) if clock is not None else None)
        assert told is not None
        return (told[0] - NOW) // 1_000, told[1]

    def _told(
        self, at: InstantMs | None, contact_id: str = "c", segment_id: str = "s", clock: InstantMs | None = None
    ) -> tuple[InstantMs, MembershipAsOf] | None:
        definitions = self.partition.definitions
        return membership_as_of(self.store, definitions, ContactId(contact_id), SegmentId(segment_id), at, clock)

    def members_at(self, *seconds: int) -> list[bool | None]:
        """Whether the contact was a member then."""
        found = [self.at(second) for second in seconds]
        assert None not in found
        return [each.member for each in found if each is not None]


@pytest.fixture
def world(open_store: Callable[[str], RocksStore]) -> World:
    return World(open_store("0"))


def plan(offset: int, second: int, value: str, contact: str = "c") -> Record:
    return write(offset, contact, NOW + second * 1_000, plan=value)


def test_each_instant_between_changes_is_told_with_since_when(world: World) -> None:
    world.commit(definition(0, PRO), plan(1, 10, "pro"), plan(2, 20, "free"), plan(3, 30, "pro"), plan(4, 40, "pro!"))
    assert world.members_at(0, 9, 10, 19, 20, 29, 30, 39, 40) == [
        False, False, True, True, False, False, True, True, False,
    ]  # fmt: skip
    assert world.at(15) == MembershipAsOf(True, InstantMs(NOW + 10_000))
    assert world.at(25) == MembershipAsOf(False, InstantMs(NOW + 20_000))


def test_a_contact_that_was_never_in_the_segment_is_told_so_for_ever(world: World) -> None:
    world.commit(definition(0, PRO), plan(1, 10, "free"))
    assert world.members_at(0, 10) == [False, False]


def test_an_instant_that_was_not_evaluated_yet_is_not_answered(world: World) -> None:
    world.commit(definition(0, PRO), plan(1, 10, "pro"))
    assert world.at(11) == MembershipAsOf(None, unknown=FUTURE)


def test_without_an_instant_it_speaks_of_the_latest_that_it_can(world: World) -> None:
    world.commit(definition(0, [{"seen": {"within_last": "20s"}}]))
    world.commit(write(1, seen=NOW), plan(2, 10, "pro", "other"))
    inside = MembershipAsOf(True, InstantMs(NOW))
    assert world.now() == (10, inside)
    assert world.now(clock=15) == (15, inside)
    assert world.now(clock=60) == (19, inside)  # its deadline at 20 s has not fired


def test_a_deadline_that_has_not_fired_yet_holds_the_answer_back(world: World) -> None:
    world.commit(definition(0, [{"seen": {"within_last": "10s"}}]))
    world.commit(write(1, seen=NOW), plan(2, 60, "pro", "other"))
    assert world.at(5) == MembershipAsOf(True, InstantMs(NOW))
    assert world.at(30) == MembershipAsOf(None, unknown=FUTURE)
    world.partition.wake_due(100)
    world.commit()
    assert world.at(30) == MembershipAsOf(False, InstantMs(NOW + 10_000))


def test_a_contact_that_has_not_passed_a_definition_is_settling(world: World) -> None:
    world.commit(plan(0, 10, "pro"))
    world.commit(definition(1, PRO, at=NOW + 20_000), backfill=False)
    assert world.at(20) == MembershipAsOf(None, unknown=SETTLING)
    world.commit()
    assert world.at(20) == MembershipAsOf(True, InstantMs(NOW + 20_000))
    assert world.members_at(19) == [False]


def test_a_contact_whose_way_through_a_definition_is_not_committed_is_settling(world: World) -> None:
    world.commit(plan(0, 10, "pro"), plan(1, 10, "free", "d"))
    world.commit(definition(2, PRO, at=NOW + 20_000), backfill=False)
    while world.partition.behind_definitions:
        world.partition.backfill(1)
        assert world.now() == (20, MembershipAsOf(None, unknown=SETTLING))
    world.commit()
    assert world.now() == (20, MembershipAsOf(True, InstantMs(NOW + 20_000)))


def test_contacts_that_committed_slices_have_reached_are_told_while_others_settle(world: World) -> None:
    world.commit(plan(0, 10, "pro"), plan(1, 10, "pro", "d"))
    world.commit(definition(2, PRO, at=NOW + 20_000), backfill=False)
    world.partition.backfill(1)
    world.commit(backfill=False)
    inside = MembershipAsOf(True, InstantMs(NOW + 20_000))
    assert (world.at(20), world.at(20, contact_id="d")) == (inside, MembershipAsOf(None, unknown=SETTLING))


def test_beyond_the_kept_changes_it_says_from_when_on_it_knows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "CONTACT_HISTORY_MAX", 2)
    monkeypatch.setattr(history, "SEGMENT_HISTORY_MAX", 3)
    changes = [plan(1 + place, 10 * (1 + place), "pro" if place % 2 == 0 else "free") for place in range(6)]
    world.commit(definition(0, PRO), *changes)
    assert world.members_at(40, 50, 60) == [False, True, False]  # 40 is told by the segment's history alone
    assert world.at(39) == MembershipAsOf(None, unknown=BEYOND_HISTORY, known_from=InstantMs(NOW + 40_000))


def test_the_changes_of_other_segments_do_not_hide_a_pairs_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "CONTACT_HISTORY_MAX", 2)
    world.commit(definition(0, PRO), definition(1, [{"n": {"gt": 0}}], "busy"), plan(2, 10, "pro"), plan(3, 20, "free"))
    world.commit(*(write(4 + place, "c", NOW + 30_000, n=place % 2) for place in range(6)))
    assert world.members_at(9, 10, 19, 20, 30) == [False, True, True, False, False]


async def test_a_rebuilt_store_knows_only_the_present_membership(
    world: World, open_store: Callable[[str], RocksStore]
) -> None:
    world.commit(definition(0, PRO), plan(1, 10, "pro"), plan(2, 20, "free"), plan(3, 30, "pro"), plan(4, 40, "pro"))
    rebuilt = World(open_store("rebuilt"))
    restored = await recover([Recovery(0, rebuilt.store, AllDecided())], world.changelogs)
    rebuilt.partition = Partition(0, 1, "contact-changes", rebuilt.store, restored[0])
    assert rebuilt.at(35) == MembershipAsOf(True, InstantMs(NOW + 30_000))
    assert rebuilt.at(29) == MembershipAsOf(None, unknown=BEYOND_HISTORY, known_from=InstantMs(NOW + 30_000))


async def test_a_rebuilt_store_does_not_deny_what_a_contact_that_left_may_have_been(
    world: World, open_store: Callable[[str], RocksStore]
) -> None:
    world.commit(definition(0, PRO), plan(1, 10, "pro"), plan(2, 20, "free"), plan(3, 30, "free"))
    rebuilt = World(open_store("rebuilt"))
    restored = await recover([Recovery(0, rebuilt.store, AllDecided())], world.changelogs)
    rebuilt.partition = Partition(0, 1, "contact-changes", rebuilt.store, restored[0])
    assert rebuilt.at(30) == MembershipAsOf(False)
    assert rebuilt.at(15) == MembershipAsOf(None, unknown=BEYOND_HISTORY, known_from=InstantMs(NOW + 30_000))


def test_a_contact_that_came_back_after_an_erasure_has_only_its_present_life(world: World) -> None:
    world.commit(definition(0, PRO), plan(1, 10, "pro"))
    world.commit(Record(2, NOW + 20_000, b"c", None))
    assert world.at(15) is None
    world.commit(plan(3, 30, "pro"))
    assert world.members_at(15, 29, 30) == [False, False, True]


def test_a_segment_that_was_deleted_and_created_again_has_only_its_present_life(world: World) -> None:
    world.commit(definition(0, PRO), plan(1, 10, "pro"))
    world.commit(definition(2, PRO, version=2, state="deleted", at=NOW + 20_000))
    world.commit(definition(3, PRO, version=3, at=NOW + 30_000))
    world.commit(plan(4, 40, "free"), plan(5, 50, "pro"))
    assert world.members_at(15, 29, 30, 39, 40, 50) == [False, False, True, True, False, True]


@pytest.mark.parametrize("are_apart", [False, True], ids=["one transaction", "each its own"])
def test_a_life_that_begins_in_the_transaction_in_which_the_last_ended_is_a_life_of_its_own(
    world: World, are_apart: bool
) -> None:
    def commit(*records: Record) -> None:
        for batch in [[record] for record in records] if are_apart else [records]:
            world.commit(*batch)

    world.commit(definition(0, PRO), plan(1, 10, "pro"))
    deleted = definition(2, PRO, version=2, state="deleted", at=NOW + 20_000)
    commit(deleted, definition(3, PRO, version=3, at=NOW + 30_000), plan(4, 40, "free"), plan(5, 50, "pro"))
    assert world.members_at(15, 29, 30, 39, 40, 50) == [False, False, True, True, False, True]
    commit(Record(6, NOW + 60_000, b"c", None), plan(7, 70, "free"), plan(8, 80, "pro"), plan(9, 90, "free"))
    assert world.members_at(15, 55, 79, 80, 90) == [False, False, False, True, False]
