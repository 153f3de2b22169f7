"""Which contacts have a deadline at or before the clock: the store's deadline rows, and what is not committed yet.

Rule: it finds candidates cheaply and may name a contact whose deadline has moved since; the caller looks at the
contact's own state. Once every row through an instant has been taken, the scan never looks there again, because a scan
over the marks of deleted rows costs more than all the rest.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from heapq import heappop, heappush

from segmentation.model import ContactId, ContactState, InstantMs
from services.evaluator.ports import Store
from services.evaluator.rows import DUE_END, after, due_key, due_of, due_through

_NEVER = InstantMs(1 << 62)
_UNKNOWN = InstantMs(-(1 << 62))


class DueContacts:
    """The contacts to wake, per partition. `scan_from` is a key before which every deadline row is done with."""

    def __init__(self, store: Store, scan_from: bytes) -> None:
        self._store = store
        self.scan_from = scan_from
        self._head = _UNKNOWN  # no stored row at or after `scan_from` is due before it
        self._uncommitted: list[tuple[InstantMs, ContactId]] = []

    def note(self, due: InstantMs, contact_id: ContactId) -> None:
        """A contact has a new deadline that is not in the store yet."""
        heappush(self._uncommitted, (due, contact_id))

    def any_due(self, clock: InstantMs) -> bool:
        """Whether `take` may find something. Cost: two comparisons."""
        return self._head <= clock or bool(self._uncommitted and self._uncommitted[0][0] <= clock)

    def take(self, clock: InstantMs, limit: int) -> list[ContactId]:
        """At most `limit` contacts that may be due; every one must be looked at before the next commit, or put back."""
        found: list[ContactId] = []
        while self._uncommitted and len(found) < limit and self._uncommitted[0][0] <= clock:
            found.append(heappop(self._uncommitted)[1])
        wanted = limit - len(found)
        if wanted and self._head <= clock:
            rows = self._store.scan(self.scan_from, due_through(clock), wanted)
            if rows:
                self.scan_from = after(rows[-1][0])
                found.extend(due_of(key)[1] for key, _ in rows)
            if len(rows) < wanted:
                self.scan_from = max(self.scan_from, due_through(clock))
                following = self._store.scan(self.scan_from, DUE_END, 1)
                self._head = due_of(following[0][0])[0] if following else _NEVER
        return found

    def put_back(
        self,
        contact_ids: Iterable[ContactId],
        contacts: Mapping[ContactId, ContactState | None],
        uncommitted: Container[ContactId],
    ) -> None:
        """The last of what `take` gave was not looked at. Only what is uncommitted has no row, or another."""
        for contact_id in contact_ids:
            contact = contacts[contact_id]
            if contact is not None and contact.due is not None:
                (self.note if contact_id in uncommitted else self.look_again)(contact.due, contact_id)

    def lateness_ms(self, clock: InstantMs) -> int:
        """By how much the clock is past the earliest deadline that has not fired; 0 if none is due."""
        earliest = self._uncommitted[0][0] if self._uncommitted else _NEVER
        if self._head <= clock:
            rows = self._store.scan(self.scan_from, due_through(clock), 1)
            earliest = min([earliest, *(due_of(key)[0] for key, _ in rows)])
        return max(0, clock - earliest)

    def committed(self, dues: Iterable[tuple[InstantMs, ContactId]]) -> None:
        """The uncommitted deadlines, `dues` among them, are rows of the store now."""
        self._uncommitted.clear()
        # Keys sort as the pairs do: text compares by code point, as its UTF-8 does.
        first = min(dues, default=None)
        if first is not None:
            self.look_again(*first)

    def look_again(self, due: InstantMs, contact_id: ContactId) -> None:
        """There is a row of the store where the scan may have been before."""
        if due < self._head:
            self._head = due
        key = due_key(due, contact_id)
        if key < self.scan_from:
            self.scan_from = key
