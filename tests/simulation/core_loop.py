"""The pure core against the reference: `decide` driven by a minimal partition that is as lazy as it may be.

Deadlines fire late, backfill crawls in random slices, definitions pile up, and the definition log is torn down and
restored from its rows at random moments. Whatever the laziness, each contact's changes must be the reference's.
Rule: no I/O and no clock; a seed is a history.
"""

from __future__ import annotations

from random import Random

from segmentation.decide import CatchUp, Command, Delete, Write, decide
from segmentation.definitions import DefinitionLog, PlacedDefinition
from segmentation.expression.compiler import compile_segment
from segmentation.model import CatalogueSeq, Change, ContactId, ContactState, Erasure, InstantMs, Offset, SegmentId
from tests.oracle.reference import (
    DefinitionInput,
    DeleteInput,
    ExpectedChange,
    ExpectedErasure,
    ExpectedEvent,
    LogEntry,
    Reference,
    WriteInput,
)
from tests.simulation.workload import START_MS, Workload

SLICE_CONTACTS_MAX = 3


class LazyPartition:
    """One partition's state and what it has published, contact by contact."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.clock = InstantMs(0)
        self.contacts: dict[ContactId, ContactState] = {}
        self.definitions = DefinitionLog()
        self.events: dict[ContactId, list[ExpectedEvent]] = {}
        self._rows: dict[tuple[SegmentId, int], PlacedDefinition] = {}

    def read(self, entry: LogEntry) -> None:
        """Take one record, then perhaps do some of the work that waits."""
        self.clock = InstantMs(max(self.clock, entry.timestamp))
        offset = Offset(entry.offset)
        match entry.input:
            case WriteInput(contact_id, changes):
                self._decide(Write(contact_id, changes, self.clock, offset))
            case DeleteInput(contact_id):
                self._decide(Delete(contact_id, self.clock, offset))
            case DefinitionInput(segment_id, version, state, expression):
                segment = compile_segment(segment_id, version, state, expression)
                placed = self.definitions.place(segment, self.clock, offset)
                if placed is not None:
                    self._rows[segment_id, version] = placed
        self.work()

    def finish(self) -> None:
        """Do all the work that waits."""
        for contact_id in list(self.contacts):
            self._decide(CatchUp(contact_id, self.clock))

    def work(self) -> None:
        """Perhaps do some of the work that waits."""
        roll = self._rng.random()
        if roll < 0.3:
            self._backfill()
        elif roll < 0.5:
            due = [
                each for each, contact in self.contacts.items() if contact.due is not None and contact.due <= self.clock
            ]
            for contact_id in self._rng.sample(due, self._rng.randint(0, len(due))):
                self._decide(CatchUp(contact_id, self.clock))
        elif roll < 0.53:
            self._restart()

    def _backfill(self) -> None:
        cursor = self.definitions.cursor or self.definitions.begin_backfill()
        if cursor is None:
            return
        ahead = sorted(contact_id for contact_id in self.contacts if contact_id > cursor.after)
        some = ahead[: self._rng.randint(1, SLICE_CONTACTS_MAX)]
        for contact_id in some:
            self._decide(CatchUp(contact_id, self.clock))
        if some:
            self.definitions.advance_backfill(some[-1])
        if len(some) == len(ahead):
            for superseded in self.definitions.finish_backfill():
                del self._rows[superseded.segment.segment_id, superseded.segment.version]

    def _restart(self) -> None:
        rows = list(self._rows.values())
        self._rng.shuffle(rows)
        self.definitions = DefinitionLog.restore(rows, CatalogueSeq(self.definitions.passed), self.definitions.cursor)

    def _decide(self, command: Command) -> None:
        before = self.contacts.get(command.contact_id)
        untouched = None if before is None else (dict(before.attributes), dict(before.members), set(before.left))
        decision = decide(before, command, self.definitions)
        if before is not None and untouched != (before.attributes, before.members, before.left):
            raise AssertionError("a decision changed the state that it was given")
        events = list(map(_as_expected, decision.events))
        if events:
            self.events.setdefault(command.contact_id, []).extend(events)
        if decision.contact is None:
            self.contacts.pop(command.contact_id, None)
        elif decision.contact_changed:
            self.contacts[command.contact_id] = decision.contact
        elif before != decision.contact:
            raise AssertionError("a contact changed although the decision says that it need not be recorded")


def _as_expected(event: Change | Erasure) -> ExpectedEvent:
    if isinstance(event, Erasure):
        return ExpectedErasure(event.contact_id, event.segment_id)
    return ExpectedChange(
        event.contact_id,
        event.segment_id,
        event.segment_version,
        event.kind,
        event.version.at,
        event.version.offset,
        event.cause,
        event.index,
        event.count,
    )


def run_core_seed(seed: int, operations: int) -> list[str]:
    """Run one history; the differences from the reference, one line a contact."""
    rng = Random(seed)
    workload = Workload(rng)
    reference, lazy = Reference(), LazyPartition(rng)
    now = START_MS
    for offset in range(operations):
        now += workload.clock_step_ms(now)
        entry = LogEntry(offset, now, workload.any_input(now))
        reference.read(entry)
        lazy.read(entry)
    reference.settle()
    lazy.finish()
    return differences(reference.events, lazy.events)


def differences(
    expected: dict[ContactId, list[ExpectedEvent]], found: dict[ContactId, list[ExpectedEvent]]
) -> list[str]:
    """The first difference of each contact's sequence."""
    lines = []
    for contact_id in sorted(expected.keys() | found.keys()):
        want, have = expected.get(contact_id, []), found.get(contact_id, [])
        if want != have:
            place = next(
                (place for place, pair in enumerate(zip(want, have, strict=False)) if pair[0] != pair[1]),
                min(len(want), len(have)),
            )
            one = want[place] if place < len(want) else "nothing more"
            other = have[place] if place < len(have) else "nothing more"
            lines.append(f"contact {contact_id}, event {place}: expected {one}, found {other}")
    return lines
