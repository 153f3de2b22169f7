"""What one transaction of a partition has done so far, and the rows that it leaves in the store.

Rule: it remembers each changed contact as it stood before the transaction, so that everything derived from contacts is
brought along by the difference. One is begun when the last has been committed, and none is used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from schemas.codec import encode_contact
from segmentation.decide import Decision
from segmentation.expression.compiler import CompiledSegment
from segmentation.model import AttributeName, Change, ContactId, ContactState, Erasure, InstantMs, SegmentId
from services.evaluator import history, rows
from services.evaluator.ports import Store
from services.evaluator.unreadable import UnreadableValues, attributes_of


class Derived(NamedTuple):
    """What rows are derived from besides contacts, and brought along with them."""

    counts: dict[SegmentId, rows.Count]
    unreadable: UnreadableValues
    store: Store


class Transaction:
    """The changes since the last commit.

    Shape: `before` is each changed contact's committed state, None if there was none; `control` the control rows to
    write, None to delete one; `defined` the definitions placed; `settled` the segments whose backfill it ended;
    `sealed` the changed contacts' rows, once it is sealed.
    """

    __slots__ = (
        "_began_again",
        "_erased",
        "_forgotten",
        "_written",
        "before",
        "changes",
        "control",
        "defined",
        "sealed",
        "settled",
    )

    def __init__(self) -> None:
        self.before: dict[ContactId, ContactState | None] = {}
        self.changes: list[Change] = []
        self.control: dict[bytes, bytes | None] = {}
        self.defined: list[CompiledSegment] = []
        self.settled: list[SegmentId] = []
        self.sealed: dict[bytes, bytes | None] = {}
        self._written: dict[ContactId, list[AttributeName] | None] = {}  # what writes changed; None for everything
        self._erased: dict[ContactId, int] = {}  # how many of the changes came before each erasure
        self._forgotten: set[tuple[SegmentId, ContactId]] = set()  # erased, and not entered since
        self._began_again: set[Change] = set()  # the first change after its pair was erased

    @property
    def is_empty(self) -> bool:
        """Whether a commit would write no row of its own."""
        return not (self.before or self.control)

    def tell(self, events: Sequence[Change | Erasure], changes: Sequence[Change]) -> None:
        """Take note of a decision's events, and of the changes among them."""
        if self._forgotten or len(events) != len(changes):
            self._follow(events)
        self.changes += changes

    def _follow(self, events: Iterable[Change | Erasure]) -> None:
        for event in events:
            pair = event.segment_id, event.contact_id
            if isinstance(event, Erasure):
                self._forgotten.add(pair)
            elif pair in self._forgotten:
                self._forgotten.remove(pair)
                self._began_again.add(event)

    def place(self, contact_id: ContactId, before: ContactState | None, decision: Decision) -> None:
        """Take note of a decision that changed a contact, whose changes are noted already."""
        contact = decision.contact
        if before is None or contact is None:
            self.before.setdefault(contact_id, before)
            self._written[contact_id] = None
            if contact is None:
                self._erased[contact_id] = len(self.changes)
        elif contact_id not in self.before:
            self.before[contact_id] = before
            self._written[contact_id] = list(decision.changed)
        elif (written := self._written[contact_id]) is not None:
            written += decision.changed

    def seal(self, contacts: Mapping[ContactId, ContactState | None]) -> int:
        """Encode each changed contact once, as it now stands in `contacts`; how many more contacts there are."""
        self.sealed = sealed = {}
        more = 0
        for contact_id, before in self.before.items():
            contact = contacts[contact_id]
            sealed[contact_id.encode()] = encode_contact(contact) if contact is not None else None
            more += (contact is not None) - (before is not None)
        return more

    def rows(
        self, contacts: Mapping[ContactId, ContactState | None], derived: Derived
    ) -> tuple[dict[bytes, bytes | None], list[tuple[InstantMs, ContactId]]]:
        """The rows of a sealed transaction, and when the contacts that it changed are due next."""
        counts, unreadable, store = derived
        batch = rows.CommitRows(counts)
        dues: list[tuple[InstantMs, ContactId]] = []
        for (contact_id, before), (raw_id, row) in zip(self.before.items(), self.sealed.items(), strict=True):
            contact = contacts[contact_id]
            batch.put_contact(raw_id, before, contact, row)
            unreadable.change(contact_id, attributes_of(before), attributes_of(contact), self._written[contact_id])
            if contact is not None and contact.due is not None:
                dues.append((contact.due, contact_id))
        if self._erased:
            history.erase(batch, list(self._erased), store)
        if self.changes:
            history.put(batch, self._remembered(), store, self._is_new, self._began_again)
        batch.put_counts()
        for segment in self.defined:
            unreadable.define(segment)
        unreadable.put(batch.rows)
        for key, row in self.control.items():
            batch.rows[rows.control_key(key)] = row
        return batch.rows, dues

    def _remembered(self) -> list[Change]:
        """The changes without those before an erasure: of a contact that came back, only its present life is kept."""
        if not self._erased:
            return self.changes
        began = self._erased.get
        return [change for place, change in enumerate(self.changes) if place >= began(change.contact_id, 0)]

    def _is_new(self, change: Change) -> bool:
        """Whether the contact had never been in the segment before this transaction."""
        before = self.before[change.contact_id]
        return before is None or not (change.segment_id in before.members or change.segment_id in before.left)
