"""Random histories in which the evaluation of some contacts fails for a while: once repaired, nothing is missing.

What is compared is each contact's whole sequence of changes with the reference's over the same log, in which a record
that became a dead letter is only time. Contacts that were erased while their evaluation failed exit what they are
recorded to be in, and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest

from schemas.dead_letter import DeadLetterHeaders
from schemas.topics import Topic
from segmentation.decide import CatchUp, Command, Decision, decide
from segmentation.definitions import DefinitionLog
from segmentation.model import CauseKind, ChangeKind, ContactId, ContactState, InstantMs, SegmentId
from services.evaluator import partition as partition_module
from services.evaluator.failures import EvaluationError
from services.evaluator.partition import Partition
from services.evaluator.ports import OutputRecord
from services.evaluator.restored import restore
from tests.oracle.reference import (
    DeleteInput,
    ExpectedChange,
    ExpectedErasure,
    ExpectedEvent,
    LogEntry,
    PoisonInput,
    Reference,
    TickInput,
)
from tests.services.evaluator.inputs import Record
from tests.simulation.core_loop import differences
from tests.simulation.wire import encode
from tests.simulation.workload import START_MS, Workload
from tests.simulation.world import Disk, Process, SimulatedStore

OPERATIONS = 200
STEPS_TO_REST_MAX = 10_000
STRANGER = ContactId("stranger0")


class History:
    """One partition, its log, and what its commits published."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.workload = Workload(self.rng)
        self.breaking = self.rng.choice((0.02, 0.05, 0.1))
        self.now = START_MS
        self.broken: dict[ContactId, bool] = {}
        """Whose evaluation fails now, and whether that of their writes does too."""
        self.erased_broken: set[ContactId] = set()
        self.log: list[Record] = []
        self.entries: list[LogEntry] = []
        self.published: list[OutputRecord] = []
        self.dead: set[int] = set()
        self.ends = 0
        self._store = SimulatedStore(Process("only"), Disk())
        self.start()

    def start(self) -> None:
        """Begin with what is committed, as after the end of a process."""
        self._sent: list[OutputRecord] = []
        self._refused: set[int] = set()
        self.partition = Partition(0, 1, "contact-changes", self._store, restore(self._store))

    def decide(self, contact: ContactState | None, command: Command, definitions: DefinitionLog) -> Decision:
        """As the core does, but for those who are broken."""
        fails = self.broken.get(command.contact_id)
        if fails or (fails is not None and isinstance(command, CatchUp)):
            raise ZeroDivisionError("a bug of ours")
        return decide(contact, command, definitions)

    def append(self) -> None:
        """One more input; now and then somebody's evaluation begins to fail or is repaired."""
        proposed = self.workload.any_input(self.now)
        self.now += self.workload.clock_step_ms(self.now)
        # All poison is alike here: that a stranger's record is refused depends on how many partitions there are.
        written = OutputRecord(b"", None) if isinstance(proposed, PoisonInput) else None
        key, value, headers = written or encode(self.rng, proposed, self.now, STRANGER)
        self.log.append(Record(len(self.log), self.now, key, value, tuple(headers)))
        self.entries.append(LogEntry(len(self.entries), self.now, proposed))
        if self.rng.random() < self.breaking:
            contact_id = self.rng.choice(self.workload.contacts)
            if self.broken.pop(contact_id, None) is None:
                self.broken[contact_id] = self.rng.random() < 0.4
        if self.rng.random() < 0.01:
            self.start()

    def work(self, step: Callable[[], object]) -> None:
        """Do some work; a process that ends is started again."""
        try:
            step()
        except EvaluationError:
            self.ends += 1
            self.start()

    def any_step(self) -> None:
        """Some of the work that waits, or a commit."""
        partition, limit = self.partition, self.rng.choice((1, 2, 50))
        roll = self.rng.random()
        if roll < 0.45:
            self.consume(limit)
        elif roll < 0.6:
            partition.wake_due(limit)
        elif roll < 0.8 and partition.behind_definitions:
            partition.backfill(limit)
        elif roll >= 0.8:
            self.commit()

    def consume(self, limit: int) -> None:
        """Take the next records."""
        records = self.log[self.partition.next_offset :][:limit]
        for record in records:
            taken = self.entries[record.offset].input
            if isinstance(taken, DeleteInput) and taken.contact_id in self.broken:
                self.erased_broken.add(taken.contact_id)
        self.partition.consume(records)

    def commit(self) -> None:
        """Make what was decided since the last commit count."""
        unsent = self.partition.take_unsent()
        self._sent += unsent.memberships
        self._refused |= {DeadLetterHeaders.read_from(letter.headers).offset for letter in unsent.dead_letters}
        self.partition.seal()
        self.partition.committed(dict.fromkeys((Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG), 1), InstantMs(1))
        self.published += self._sent
        self.dead |= self._refused
        self._sent, self._refused = [], set()

    def come_to_rest(self) -> None:
        """Everybody is repaired, which a restart or a definition makes use of; then all the work that waits is done."""
        self.broken.clear()
        if self.rng.random() < 0.5:
            self.start()
        else:
            self.partition.failures.retry()
        for _ in range(STEPS_TO_REST_MAX):
            partition = self.partition
            if partition.next_offset < len(self.log):
                self.work(lambda: self.consume(50))
            elif partition.due.any_due(partition.clock):
                self.work(lambda: self.partition.wake_due(50))
            elif partition.behind_definitions:
                self.work(lambda: self.partition.backfill(50))
            elif partition.is_ahead:
                self.commit()
            else:
                return
        raise AssertionError("work that never ends")

    def violations(self) -> list[str]:
        """Whose changes are others than they must be."""
        entries = [
            LogEntry(entry.offset, entry.timestamp, TickInput()) if entry.offset in self.dead else entry
            for entry in self.entries
        ]
        reference = Reference().read_all(entries)
        reference.settle()
        return differences(self._compared(reference.events), self._compared(changes_of(self.published)))

    def _compared(self, events: Mapping[ContactId, list[ExpectedEvent]]) -> dict[ContactId, list[ExpectedEvent]]:
        return {contact_id: found for contact_id, found in events.items() if contact_id not in self.erased_broken}


def changes_of(published: Sequence[OutputRecord]) -> dict[ContactId, list[ExpectedEvent]]:
    """The records of a topic by contact, as the reference speaks of them."""
    found: dict[ContactId, list[ExpectedEvent]] = {}
    for key, value, _ in published:
        assert key is not None
        segment_id, _, contact_id = key.decode().partition("|")
        event: ExpectedEvent = ExpectedErasure(ContactId(contact_id), SegmentId(segment_id))
        if value is not None:
            said = json.loads(value)
            cause = said["cause"]
            event = ExpectedChange(
                ContactId(contact_id),
                SegmentId(segment_id),
                said["segment_version"],
                ChangeKind(said["change"]),
                said["at"],
                said["offset"],
                CauseKind(cause["kind"]),
                cause["index"],
                cause["count"],
            )
        found.setdefault(ContactId(contact_id), []).append(event)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_once_everybody_is_repaired_each_contact_has_the_changes_of_an_unharmed_run(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(seed)
    monkeypatch.setattr(partition_module, "decide", history.decide)
    for _ in range(OPERATIONS):
        history.append()
        for _ in range(history.rng.choice((0, 1, 1, 2))):
            history.work(history.any_step)
    history.come_to_rest()
    assert history.violations() == []
    assert not history.partition.failures.held
    assert not history.partition.definitions.pending
