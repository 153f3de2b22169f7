"""Was a contact in a segment at an instant: answered from the bounded histories, or "unknown" where they end.

Rule: what is kept of a (segment, contact) pair is always its latest changes without a gap, so an answer is given only
for instants from the first kept change on, or when that change is known to be the pair's first. It never guesses, and
never speaks of an instant that the contact has not been evaluated through.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.codec import decode_contact
from schemas.control_rows import CLOCK_KEY, CURSOR_KEY, ClockRow, CursorRow
from segmentation.definitions import NO_SEQ, DefinitionLog
from segmentation.model import CatalogueSeq, ChangeKind, ContactId, ContactState, InstantMs, SegmentId, Version
from services.evaluator import history, rows
from services.evaluator.history import KeptChange
from services.evaluator.ports import Store

FUTURE = "not_evaluated_yet"
SETTLING = "settling"
BEYOND_HISTORY = "beyond_history"


@dataclass(frozen=True, slots=True)
class MembershipAsOf:
    """`member` is None when it cannot be said, and `unknown` says why. Units: instants in epoch milliseconds.

    `since` is the change that made it so, if one is known. `known_from` is the instant from which on it can be said.
    """

    member: bool | None
    since: InstantMs | None = None
    unknown: str | None = None
    known_from: InstantMs | None = None


def membership_as_of(
    store: Store,
    definitions: DefinitionLog,
    contact_id: ContactId,
    segment_id: SegmentId,
    at: InstantMs | None,
    clock: InstantMs | None = None,
) -> tuple[InstantMs, MembershipAsOf] | None:
    """The membership at `at`, and that instant: if None, the latest of which it can be said. None: no such contact.

    `clock` is given when the store holds all that was decided through it. Else the store's own rows say how far it has
    come: `definitions` are ahead of it, and know contacts as brought through whose changes it does not hold.
    Cost: a scan of the segment's history at the most.
    """
    control = rows.control_key(CLOCK_KEY), rows.control_key(CURSOR_KEY)
    row, clock_row, cursor_row = store.get_many([rows.contact_key(contact_id), *control])
    if row is None:
        return None
    contact = decode_contact(row)
    if clock is not None:
        seq = definitions.seq_through(contact_id, contact.position.seq)
    else:
        clock = ClockRow.decode(clock_row).clock if clock_row is not None else contact.position.clock
        seq = max(contact.position.seq, _committed_seq(contact_id, cursor_row))
    if at is None:
        at = clock if contact.due is None else min(clock, InstantMs(contact.due - 1))
    if at > clock or (contact.due is not None and contact.due <= at):
        return at, MembershipAsOf(None, unknown=FUTURE)
    if seq < definitions.seq:
        return at, MembershipAsOf(None, unknown=SETTLING)
    return at, _from_history(store, contact_id, contact, segment_id, at, clock)


def _committed_seq(contact_id: ContactId, row: bytes | None) -> CatalogueSeq:
    """Through which definition scans have brought a contact, as of the last commit."""
    if row is None:
        return NO_SEQ
    cursor = CursorRow.decode(row)
    if cursor.target is not None and cursor.after is not None and contact_id <= cursor.after:
        return CatalogueSeq(cursor.target)
    return CatalogueSeq(cursor.passed)


def _from_history(
    store: Store,
    contact_id: ContactId,
    contact: ContactState,
    segment_id: SegmentId,
    at: InstantMs,
    clock: InstantMs,
) -> MembershipAsOf:
    since = contact.members.get(segment_id)
    if since is not None and since <= at:
        return MembershipAsOf(True, since)
    if since is None and segment_id not in contact.left:
        return MembershipAsOf(False)
    kept = _kept(history.kept_of_contact(store, contact_id), segment_id, contact_id)
    if not kept or (kept[0].change.version.at > at and not kept[0].is_first):
        kept = _kept([*kept, *history.kept_of_segment(store, segment_id)], segment_id, contact_id)
    before = [each.change for each in kept if each.change.version.at <= at]
    if before:
        return MembershipAsOf(before[-1].kind is ChangeKind.ENTER, before[-1].version.at)
    if kept and kept[0].is_first:
        return MembershipAsOf(False)
    if since is None and not kept and at == clock:
        return MembershipAsOf(False)
    known_from = kept[0].change.version.at if kept else since if since is not None else clock
    return MembershipAsOf(None, unknown=BEYOND_HISTORY, known_from=known_from)


def _kept(found: list[KeptChange], segment_id: SegmentId, contact_id: ContactId) -> list[KeptChange]:
    """The pair's changes in the present life of both, each once, oldest first."""
    pair: dict[Version, KeptChange] = {
        each.change.version: each
        for each in found
        if each.change.segment_id == segment_id and each.change.contact_id == contact_id
    }
    ordered = [pair[version] for version in sorted(pair)]
    # The segment was deleted before a change that is the pair's first again.
    begins = max((place for place, each in enumerate(ordered) if each.is_first), default=0)
    return ordered[begins:]
