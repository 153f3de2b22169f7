"""What one partition's input log means, by brute force over all of it: every membership change, exact and in order.

Rule: no index, no delta, no deadline queue, no pending definitions. Every segment is evaluated by walking its tree at
every write, every definition and every instant at which any time condition could change. It imports nothing of the
product but the syntax tree and the words of `model.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from segmentation.expression.syntax import Expression
from segmentation.model import (
    AttributeName,
    CauseKind,
    ChangeKind,
    ContactId,
    InstantMs,
    SegmentId,
    SegmentState,
    Value,
)
from tests.oracle.language import boundaries, holds

NO_RECORD = -1
"""The offset in the version of a change that no record caused."""


@dataclass(frozen=True, slots=True)
class WriteInput:
    """A contact's attributes set and, by None, removed."""

    contact_id: ContactId
    changes: Mapping[AttributeName, Value | None]


@dataclass(frozen=True, slots=True)
class DeleteInput:
    """A contact erased."""

    contact_id: ContactId


@dataclass(frozen=True, slots=True)
class TickInput:
    """Only time."""


@dataclass(frozen=True, slots=True)
class DefinitionInput:
    """A segment created, edited, paused, resumed or deleted."""

    segment_id: SegmentId
    version: int
    state: SegmentState
    expression: Expression


@dataclass(frozen=True, slots=True)
class PoisonInput:
    """A record that nobody can read: a dead letter, but its timestamp is time all the same."""


