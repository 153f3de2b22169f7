"""One partition's state and what its log does to it: records in, outputs and changed rows out. Synchronous throughout.

Rule: the store holds a committed prefix of the log; what came after it is the overlay. A decision is read from and
placed into the overlay without an await between, so each input sees the one before it. After a failed transaction the
whole object is discarded. This module must not talk to the broker; it only says what to send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import starmap

from schemas.codec import (
    ContactDelete,
    ContactWrite,
    Malformed,
    SegmentDefined,
    Tick,
    decode_contact,
    decode_input,
    decode_kept_contact,
    encode_membership_change,
)
from schemas.codec import InputRecord as Input
from schemas.control_rows import CLOCK_KEY, CURSOR_KEY, ClockRow, CursorRow, DefinitionRow, definition_key
from schemas.membership_change import membership_key
from schemas.partitioner import partition_for
from schemas.topics import Topic
from segmentation.decide import CatchUp, Command, Decision, Delete, Write, decide, erase_as_it_stands
from segmentation.definitions import BackfillCursor
from segmentation.model import Change, ContactId, ContactState, InstantMs, Offset, SegmentId, SegmentState
from services.evaluator import dead_letters, history, rows
from services.evaluator.deadlines import DueContacts
from services.evaluator.definitions import UnusableDefinition, compile_definition
from services.evaluator.failures import Failures
from services.evaluator.ports import InputRecord, OutputRecord, Store
from services.evaluator.recent import RecentContacts
from services.evaluator.restored import RestoredPartition
from services.evaluator.tally import Tally, Unsent
from services.evaluator.transaction import Derived, Transaction

CONTACT_INPUTS = (ContactWrite, ContactDelete)
UNBOUNDED = 1 << 62
DEFINITION_WORK = 100  # to compile and index one is about so many evaluations of one for a contact: a millisecond


class Partition:
    """The state of one partition as of `next_offset`; created from what recovery found in the store."""

    def __init__(
        self, index: int, partitions: int, input_topic: str, store: Store, restored: RestoredPartition
    ) -> None:
        self.index = index
        self.clock = restored.clock
        self.next_offset = restored.marks.input
        self.definitions = restored.definitions
        self.counts = restored.counts
        self.unreadable = restored.unreadable
        self.contacts = restored.marks.contacts
        self.on_contacts: Callable[[Iterable[ContactId]], None] | None = None
        """Told which contacts a commit has changed, once the store has them."""
        self.unsent = Unsent()
        self.tally = Tally(backfilled=restored.backfilled)
        self.due = DueContacts(store, restored.marks.due_from)
        where = f"{input_topic} partition {index}"
        self.failures = Failures(store, where, restored.failed, self.definitions, self.due)
        self._partitions = partitions
        self._input_topic = input_topic
        self._store = store
        self._marks = restored.marks
        self._derived = Derived(self.counts, self.unreadable, store)
        self._overlay: dict[ContactId, ContactState | None] = {}
        self._transaction = Transaction()
        self._recent = RecentContacts()
        self.gone = self.definitions.deleted_ids()
        """Segments that are deleted, for whoever has told of them: whether the owner before did is not known."""
        self._has_gone = True  # whether there may be rows of such

    # The live path

    def consume(self, records: Sequence[InputRecord], work_max: int = UNBOUNDED) -> int:
        """Evaluate a batch of the log in order, up to the record with which `work_max` is reached; how many were.

        Units: memberships that a record changes, definitions that its contact may not know, `DEFINITION_WORK` for one.
        """
        batch = [(record, decode_input(record.key, record.value, record.headers)) for record in records]
        self._load([item.contact_id for _, item in batch if isinstance(item, CONTACT_INPUTS)])
        tally, taken, unseen = self.tally, 0, self.unseen_definitions
        work_ends = tally.changes + work_max
        for record, item in batch:
            if record.timestamp > self.clock:
                self.clock = InstantMs(record.timestamp)
            try:
                self._take(record, item)
            except Exception as error:  # noqa: BLE001 - any failure of evaluation is one record's, and kept as a dead letter
                self._evaluation_failed(record, item, error)
            self.next_offset = record.offset + 1
            taken += 1
            if isinstance(item, SegmentDefined):
                unseen = self.unseen_definitions
                work_ends -= DEFINITION_WORK
            elif unseen and isinstance(item, CONTACT_INPUTS):
                work_ends -= unseen
            if tally.changes >= work_ends:
                break
        tally.processed += taken
        return taken

    def _take(self, record: InputRecord, item: Input) -> None:
        offset = Offset(record.offset)
        if isinstance(item, ContactWrite):
            self._write(record, Write(item.contact_id, item.attributes, self.clock, offset))
        elif isinstance(item, ContactDelete):
            # An erasure of nobody is done; but asked for in the wrong place, it would be of somebody elsewhere.
            if self._overlay[item.contact_id] is not None or self._is_home(record, item.contact_id):
                self._decide_and_place(Delete(item.contact_id, self.clock, offset))
        elif isinstance(item, SegmentDefined):
            self._define(record, item)
        elif isinstance(item, Malformed):
            self._refuse(record, item.code, item.message)
        elif not isinstance(item, Tick):
            raise AssertionError(f"decode_input gave {type(item).__name__}")

    def _write(self, record: InputRecord, command: Write) -> None:
        contact_id = command.contact_id
        before = self._overlay[contact_id]
        if before is None and not self._is_home(record, contact_id):
            return
        decision = decide(before, command, self.definitions)
        if decision.contact is not None and (size := dead_letters.excessive_bytes(record, decision.contact)):
            self._refuse(record, dead_letters.CONTACT_TOO_LARGE, f"the contact would have {size} bytes")
            return
        self._place(contact_id, decision, before)

    def _is_home(self, record: InputRecord, contact_id: ContactId) -> bool:
        """Whether a contact that is not known here belongs here; if not, the record is refused."""
        home = partition_for(contact_id, self._partitions)
        if home != self.index:
            why = f"this contact belongs to partition {home}: use murmur2 of the key"
            self._refuse(record, dead_letters.WRONG_PARTITION, why)
        return home == self.index

    def _define(self, record: InputRecord, item: SegmentDefined) -> None:
        definition = item.definition
        if self.definitions.has(definition.segment_id, definition.version):
            return
        compiled = compile_definition(definition)
        if isinstance(compiled, UnusableDefinition):
            self._refuse(record, compiled.code, compiled.message)
            return
        placed = self.definitions.place(compiled, self.clock, Offset(record.offset))
        if placed is None:
            return
        self._transaction.defined.append(compiled)
        if compiled.state is SegmentState.DELETED:
            self.gone.append(compiled.segment_id)
        row = DefinitionRow(seq=placed.seq, clock=placed.clock, offset=placed.offset, definition=definition)
        self._transaction.control[definition_key(definition.segment_id, definition.version)] = row.encode()
        self.failures.retry()  # it may be the repair

    # Background work: one slice at a time, between live batches; it ends with the contact that makes `changes_max` full

    def wake_due(self, limit: int, changes_max: int = UNBOUNDED) -> int:
        """Fire the deadlines of at most `limit` contacts; how many were looked at."""
        due, full = self.due.take(self.clock, limit), self.tally.changes + changes_max
        self._load(due)
        for looked_at, contact_id in enumerate(due):
            if self.tally.changes >= full:
                self.due.put_back(due[looked_at:], self._overlay, self._transaction.before)
                return looked_at
            contact = self._overlay[contact_id]
            if contact is None or contact.due is None or contact.due > self.clock or contact_id in self.failures.held:
                continue
            self.tally.deadlines_fired += 1
            self._catch_up(contact_id, contact)
        return len(due)

    @property
    def behind_definitions(self) -> bool:
        """Whether some contact may not have passed every definition, and can be brought along."""
        return bool(self.definitions.pending) and not self.failures.alone_are_behind

    @property
    def unseen_definitions(self) -> int:
        """How many definitions a contact may not have passed yet: each is evaluated when it is next looked at."""
        return len(self.definitions.pending) if self.behind_definitions else 0

    @property
    def uncommitted_behind(self) -> int:
        """How many contacts the next `backfill` brings along besides those that it is asked for."""
        return self.changed_contacts if self.behind_definitions and self.definitions.cursor is None else 0

    @property
    def settling(self) -> list[SegmentId]:
        """The segments of which some contacts may still stand at an older definition, in what is committed at least."""
        pending = [placed.segment.segment_id for placed in self.definitions.pending]
        return list(dict.fromkeys([*self._transaction.settled, *pending]))

    @property
    def settled(self) -> float:
        """How much of the pending definitions' backfill is done, held contacts apart. Units: 0 to 1, an estimate."""
        if not self.definitions.pending:
            return 1.0
        if self.definitions.cursor is None:
            return 0.0  # it has not begun
        return min(1.0, self.tally.backfilled / self.contacts) if self.contacts else 0.0

    def backfill(self, limit: int, changes_max: int = UNBOUNDED) -> int:
        """Bring at most `limit` more contacts through the pending definitions; how many were looked at."""
        cursor = self.definitions.cursor or self._begin_backfill()
        if cursor is None:
            return 0
        start = rows.after(rows.contact_key(cursor.after)) if cursor.after else rows.CONTACTS_START
        found, full = self._store.scan(start, rows.CONTACTS_END, limit), self.tally.changes + changes_max
        is_last = len(found) < limit
        for looked_at, (key, row) in enumerate(found):
            if self.tally.changes >= full:
                found, is_last = found[:looked_at], False
                break
            contact_id = rows.contact_of(key)
            before = self._overlay[contact_id] if contact_id in self._overlay else decode_contact(row)
            self._catch_up(contact_id, before)
        if found:
            self.definitions.advance_backfill(rows.contact_of(found[-1][0]))
        self.tally.backfilled += len(found)
        if is_last:
            self._finish_backfill()
        cursor = self.definitions.durable_cursor
        self._transaction.control[CURSOR_KEY] = CursorRow(
            passed=self.definitions.passed,
            target=cursor.target if cursor is not None else None,
            after=cursor.after if cursor is not None else None,
            reached=self.tally.backfilled if cursor is not None else None,
        ).encode()
        return len(found)

    def count_unreadable(self, limit: int) -> int:
        """Look for unreadable values in at most `limit` more committed contacts; how many were looked at."""
        return self.unreadable.count_more(self._store, limit)

    def _begin_backfill(self) -> BackfillCursor | None:
        """Fix the target. A scan of the store would pass by contacts that are not committed yet, so they go first."""
        cursor = self.definitions.begin_backfill()
        if cursor is not None:
            self.tally.backfilled = 0
            for contact_id in list(self._transaction.before):
                self._catch_up(contact_id, self._overlay[contact_id])
        return cursor

    def _finish_backfill(self) -> None:
        if self.failures.held:
            self.failures.alone_are_behind = True
            return
        self._has_gone = True
        self._transaction.settled = self.settling
        for superseded in self.definitions.finish_backfill():
            segment = superseded.segment
            self._transaction.control[definition_key(segment.segment_id, segment.version)] = None

    # The transaction

    @property
    def is_ahead(self) -> bool:
        """Whether a commit would record anything, if only a position."""
        return self.next_offset != self._marks.input or self.has_outputs

    @property
    def has_outputs(self) -> bool:
        """Whether anything but the position waits for a commit."""
        return not self._transaction.is_empty or bool(self.unsent)

    @property
    def changed_contacts(self) -> int:
        """How many contact rows the next commit writes."""
        return len(self._transaction.before)

    @property
    def uncommitted_changes(self) -> int:
        """How many membership changes the next commit holds."""
        return len(self._transaction.changes)

    def take_unsent(self) -> Unsent:
        """The outputs since the last call."""
        unsent, self.unsent = self.unsent, Unsent()
        return unsent

    def seal(self) -> tuple[list[OutputRecord], list[OutputRecord]]:
        """The contact and control records of this transaction: each changed contact once, as it now stands."""
        transaction = self._transaction
        self.contacts += transaction.seal(self._overlay)
        clock = ClockRow(clock=self.clock, offset=self.next_offset, contacts=self.contacts)
        transaction.control[CLOCK_KEY] = clock.encode()
        sealed, control = transaction.sealed.items(), transaction.control.items()
        return list(starmap(OutputRecord, sealed)), list(starmap(OutputRecord, control))

    def committed(self, ends: Mapping[Topic, int], now: InstantMs) -> list[Change]:
        """The sealed transaction is committed: put it into the store, and give its changes.

        `ends` are the changelogs' next offsets; `now` is for the store's age only.
        """
        transaction, self._transaction = self._transaction, Transaction()
        written, dues = transaction.rows(self._overlay, self._derived)
        if self._has_gone:
            known = self.definitions.segment_ids()
            self.gone += history.forget(written, self.counts, known, self._store)
            self._has_gone = not self.counts.keys() <= known
        self.due.committed(dues)
        self._marks = rows.Marks(
            self.next_offset,
            ends.get(Topic.CONTACTS_CHANGELOG, self._marks.contacts_changelog),
            ends.get(Topic.CONTROL_CHANGELOG, self._marks.control_changelog),
            self.contacts,
            self.failures.scan_from(self.due.scan_from),
            now,
        )
        written[rows.MARKS_KEY] = self._marks.encode()
        written.update(self.failures.passed(self.next_offset))
        self._store.write(written)
        if self.on_contacts is not None:
            self.on_contacts(transaction.before)
        self._recent.keep(self._overlay)
        self._overlay = {}
        return transaction.changes

    # Within

    def _load(self, contact_ids: Sequence[ContactId]) -> None:
        """Have each contact in the overlay, from memory if it was there lately, else from the store in one look-up."""
        overlay = self._overlay
        missing: list[ContactId] = []
        for contact_id in contact_ids:
            if contact_id not in overlay:
                known, contact = self._recent.take(contact_id)
                overlay[contact_id] = contact
                if not known:
                    missing.append(contact_id)
        if missing:
            found = self._store.get_many([rows.contact_key(contact_id) for contact_id in missing])
            for contact_id, row in zip(missing, found, strict=True):
                if row is not None:
                    overlay[contact_id] = decode_kept_contact(row)

    def _decide_and_place(self, command: Command) -> None:
        before = self._overlay[command.contact_id]
        self._place(command.contact_id, decide(before, command, self.definitions), before)

    def _place(self, contact_id: ContactId, decision: Decision, before: ContactState | None) -> None:
        """Put a decision's outputs in line and its state into the overlay: all of it, or nothing if it fails."""
        if decision.events:
            outputs = [
                OutputRecord(*encode_membership_change(event, self.index))
                if isinstance(event, Change)
                else OutputRecord(membership_key(event.segment_id, contact_id), None)
                for event in decision.events
            ]
            changes = [event for event in decision.events if isinstance(event, Change)]
            self.unsent.memberships += outputs
            self._transaction.tell(decision.events, changes)
            self.tally.changes += len(changes)
        if self.failures.held:
            self.failures.release(contact_id)
        if not decision.contact_changed:
            return
        contact = self._overlay[contact_id] = decision.contact
        self._transaction.place(contact_id, before, decision)
        if contact is not None and contact.due is not None and (before is None or before.due != contact.due):
            self.due.note(contact.due, contact_id)

    def _refuse(self, record: InputRecord, code: str, message: str) -> None:
        self.unsent.dead_letters.append(dead_letters.dead_letter(record, code, message, self._input_topic, self.index))
        self.tally.dead_lettered += 1

    # What failed: see `failures.py`

    def _evaluation_failed(self, record: InputRecord, item: Input, error: Exception) -> None:
        if isinstance(item, SegmentDefined):
            self.failures.at_definition(record, error)
        held = self.failures.held.get(item.contact_id) if isinstance(item, CONTACT_INPUTS) else None
        self._set_aside(record, item, self.failures.at_record(record, error) if held is None else held.reason)

    def _set_aside(self, record: InputRecord, item: Input, reason: str) -> None:
        """Pass by a record that cannot be evaluated. An erasure is never passed by."""
        if isinstance(item, ContactDelete):
            before = self._overlay[item.contact_id]
            command = Delete(item.contact_id, self.clock, Offset(record.offset))
            self._place(item.contact_id, erase_as_it_stands(before, command, self.definitions), before)
        else:
            self._refuse(record, dead_letters.EVALUATION_FAILED, reason)

    def _catch_up(self, contact_id: ContactId, before: ContactState | None) -> None:
        """Bring a contact to the present, or hold it if that is known to fail."""
        if contact_id in self.failures.held:
            return
        try:
            decision = decide(before, CatchUp(contact_id, self.clock), self.definitions)
        except Exception as error:  # noqa: BLE001 - any failure of evaluation is one contact's, and kept with it
            self.failures.at_contact(contact_id, before.due if before is not None else None, error)
        else:
            self._place(contact_id, decision, before)
