"""`contacts-changelog`: one contact's newest state, from which an evaluator rebuilds its store.

Rule: everything an evaluator derives (deadline rows, listings, counts) follows from these rows. `codec.py` has the
hand-written encoder and decoder that the evaluator uses.
"""

from __future__ import annotations

from schemas.record import Record, WireAttributeName, WireInstant, WireSegmentId, WireValue
from segmentation.model import UNKNOWN_BIRTH


class ContactRow(Record):
    """A contact as of (clock, offset, seq) of its partition's log."""

    attributes: dict[WireAttributeName, WireValue]
    members: dict[WireSegmentId, WireInstant]
    left: list[WireSegmentId]
    clock: WireInstant
    offset: int
    seq: int
    due: WireInstant | None
    born: int = UNKNOWN_BIRTH
    """The offset of the write that made the contact exist: one that was erased and came back has a later one."""
