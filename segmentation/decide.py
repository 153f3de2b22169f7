"""What one input does to one contact: the decision, as records to write and the state after them.

Bringing a contact to a position is chronological: each deadline fires at its own instant, each definition it has not
seen applies at that definition's clock and offset, then the write. Where instants are equal, deadlines come before
definitions, and definitions before writes. The outcome is a pure function of the partition's log, however batched.
This module must not mutate what it is given: state goes in, a new state and the changes come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from segmentation.definitions import DefinitionLog
from segmentation.draft import ContactDraft
from segmentation.expression.compiler import CompiledSegment
from segmentation.index.catalogue import NO_FLIPS
from segmentation.merge import merge
from segmentation.model import (
    DEADLINE_OFFSET,
    AttributeChanges,
    AttributeName,
    CauseKind,
    Change,
    ContactId,
    ContactState,
    Erasure,
    InstantMs,
    Offset,
    Position,
    SegmentId,
    Version,
)
from segmentation.replay import apply_unseen_definitions


class Write(NamedTuple):
    """Set and remove attributes of a contact; the first write makes the contact exist."""

    contact_id: ContactId
    changes: AttributeChanges
    clock: InstantMs
    offset: Offset


class Delete(NamedTuple):
    """Erase a contact."""

    contact_id: ContactId
    clock: InstantMs
    offset: Offset


class CatchUp(NamedTuple):
    """Bring a contact to the partition's present with no input of its own: due deadlines and unseen definitions."""

    contact_id: ContactId
    clock: InstantMs


Command = Write | Delete | CatchUp


class Decision(NamedTuple):
    """What to write, and the contact after it.

    Shape: `events` in the order to write them, changes grouped by version, an erasure after the exit it follows (and
    before an enter, if the segment was defined again). `contact` is None once erased. `contact_changed` is False if the
    recorded contact need not be written again. `changed` names the attributes of an existing contact that a write
    changed.
    """

    events: tuple[Change | Erasure, ...]
    contact: ContactState | None
    contact_changed: bool
    changed: Sequence[AttributeName] = ()


NOTHING = Decision((), None, contact_changed=False)


def decide(contact: ContactState | None, command: Command, definitions: DefinitionLog) -> Decision:
    """Decide what `command` does to `contact` under the partition's definitions.

    Cost: with no deadline due and no definition unseen, one delta over the changed attributes.
    """
    if contact is None:
        return _create(command, definitions) if isinstance(command, Write) else NOTHING
    if command.__class__ is Write and not definitions.pending and (contact.due is None or contact.due > command.clock):
        return _write_at_present(contact, command, definitions)
    draft = ContactDraft(command.contact_id, contact)
    _bring_to_present(draft, command.clock, definitions)
    changed: Sequence[AttributeName] = ()
    if isinstance(command, Write):
        changed = _write(draft, command, definitions)
    elif isinstance(command, Delete):
        return _erase(draft, command, definitions.catalogue.segments)
    return Decision(tuple(draft.events), draft.state(), draft.changed, changed)


def _create(command: Write, definitions: DefinitionLog) -> Decision:
    catalogue = definitions.catalogue
    attributes = {name: value for name, value in command.changes.items() if value is not None}
    draft = ContactDraft(command.contact_id, ContactState(attributes=attributes, born=command.offset))
    entered = catalogue.members(attributes, command.clock)
    version = Version(command.clock, command.offset)
    draft.emit(entered, (), version, CauseKind.WRITE, catalogue.segments)
    draft.due = catalogue.due(attributes, command.clock)
    draft.stand_at(command.clock, command.offset, definitions.seq)
    return Decision(tuple(draft.events), draft.state(), contact_changed=True)


def _bring_to_present(draft: ContactDraft, clock: InstantMs, definitions: DefinitionLog) -> None:
    if definitions.pending and definitions.seq_through(draft.contact_id, draft.position.seq) < definitions.seq:
        apply_unseen_definitions(draft, definitions)
    catalogue = definitions.catalogue
    while draft.due is not None and draft.due <= clock:
        at = draft.due
        flips = catalogue.flips_at(draft.attributes, at, draft.members)
        version = Version(at, DEADLINE_OFFSET)
        draft.emit(flips.entered, flips.left, version, CauseKind.TIME, catalogue.segments)
        draft.due = catalogue.due(draft.attributes, at)
        draft.stand_at(at, draft.position.offset, definitions.seq)


def _write(draft: ContactDraft, command: Write, definitions: DefinitionLog) -> Sequence[AttributeName]:
    before = draft.attributes
    after, changed = merge(before, command.changes)
    if not changed:
        return ()
    catalogue = definitions.catalogue
    flips = catalogue.flips(before, after, changed, command.clock, draft.members)
    draft.attributes = after
    if flips is not NO_FLIPS:
        version = Version(command.clock, command.offset)
        draft.emit(flips.entered, flips.left, version, CauseKind.WRITE, catalogue.segments)
    if not catalogue.time_attributes.isdisjoint(changed):
        draft.due = catalogue.due(after, command.clock)
    draft.stand_at(command.clock, command.offset, definitions.seq)
    return changed


def _write_at_present(contact: ContactState, command: Write, definitions: DefinitionLog) -> Decision:
    """`_write` to a contact for which nothing is due before it, as it nearly always is: most flip nothing."""
    before = contact.attributes
    after, changed = merge(before, command.changes)
    if not changed:
        return Decision((), contact, contact_changed=False)
    _, _, clock, offset = command
    catalogue = definitions.catalogue
    flips = catalogue.flips(before, after, changed, clock, contact.members)
    if flips is not NO_FLIPS:
        draft = ContactDraft(command.contact_id, contact)
        draft.emit(flips.entered, flips.left, Version(clock, offset), CauseKind.WRITE, catalogue.segments)
        members, left, events = draft.members, draft.left, tuple(draft.events)
    else:
        members, left, events = contact.members, contact.left, ()
    due = contact.due if catalogue.time_attributes.isdisjoint(changed) else catalogue.due(after, clock)
    position = Position(clock, offset, definitions.seq)
    return Decision(events, ContactState(after, members, left, position, due, contact.born), True, changed)


def erase_as_it_stands(contact: ContactState | None, command: Delete, definitions: DefinitionLog) -> Decision:
    """Decide an erasure without bringing the contact to the present first: for one on which that fails.

    It exits what it is recorded to be in; what it would have entered and left since is never told.
    """
    if contact is None:
        return NOTHING
    seq = definitions.seq_through(command.contact_id, contact.position.seq)
    in_force = {segment_id: definitions.as_of(segment_id, seq) for segment_id in contact.members}
    segments = {segment_id: segment for segment_id, segment in in_force.items() if segment is not None}
    return _erase(ContactDraft(command.contact_id, contact), command, segments)


def _erase(draft: ContactDraft, command: Delete, segments: Mapping[SegmentId, CompiledSegment]) -> Decision:
    version = Version(command.clock, command.offset)
    draft.emit((), list(draft.members), version, CauseKind.DELETE, segments)
    for segment_id in sorted(draft.left):
        draft.events.append(Erasure(segment_id, command.contact_id))
    return Decision(tuple(draft.events), None, contact_changed=True)
