"""Who is due is found at once, whatever was committed, fired, moved or forgotten by a restart before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from segmentation.model import ContactId, InstantMs
from services.evaluator import rows
from services.evaluator.deadlines import DueContacts
from services.evaluator.store import RocksStore, StoreMemory

CONTACTS = [ContactId(f"c{number}") for number in range(12)]
STEPS = 400


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path / "0", StoreMemory(8 << 20))
    yield store
    store.close()


class Deadlines:
    """What a partition knows of its contacts' deadlines: as committed, and as it stands."""

    def __init__(self, store: RocksStore, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = store
        self.clock = InstantMs(1_000)
        self.committed: dict[ContactId, InstantMs] = {}
        self.scan_from = rows.DUE_START
        self.start()

    def start(self) -> None:
        """As after a restart: what was not committed is forgotten."""
        self.due = DueContacts(self.store, self.scan_from)
        self.now = dict(self.committed)

    def move(self, contact_id: ContactId, due: InstantMs | None) -> None:
        self.now.pop(contact_id, None)
        if due is not None:
            self.now[contact_id] = due
            self.due.note(due, contact_id)

    def write(self) -> None:
        due = InstantMs(self.clock + self.random.randrange(1, 60)) if self.random.random() < 0.8 else None
        self.move(self.random.choice(CONTACTS), due)

    def fire(self, limit: int) -> None:
        """One slice, as a partition does it."""
        found = self.due.take(self.clock, limit)
        assert len(found) <= limit
        for contact_id in found:
            if self.now.get(contact_id, self.clock + 1) <= self.clock:
                again = self.random.random() < 0.5
                self.move(contact_id, InstantMs(self.clock + self.random.randrange(1, 60)) if again else None)

    def fire_all(self) -> None:
        while self.due.any_due(self.clock):
            self.fire(self.random.randrange(1, 5))

    def commit(self) -> None:
        written: dict[bytes, bytes | None] = {}
        for contact_id, due in self.committed.items():
            if self.now.get(contact_id) != due:
                written[rows.due_key(due, contact_id)] = None
        moved = [(due, contact) for contact, due in self.now.items() if self.committed.get(contact) != due]
        written.update((rows.due_key(*each), b"") for each in moved)
        self.store.write(written)
        self.due.committed(moved)
        self.committed, self.scan_from = dict(self.now), self.due.scan_from


@pytest.mark.parametrize("seed", range(10))
def test_nobody_is_due_and_not_found(store: RocksStore, seed: int) -> None:
    known = Deadlines(store, seed)
    for step in range(STEPS):
        for _ in range(known.random.randrange(3)):
            known.write()
        if known.random.random() < 0.3:
            known.commit()
        elif known.random.random() < 0.05:
            known.start()
        known.clock = InstantMs(known.clock + known.random.randrange(8))
        if known.random.random() < 0.8:
            known.fire_all()
            late = [contact for contact, due in known.now.items() if due <= known.clock]
            assert late == [], f"seed {seed}, step {step}"
            assert known.due.lateness_ms(known.clock) == 0


def test_the_lateness_is_that_of_the_earliest_that_has_not_fired_committed_or_not(store: RocksStore) -> None:
    known = Deadlines(store, 1)
    for contact_id, due in zip(CONTACTS, (1_030, 1_020, 1_010), strict=False):
        known.move(contact_id, InstantMs(due))
    known.commit()
    known.move(CONTACTS[3], InstantMs(1_005))
    lateness = []
    for clock in (1_004, 1_005, 1_007, 1_040):
        known.clock = InstantMs(clock)
        lateness.append(known.due.lateness_ms(known.clock))
    known.due.take(known.clock, 1)
    lateness.append(known.due.lateness_ms(known.clock))
    known.due.take(known.clock, 2)
    lateness.append(known.due.lateness_ms(known.clock))
    assert lateness == [0, 0, 2, 35, 30, 10]


def test_what_was_looked_at_is_not_looked_at_again_until_it_is_asked_for(store: RocksStore) -> None:
    known = Deadlines(store, 1)
    for contact_id, due in zip(CONTACTS, (1_010, 1_020, 1_500), strict=False):
        known.move(contact_id, InstantMs(due))
    known.commit()
    assert known.due.take(InstantMs(1_100), 10) == CONTACTS[:2]
    assert not known.due.any_due(InstantMs(1_499))
    known.due.look_again(InstantMs(1_020), CONTACTS[1])
    known.due.look_again(InstantMs(1_500), CONTACTS[2])
    assert known.due.any_due(InstantMs(1_100))
    assert known.due.take(InstantMs(1_100), 10) == [CONTACTS[1]]
