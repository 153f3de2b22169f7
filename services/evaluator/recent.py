"""The contacts of the last transactions, decoded: most writes concern contacts that were written a moment ago.

Rule: it holds committed states only, bounded, the longest untouched leaving first. A state is never changed in place,
so it can be handed out as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from segmentation.model import ContactId, ContactState

RECENT_CONTACTS_MAX = 4_000
"""Per partition; some kilobytes each."""


class RecentContacts:
    """Committed states by contact; None for a contact known to be absent."""

    def __init__(self, limit: int = RECENT_CONTACTS_MAX) -> None:
        self._limit = limit
        self._contacts: dict[ContactId, ContactState | None] = {}

    def take(self, contact_id: ContactId) -> tuple[bool, ContactState | None]:
        """Remove and give a contact, and whether it was known; its transaction brings it back."""
        try:
            return True, self._contacts.pop(contact_id)
        except KeyError:
            return False, None

    def keep(self, contacts: Mapping[ContactId, ContactState | None]) -> None:
        """Remember the contacts of a committed transaction."""
        self._contacts.update(contacts)
        excess = len(self._contacts) - self._limit
        if excess > 0:
            for contact_id in [contact_id for contact_id, _ in zip(self._contacts, range(excess), strict=False)]:
                del self._contacts[contact_id]
