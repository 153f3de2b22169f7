"""What a partition's committed state answers: contacts, members, changes, counts, previews.

Rule: reads the store, which is always a committed prefix of the log, and never the overlay; returns plain data for the
wire. Every answer is bounded; what looks at all contacts is in `previews.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.codec import decode_contact, encode_membership_change
from segmentation.expression.compiler import CompiledSegment
from segmentation.expression.explain import explain as explain_expression
from segmentation.expression.syntax import Expression
from segmentation.model import Attributes, Change, ContactId, ContactState, SegmentId, SegmentState
from services.evaluator import history, rows
from services.evaluator.outcomes import Outcomes
from services.evaluator.partition import Partition
from services.evaluator.ports import Store
from services.evaluator.previews import Previews

PAGE_MAX = 1_000
COST_CONTACTS_MAX = 500
WHOLE_DIGITS_MAX = 18


@dataclass(slots=True)
class ServedPartition:
    """One partition that this process works, as its readers see it."""

    partition: Partition
    store: Store
    outcomes: Outcomes
    previews: Previews


def read_contact(served: ServedPartition, contact_id: ContactId) -> ContactState | None:
    """A contact as last committed."""
    row = served.store.get_many([rows.contact_key(contact_id)])[0]
    return decode_contact(row) if row is not None else None


def attributes_of(served: ServedPartition, contact_ids: Sequence[ContactId]) -> dict[ContactId, Attributes]:
    """The attributes of those contacts that exist."""
    found = served.store.get_many([rows.contact_key(contact_id) for contact_id in contact_ids])
    present = zip(contact_ids, found, strict=True)
    return {contact_id: decode_contact(row).attributes for contact_id, row in present if row is not None}


def list_contacts(served: ServedPartition, prefix: str, after: str, limit: int) -> list[ContactId]:
    """Ids in byte order that begin with `prefix`, after `after`."""
    begin = rows.contact_key(ContactId(prefix))
    start = max(begin, rows.after(rows.contact_key(ContactId(after)))) if after else begin
    end = begin + b"\xff" if prefix else rows.CONTACTS_END
    return [rows.contact_of(key) for key, _ in served.store.scan(start, end, min(limit, PAGE_MAX))]


def list_members(served: ServedPartition, segment_id: SegmentId, after: str, limit: int) -> list[tuple[str, int]]:
    """Members in byte order of their ids, after `after`, each with the instant it entered."""
    prefix = rows.listing_prefix(segment_id)
    start = rows.after(rows.listing_key(segment_id, ContactId(after))) if after else prefix
    found = served.store.scan(start, prefix + b"\xff", min(limit, PAGE_MAX))
    return [(key[len(prefix) :].decode(), int(value)) for key, value in found]


class ChangeCursor(NamedTuple):
    """A change's place in a list: its version, then the id that tells changes of one version apart there.

    That is the segment's among one contact's changes, and the contact's among one segment's.
    """

    at: int
    offset: int
    name: str

    def encode(self) -> str:
        """As a page's `next` holds it."""
        return f"{self.at}.{self.offset}.{self.name}"

    @classmethod
    def decode(cls, text: str) -> ChangeCursor | None:
        """Read what `encode` wrote; None if it did not."""
        at, _, rest = text.partition(".")
        offset, _, name = rest.partition(".")
        if not (is_whole(at) and is_whole(offset) and name):
            return None
        return cls(int(at), int(offset), name)


def is_whole(text: str) -> bool:
    """Whether the text is a whole number of a bounded length."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) <= WHOLE_DIGITS_MAX


def contact_changes(
    served: ServedPartition, contact_id: ContactId, after: ChangeCursor | None, limit: int
) -> tuple[list[bytes], str | None]:
    """A page of a contact's latest changes as membership records, newest first, and the cursor of the next page."""
    kept = history.kept_of_contact(served.store, contact_id)
    places = {ChangeCursor(*each.change.version, each.change.segment_id): each.change for each in kept}
    return _page(served, places, after, limit)


def segment_changes(
    served: ServedPartition, segment_id: SegmentId, after: ChangeCursor | None, limit: int
) -> tuple[list[bytes], str | None]:
    """A page of a segment's latest changes in this partition, as `contact_changes` gives a contact's."""
    kept = history.kept_of_segment(served.store, segment_id)
    places = {ChangeCursor(*each.change.version, each.change.contact_id): each.change for each in kept}
    return _page(served, places, after, limit)


def _page(
    served: ServedPartition, places: Mapping[ChangeCursor, Change], after: ChangeCursor | None, limit: int
) -> tuple[list[bytes], str | None]:
    found = sorted((place for place in places if after is None or place < after), reverse=True)
    records = [as_record(places[place], served) for place in found[:limit]]
    return records, found[limit - 1].encode() if len(found) > limit else None


def is_known(served: ServedPartition, segment_id: SegmentId) -> bool:
    """Whether the segment is in force in this partition."""
    return segment_id in served.partition.definitions.catalogue.segments


def unreadable(served: ServedPartition) -> list[dict[str, Any]]:
    """The values that the segments' conditions cannot read, by attribute and reading."""
    return [count._asdict() for count in served.partition.unreadable.counts()]


def evaluation_cost(
    served: ServedPartition, segment: CompiledSegment, monotonic: Callable[[], float]
) -> tuple[float, int]:
    """How long the segment's whole condition takes for one contact, and over how many it was measured.

    Units: microseconds, the mean over the partition's first contacts. A write costs less: only what it touches is
    looked at.
    """
    found = served.store.scan(rows.CONTACTS_START, rows.CONTACTS_END, COST_CONTACTS_MAX)
    contacts = [decode_contact(row) for _, row in found]
    now = served.partition.clock
    began = monotonic()
    for contact in contacts:
        segment.holds(contact.attributes, now, contact.members)
    took_us = (monotonic() - began) * 1e6
    return took_us / max(1, len(contacts)), len(contacts)


def as_record(change: Change, served: ServedPartition) -> bytes:
    """The change as its record on the memberships topic."""
    return encode_membership_change(change, served.partition.index)[1]


def counts(served: ServedPartition) -> dict[str, Any]:
    """What the partition holds, and how far pending definitions have come."""
    partition = served.partition
    return {
        "clock_ms": partition.clock,
        "offset": partition.next_offset,
        "contacts": partition.contacts,
        "segments": {segment_id: count.members for segment_id, count in partition.counts.items()},
        "settling": dict.fromkeys(partition.settling, partition.settled),
    }


def explain(
    served: ServedPartition, contact_id: ContactId, contact: ContactState, segment: CompiledSegment
) -> dict[str, Any]:
    """Why the contact is in the segment or not, since when, and until when if nothing is written."""
    expressions = _active_references(served, segment)
    explanation = explain_expression(
        segment.expression, contact.attributes, served.partition.clock, contact.members, expressions
    )
    return {
        "contact_id": contact_id,
        "segment_id": segment.segment_id,
        "segment_version": segment.version,
        "state": segment.state,
        "member": segment.segment_id in contact.members,
        "since_ms": contact.members.get(segment.segment_id),
        **explanation.to_json(),
    }


def _active_references(served: ServedPartition, segment: CompiledSegment) -> dict[SegmentId, Expression]:
    """The expressions of the active segments that a segment refers to, directly or not."""
    known = served.partition.definitions.catalogue.segments
    found: dict[SegmentId, Expression] = {}
    waiting = list(segment.references)
    while waiting:
        other = known.get(waiting.pop())
        if other is not None and other.state is SegmentState.ACTIVE and other.segment_id not in found:
            found[other.segment_id] = other.expression
            waiting.extend(other.references)
    return found
