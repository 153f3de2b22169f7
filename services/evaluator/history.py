"""The latest changes of each segment and of each contact, for people to look at; bounded, and begun anew with a store.

Shape: `h` segment id `|` slot → one change · `g` contact id → a line that lists the segments whose histories name the
contact, then a line a change, oldest first. Rule: an erased contact is named by no row, whatever became of its segments
and whether a commit or a recovery brings the erasure; the first line of its own row says where to look. A segment that
is gone takes its own history along, and stays in those of its contacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import NamedTuple

import orjson

from segmentation.model import CauseKind, Change, ChangeKind, ContactId, SegmentId, Version
from services.evaluator.ports import Store
from services.evaluator.rows import CommitRows, Count, count_key

CONTACT_HISTORY_START = b"g"
SEGMENT_HISTORY_MAX = 1_000
"""Latest changes kept of one segment in one partition."""
CONTACT_HISTORY_MAX = 20
"""Latest changes kept of one contact."""
ERASED_AT_ONCE = 100
FORGOTTEN_AT_ONCE = 4
"""Segments that are gone, whose histories one commit removes: a few milliseconds."""
CONTACT_PLACE = 2
"""Where a row of `encode_change` has the contact."""


class KeptChange(NamedTuple):
    """A change of a history, and whether the contact had never been in its segment before."""

    change: Change
    is_first: bool


def contact_history_key(contact_id: ContactId) -> bytes:
    """The key of a contact's latest changes."""
    return CONTACT_HISTORY_START + contact_id.encode()


def segment_history_prefix(segment_id: SegmentId) -> bytes:
    """What the keys of a segment's latest changes begin with."""
    return b"h%s|" % segment_id.encode()


def segment_history_key(segment_id: SegmentId, number: int) -> bytes:
    """The slot of a segment's `number`-th change; a later change takes the slot of an old one, so slots are bounded."""
    return b"h%s|%05d" % (segment_id.encode(), number % SEGMENT_HISTORY_MAX)


def put(
    batch: CommitRows,
    changes: Sequence[Change],
    store: Store,
    is_new: Callable[[Change], bool],
    began_again: Set[Change] = frozenset(),
) -> None:
    """Add changes to the histories, after what the batch erases of them.

    `is_new` says whether a change's contact had never been in its segment before this batch; `began_again` are those
    before which the pair was erased within it.
    """
    by_contact: dict[ContactId, list[bytes]] = {}
    segments_of: dict[ContactId, dict[SegmentId, None]] = {}
    for change in changes:
        segment_id = change.segment_id
        segments = segments_of.setdefault(change.contact_id, {})
        is_first = change in began_again if began_again else False
        line = encode_change(change, is_first or (segment_id not in segments and is_new(change)))
        segments[segment_id] = None
        count = batch.count_of(segment_id)
        batch.rows[segment_history_key(segment_id, count.changes)] = line
        count.changes += 1
        if change.kind is ChangeKind.ENTER:
            count.entered += 1
        else:
            count.exited += 1
        by_contact.setdefault(change.contact_id, []).append(line)
    keys = [contact_history_key(contact_id) for contact_id in by_contact]
    found = zip(keys, store.get_many(keys), by_contact.values(), segments_of.values(), strict=True)
    for key, present, added, segments in found:
        named, kept = ([], []) if present is None or key in batch.rows else _lines(present)
        lines = [*kept, *added][-CONTACT_HISTORY_MAX:]
        # A segment without a count has no history any more: kept in the list, those of the past would fill it.
        naming = [each for each in dict.fromkeys(named) | segments if each in batch.counts]
        batch.rows[key] = b"\n".join([orjson.dumps(naming), *lines])


def erase(batch: CommitRows, contact_ids: Sequence[ContactId], store: Store) -> None:
    """Leave no row that names these contacts. Cost: that of `erasing`, in one go."""
    for _ in erasing(batch, contact_ids, store):
        pass


def erasing(batch: CommitRows, contact_ids: Sequence[ContactId], store: Store) -> Iterator[None]:
    """The same in pieces of some milliseconds, for who has the time to let others work between them.

    Cost: one scan of the bounded history of each segment that ever had a change of one of the contacts, however many
    they are.
    """
    gone = frozenset(contact_ids)
    segments: dict[SegmentId, None] = {}
    for start in range(0, len(contact_ids), ERASED_AT_ONCE):
        keys = [contact_history_key(contact_id) for contact_id in contact_ids[start : start + ERASED_AT_ONCE]]
        for key, row in zip(keys, store.get_many(keys), strict=True):
            if row is not None:
                batch.rows[key] = None
                segments.update(dict.fromkeys(_lines(row)[0]))
        yield
    for segment_id in segments:
        batch.rows.update(dict.fromkeys(_naming(gone, segment_id, store)))
        yield


def forget(
    written: dict[bytes, bytes | None], counts: dict[SegmentId, Count], known: Set[SegmentId], store: Store
) -> list[SegmentId]:
    """Have a commit's rows remove the history and the count of some segments that are not known; which they are.

    One that the commit itself has a change of waits for the next. Cost: `FORGOTTEN_AT_ONCE` bounded histories read.
    """
    gone = [each for each in counts if each not in known and count_key(each) not in written][:FORGOTTEN_AT_ONCE]
    for segment_id in gone:
        prefix = segment_history_prefix(segment_id)
        written.update(dict.fromkeys(key for key, _ in store.scan(prefix, prefix + b"\xff", SEGMENT_HISTORY_MAX)))
        written[count_key(segment_id)] = None
        del counts[segment_id]
    return gone


def kept_of_contact(store: Store, contact_id: ContactId) -> list[KeptChange]:
    """A contact's kept changes, oldest first."""
    row = store.get_many([contact_history_key(contact_id)])[0]
    return [] if row is None else [decode_change(line) for line in _lines(row)[1]]


def kept_of_segment(store: Store, segment_id: SegmentId) -> list[KeptChange]:
    """A segment's kept changes in this partition, in no particular order."""
    prefix = segment_history_prefix(segment_id)
    return [decode_change(row) for _, row in store.scan(prefix, prefix + b"\xff", SEGMENT_HISTORY_MAX)]


def encode_change(change: Change, is_first: bool) -> bytes:
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
            is_first,
        ]
    )


def decode_change(row: bytes) -> KeptChange:
    """Read a change of a history row."""
    segment_id, version, contact_id, kind, at, offset, cause, index, count, is_first = orjson.loads(row)
    change = Change(
        segment_id,
        version,
        contact_id,
        ChangeKind(kind),
        Version(at, offset),
        CauseKind(cause),
        index,
        count,
    )
    return KeptChange(change, is_first)


def _lines(row: bytes) -> tuple[list[SegmentId], list[bytes]]:
    named, *changes = row.split(b"\n")
    return orjson.loads(named), changes


def _naming(gone: Set[ContactId], segment_id: SegmentId, store: Store) -> Iterable[bytes]:
    """The keys of a segment's history rows that name one of these contacts."""
    prefix = segment_history_prefix(segment_id)
    for key, row in store.scan(prefix, prefix + b"\xff", SEGMENT_HISTORY_MAX):
        if orjson.loads(row)[CONTACT_PLACE] in gone:
            yield key
