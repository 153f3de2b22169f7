"""The latest changes of each segment and of each contact, for people to look at; bounded, and begun anew with a store.

Shape: `h` segment id `|` slot → one change · `g` contact id → a line that lists the segments whose histories name the
contact, then a line a change, oldest first. Rule: an erased contact is named by no row, whatever became of its segments
and whether a commit or a recovery brings the erasure; the first line of its own row says where to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from segmentation.model import CauseKind, Change, ChangeKind, ContactId, SegmentId, Version
from services.evaluator.ports import Store
from services.evaluator.rows import CommitRows

CONTACT_HISTORY_START = b"g"
SEGMENT_HISTORY_MAX = 1_000
"""Latest changes kept of one segment in one partition."""
CONTACT_HISTORY_MAX = 20
"""Latest changes kept of one contact."""


def contact_history_key(contact_id: ContactId) -> bytes:
    """The key of a contact's latest changes."""
    return CONTACT_HISTORY_START + contact_id.encode()


def segment_history_prefix(segment_id: SegmentId) -> bytes:
    """What the keys of a segment's latest changes begin with."""
    return b"h%s|" % segment_id.encode()


def segment_history_key(segment_id: SegmentId, number: int) -> bytes:
    """The slot of a segment's `number`-th change; a later change takes the slot of an old one, so slots are bounded."""
    return b"h%s|%05d" % (segment_id.encode(), number % SEGMENT_HISTORY_MAX)


def put(batch: CommitRows, changes: Sequence[Change], store: Store) -> None:
    """Add changes to the histories, after what the batch erases of them."""
    by_contact: dict[ContactId, list[Change]] = {}
    for change in changes:
        count = batch.count_of(change.segment_id)
        batch.rows[segment_history_key(change.segment_id, count.changes)] = encode_change(change)
        count.changes += 1
        by_contact.setdefault(change.contact_id, []).append(change)
    keys = [contact_history_key(contact_id) for contact_id in by_contact]
    for key, present, added in zip(keys, store.get_many(keys), by_contact.values(), strict=True):
        named, kept = ([], []) if present is None or key in batch.rows else _lines(present)
        segments = dict.fromkeys([*named, *(change.segment_id for change in added)])
        lines = [*kept, *map(encode_change, added)][-CONTACT_HISTORY_MAX:]
        batch.rows[key] = b"\n".join([orjson.dumps(list(segments)), *lines])


def erase(batch: CommitRows, contact_ids: Sequence[ContactId], store: Store) -> None:
    """Leave no row that names these contacts.

    Cost: one scan of the bounded history of each segment that ever had a change of a contact; erasures are rare.
    """
    keys = [contact_history_key(contact_id) for contact_id in contact_ids]
    for contact_id, key, row in zip(contact_ids, keys, store.get_many(keys), strict=True):
        if row is None:
            continue
        batch.rows[key] = None
        for segment_id in _lines(row)[0]:
            batch.rows.update(dict.fromkeys(_naming(contact_id, segment_id, store)))


def contact_changes(row: bytes) -> list[Change]:
    """The changes of a contact's history row, oldest first."""
    return [decode_change(line) for line in _lines(row)[1]]


def encode_change(change: Change) -> bytes:
    """One change as a history row keeps it."""
    return orjson.dumps(
        [
            change.segment_id,
            change.segment_version,
            change.contact_id,
            change.kind,
            change.version.at,
            change.version.offset,
            change.cause,
            change.index,
            change.count,
        ]
    )


def decode_change(row: bytes) -> Change:
    """Read a change of a history row."""
    segment_id, version, contact_id, kind, at, offset, cause, index, count = orjson.loads(row)
    return Change(
        segment_id,
        version,
        contact_id,
        ChangeKind(kind),
        Version(at, offset),
        CauseKind(cause),
        index,
        count,
    )


def _lines(row: bytes) -> tuple[list[SegmentId], list[bytes]]:
    named, *changes = row.split(b"\n")
    return orjson.loads(named), changes


def _naming(contact_id: ContactId, segment_id: SegmentId, store: Store) -> Iterable[bytes]:
    """The keys of a segment's history rows that name a contact."""
    prefix = segment_history_prefix(segment_id)
    name = contact_id.encode()
    for key, row in store.scan(prefix, prefix + b"\xff", SEGMENT_HISTORY_MAX):
        # An id with characters that JSON escapes cannot be searched for as it is.
        if (name in row or b"\\" in row) and decode_change(row).contact_id == contact_id:
            yield key
