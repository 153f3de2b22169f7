"""The rows of contacts that a store does not hold: on a wiped disk that is every contact of the changelog.

Rule: the same rows and counts as `CommitRows.put_contact`, cheaper, and each kind in the order of its keys if contacts
are added in that of theirs: the store takes sorted rows in half the time.
"""

from __future__ import annotations

from collections import defaultdict

from schemas.contact_rest import decode_contact_rest
from segmentation.model import ORIGIN, Position, SegmentId
from services.evaluator import rows


def furthest(*positions: Position) -> Position:
    """The latest of each: through where one of these contacts has been evaluated at the most."""
    return Position(
        max([each.clock for each in positions]),
        max([each.offset for each in positions]),
        max([each.seq for each in positions]),
    )


class NewContacts:
    """Collects contacts, then puts their rows into a batch."""

    def __init__(self) -> None:
        self._positions = [ORIGIN]
        self._contacts: dict[bytes, bytes | None] = {}
        self._dues: list[bytes] = []
        self._listings: defaultdict[SegmentId, list[tuple[bytes, bytes]]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._contacts)

    def add(self, raw_id: bytes, row: bytes) -> None:
        """Add a contact that the store does not hold. `raw_id` is its id as keys have it.

        Errors: of a row that `encode_contact` did not write nothing is added, and what reading it raises is raised.
        """
        members, due, position = decode_contact_rest(row)
        due_key = rows.raw_due_key(due, raw_id) if due is not None else None
        listings = self._listings
        try:
            for segment_id, since in members.items():
                listings[segment_id].append((raw_id, b"%d" % since))
        except TypeError:
            self._take_back(raw_id)
            raise
        self._contacts[rows.CONTACTS_START + raw_id] = row
        self._positions.append(position)
        if due_key is not None:
            self._dues.append(due_key)

    @property
    def furthest(self) -> Position:
        """Through where one of them has been evaluated at the most."""
        return furthest(*self._positions)

    def put(self, batch: rows.CommitRows) -> None:
        """Put all rows, and count the members."""
        batch.rows.update(self._contacts)
        for segment_id in sorted(self._listings, key=rows.listing_prefix):
            listing = self._listings[segment_id]
            prefix = rows.listing_prefix(segment_id)
            batch.rows.update([(prefix + raw_id, since) for raw_id, since in listing])
            batch.count_of(segment_id).members += len(listing)
        batch.rows.update(dict.fromkeys(sorted(self._dues), b""))

    def _take_back(self, raw_id: bytes) -> None:
        """Forget the memberships of the contact that is being added."""
        for segment_id, listing in list(self._listings.items()):
            if listing and listing[-1][0] == raw_id:
                listing.pop()
            if not listing:
                del self._listings[segment_id]
