"""The rows of a partition's local store: how their keys sort, and which rows follow from one contact's state.

Shape, by first byte: `c` contact id → the contact's changelog row · `t` big-endian due instant, contact id → nothing ·
`s` segment id `|` contact id → the instant it entered · `n` segment id → how many members and changes · `h` and `g` →
latest changes, see `history.py` · `u` reading → unreadable values, see `unreadable.py` · `k` control key → the control
row · `m` → marks · `x` → the offset that failed · `x` place in the code → how work failed there. An id that may hold
any byte stands last in its key, and a segment id cannot hold `|`. Rule: rows but `c`, `k`, `m` and `x` are derived, in
the same write as the contact's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from segmentation.model import ContactId, ContactState, InstantMs, SegmentId

CONTACTS_START, CONTACTS_END = b"c", b"d"
DUE_START, DUE_END = b"t", b"u"
LISTINGS_START, LISTINGS_END = b"s", b"t"
COUNTS_START, COUNTS_END = b"n", b"o"
UNREADABLE_START, UNREADABLE_END = b"u", b"v"
CONTROLS_START, CONTROLS_END = b"k", b"l"
MARKS_KEY = b"m"
FAILED_PLACES = b"x"
FAILED_RECORDS_START, FAILED_RECORDS_END = b"y", b"z"
FORMAT = 5
"""Raised when rows change shape: a store of another format is rebuilt from the changelog."""

_NO_MEMBERS: Mapping[SegmentId, InstantMs] = {}
_NUMBER_BYTES = 8
_SIGN = 1 << 63  # so that instants before 1970 sort first


class Marks(NamedTuple):
    """Where a store stands. The two changelog offsets are the next to read; `input` is the next input record.

    `control_changelog` is right behind the last control record that the store holds.
    `due_from` is the key before which every deadline row is done with, so that a scan skips their deletion marks.
    `written` is when, by the evaluator's clock, a commit last reached the store, or when the store was begun.
    """

    input: int
    contacts_changelog: int
    control_changelog: int
    contacts: int
    due_from: bytes
    written: InstantMs

    def encode(self) -> bytes:
        """The marks row."""
        return orjson.dumps([FORMAT, *self[:4], self.due_from.hex(), self.written])

    @classmethod
    def decode(cls, row: bytes) -> Marks | None:
        """Read the marks row; None if another format wrote it."""
        written, *rest = orjson.loads(row)
        if written != FORMAT:
            return None
        next_input, contacts_changelog, control_changelog, contacts, due_from, at = rest
        return cls(next_input, contacts_changelog, control_changelog, contacts, bytes.fromhex(due_from), at)


def failed_place_key(place: str) -> bytes:
    """The key of a failure of work that no record asked for: where in the code."""
    return FAILED_PLACES + place.encode()


def failed_record_key(offset: int) -> bytes:
    """The key of a failure at an input record."""
    return FAILED_RECORDS_START + offset.to_bytes(_NUMBER_BYTES, "big")


def failed_record_of(key: bytes) -> int:
    """The offset in such a key."""
    return int.from_bytes(key[len(FAILED_RECORDS_START) :], "big")


EMPTY = Marks(0, 0, 0, 0, DUE_START, InstantMs(0))


def contact_key(contact_id: ContactId) -> bytes:
    """The key of a contact's row. Keys sort as the ids' bytes do."""
    return CONTACTS_START + contact_id.encode()


def contact_of(key: bytes) -> ContactId:
    """The contact of a contact row."""
    return ContactId(key[1:].decode())


def after(key: bytes) -> bytes:
    """The smallest key greater than `key`."""
    return key + b"\0"


def due_key(due: InstantMs, contact_id: ContactId) -> bytes:
    """The key of a deadline row. Keys sort by instant, then contact."""
    return raw_due_key(due, contact_id.encode())


def raw_due_key(due: InstantMs, raw_id: bytes) -> bytes:
    """The same, of a contact's id as keys have it."""
    return DUE_START + (due + _SIGN).to_bytes(_NUMBER_BYTES, "big") + raw_id


def due_through(clock: InstantMs) -> bytes:
    """The first key after every deadline at or before `clock`."""
    return DUE_START + (clock + 1 + _SIGN).to_bytes(_NUMBER_BYTES, "big")


def due_of(key: bytes) -> tuple[InstantMs, ContactId]:
    """The instant and the contact of a deadline row."""
    return InstantMs(int.from_bytes(key[1:9], "big") - _SIGN), ContactId(key[9:].decode())


def listing_prefix(segment_id: SegmentId) -> bytes:
    """What every listing key of a segment begins with."""
    return b"s%s|" % segment_id.encode()


def listing_key(segment_id: SegmentId, contact_id: ContactId) -> bytes:
    """The key of a listing row. Keys sort by segment, then contact."""
    return f"s{segment_id}|{contact_id}".encode()


def count_key(segment_id: SegmentId) -> bytes:
    """The key of a segment's counts."""
    return COUNTS_START + segment_id.encode()


@dataclass(slots=True)
class Count:
    """A segment in one partition: its members now, and the changes ever written to this store.

    `entered` and `exited` are since the owner started, and not kept.
    """

    members: int = 0
    changes: int = 0
    entered: int = 0
    exited: int = 0

    def encode(self) -> bytes:
        """The row."""
        return b"%d %d" % (self.members, self.changes)

    @classmethod
    def decode(cls, row: bytes) -> Count:
        """Read the row."""
        members, changes = row.split()
        return cls(int(members), int(changes))


def control_key(key: bytes) -> bytes:
    """The key of a control row."""
    return CONTROLS_START + key


class CommitRows:
    """The rows of one commit. `counts`, of every segment in this partition, is brought along in place."""

    def __init__(self, counts: dict[SegmentId, Count]) -> None:
        self.rows: dict[bytes, bytes | None] = {}
        self.counts = counts
        self._counted: set[SegmentId] = set()

    def count_of(self, segment_id: SegmentId) -> Count:
        """A segment's counts, to be changed in place; `put_counts` puts them into the batch."""
        self._counted.add(segment_id)
        return self.counts.setdefault(segment_id, Count())

    def put_counts(self) -> None:
        """Add each changed count once; call it last."""
        for segment_id in self._counted:
            self.rows[count_key(segment_id)] = self.counts[segment_id].encode()

    def put_contact(
        self, raw_id: bytes, before: ContactState | None, now: ContactState | None, row: bytes | None
    ) -> None:
        """Add a contact's row and what is derived from it. `raw_id` is the contact's id as keys have it."""
        self.rows[CONTACTS_START + raw_id] = row
        due_before, members_before = (before.due, before.members) if before is not None else (None, _NO_MEMBERS)
        due_now, members_now = (now.due, now.members) if now is not None else (None, _NO_MEMBERS)
        if due_before != due_now:
            if due_before is not None:
                self.rows[raw_due_key(due_before, raw_id)] = None
            if due_now is not None:
                self.rows[raw_due_key(due_now, raw_id)] = b""
        if members_before is not members_now:
            self._put_listings(ContactId(raw_id.decode()), members_before, members_now)

    def _put_listings(
        self, contact_id: ContactId, before: Mapping[SegmentId, InstantMs], now: Mapping[SegmentId, InstantMs]
    ) -> None:
        for segment_id in before.keys() - now.keys():
            self.rows[listing_key(segment_id, contact_id)] = None
            self.count_of(segment_id).members -= 1
        for segment_id, since in now.items():
            if segment_id not in before:
                self.count_of(segment_id).members += 1
            elif before[segment_id] == since:
                continue
            self.rows[listing_key(segment_id, contact_id)] = b"%d" % since
