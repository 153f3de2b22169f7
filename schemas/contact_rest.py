"""A contact's memberships, next deadline and position, read without its attributes: they are most of the row.

Rule: equal to what `codec.decode_contact` reads of the same row, for every row that `codec.encode_contact` wrote. It
relies on the order of that encoder's fields, so the two are held together by a test.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from segmentation.model import InstantMs, Position, SegmentId

_BEGINNING = b'{"attributes":{'
_MEMBERS_FIELD = b',"members":{'


def decode_contact_rest(value: bytes) -> tuple[Mapping[SegmentId, InstantMs], InstantMs | None, Position]:
    """The memberships with their instants, the next deadline, and through where the contact has been evaluated.

    Errors: of another row one of what reading it raises.

    An attribute may spell the field's name, but its last mention is the field: only ids and numbers follow it.
    """
    if not value.startswith(_BEGINNING):
        raise ValueError("it does not begin with the contact's attributes")
    row = orjson.loads(b"{" + value[value.rindex(_MEMBERS_FIELD) + 1 :])
    position = Position(row["clock"], row["offset"], row["seq"])
    if not (row["clock"].__class__ is row["offset"].__class__ is row["seq"].__class__ is int):
        raise ValueError("its place in the log is not three whole numbers")
    if row["left"].__class__ is not list:
        raise ValueError("the segments that it was in are not a list")
    return row["members"], row["due"], position