Input = WriteInput | DeleteInput | TickInput | DefinitionInput | PoisonInput


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One record of the input log."""

    offset: int
    timestamp: int
    input: Input


@dataclass(frozen=True, slots=True)
class ExpectedChange:
    """One membership change that must be published exactly once."""

    contact_id: ContactId
    segment_id: SegmentId
    segment_version: int
    kind: ChangeKind
    at: int
    offset: int
    cause: CauseKind
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class ExpectedErasure:
    """A key that must become a tombstone here."""

    contact_id: ContactId
    segment_id: SegmentId


ExpectedEvent = ExpectedChange | ExpectedErasure


@dataclass(slots=True)
class ReferenceContact:
    """A contact, as far as it has been evaluated."""

    attributes: dict[AttributeName, Value]
    members: set[SegmentId] = field(default_factory=set)
    keys: set[SegmentId] = field(default_factory=set)
    """Every segment that holds a record of this contact that is not a tombstone."""
    instants: list[int] = field(default_factory=list)
    """When anything could change with no write, latest first."""


class Reference:
    """One partition's log, read from its first record. Every contact is brought to the clock whenever it matters."""

    def __init__(self) -> None:
        self.clock = 0
        self.contacts: dict[ContactId, ReferenceContact] = {}
        self.segments: dict[SegmentId, DefinitionInput] = {}
        self.events: dict[ContactId, list[ExpectedEvent]] = {}
        self._versions: dict[SegmentId, int] = {}

    def read_all(self, entries: Iterable[LogEntry]) -> Reference:
        """Read a log and fire what is due at its end."""
        for entry in entries:
            self.read(entry)
        self.settle()
        return self

    def read(self, entry: LogEntry) -> None:
        """Read the next record."""
        self.clock = max(self.clock, entry.timestamp)
        match entry.input:
            case WriteInput(contact_id, changes):
                self._write(contact_id, changes, entry.offset)
            case DeleteInput(contact_id):
                self._delete(contact_id, entry.offset)
            case DefinitionInput():
                self._define(entry.input, entry.offset)

    def settle(self) -> None:
        """Bring every contact to the clock."""
        for contact_id in self.contacts:
            self._pass_time(contact_id)

    def members(self) -> dict[SegmentId, set[ContactId]]:
        """Who is in each segment now."""
        self.settle()
        found: dict[SegmentId, set[ContactId]] = {segment_id: set() for segment_id in self.segments}
        for contact_id, contact in self.contacts.items():
            for segment_id in contact.members:
                found[segment_id].add(contact_id)
        return found

    def _write(self, contact_id: ContactId, changes: Mapping[AttributeName, Value | None], offset: int) -> None:
        contact = self.contacts.get(contact_id)
        if contact is None:
            contact = self.contacts[contact_id] = ReferenceContact({})
        self._pass_time(contact_id)
        cleared = [name for name in changes if changes[name] is None]
        for held in list(contact.attributes):
            if any(held == name or held.startswith(name + ".") for name in cleared):
                del contact.attributes[held]
        contact.attributes.update({name: value for name, value in changes.items() if value is not None})
        self._evaluate(contact_id, self.clock, offset, CauseKind.WRITE)
        self._look_ahead(contact)

    def _delete(self, contact_id: ContactId, offset: int) -> None:
        if contact_id not in self.contacts:
            return
        self._pass_time(contact_id)
        contact = self.contacts.pop(contact_id)
        self._emit(contact_id, contact, set(), (self.clock, offset), CauseKind.DELETE)
        for segment_id in sorted(contact.keys):
            self._erase(contact_id, segment_id)

    def _define(self, definition: DefinitionInput, offset: int) -> None:
        segment_id = definition.segment_id
        if definition.version <= self._versions.get(segment_id, 0):
            return
        self._versions[segment_id] = definition.version
        self.settle()
        self.segments[segment_id] = definition
        for contact_id, contact in self.contacts.items():
            self._evaluate(contact_id, self.clock, offset, CauseKind.DEFINITION)
            if definition.state is SegmentState.DELETED and segment_id in contact.keys:
                contact.keys.discard(segment_id)
                self._erase(contact_id, segment_id)
        if definition.state is SegmentState.DELETED:
            del self.segments[segment_id]
        for contact in self.contacts.values():
            self._look_ahead(contact)

    def _pass_time(self, contact_id: ContactId) -> None:
        instants = self.contacts[contact_id].instants
        while instants and instants[-1] <= self.clock:
            self._evaluate(contact_id, instants.pop(), NO_RECORD, CauseKind.TIME)

    def _look_ahead(self, contact: ReferenceContact) -> None:
        found: set[int] = set()
        for segment in self.segments.values():
            if segment.state is SegmentState.ACTIVE:
                found |= boundaries(segment.expression, contact.attributes)
        contact.instants = sorted((instant for instant in found if instant > self.clock), reverse=True)

    def _evaluate(self, contact_id: ContactId, now: int, offset: int, cause: CauseKind) -> None:
        contact = self.contacts[contact_id]
        seen: dict[SegmentId, Expression | bool] = {}
        for segment_id, segment in self.segments.items():
            match segment.state:
                case SegmentState.ACTIVE:
                    seen[segment_id] = segment.expression
                case SegmentState.PAUSED:
                    seen[segment_id] = segment_id in contact.members
                case SegmentState.DELETED:
                    seen[segment_id] = False
        members = {
            segment_id
            for segment_id, target in seen.items()
            if (target if isinstance(target, bool) else holds(target, contact.attributes, InstantMs(now), seen))
        }
        self._emit(contact_id, contact, members, (now, offset), cause)

    def _emit(
        self,
        contact_id: ContactId,
        contact: ReferenceContact,
        members: Set[SegmentId],
        version: tuple[int, int],
        cause: CauseKind,
    ) -> None:
        changed = sorted(contact.members ^ members)
        events = self.events.setdefault(contact_id, []) if changed else []
        for index, segment_id in enumerate(changed):
            kind = ChangeKind.ENTER if segment_id in members else ChangeKind.EXIT
            segment_version = self.segments[segment_id].version
            events.append(
                ExpectedChange(
                    contact_id, segment_id, segment_version, kind, *version, cause, index, count=len(changed)
                )
            )
        contact.keys.update(changed)
        contact.members = set(members)

    def _erase(self, contact_id: ContactId, segment_id: SegmentId) -> None:
        self.events[contact_id].append(ExpectedErasure(contact_id, segment_id))
