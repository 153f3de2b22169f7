"""What a contact's row says besides its attributes, read without reading them: they are most of the row.

Rule: equal to what `codec.decode_contact` reads of the same row, for every row that `codec.encode_contact` wrote. It
relies on the order of that encoder's fields, so the two are held together by a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from segmentation.model import UNKNOWN_BIRTH, InstantMs, Offset, SegmentId

_BEGINNING = b'{"attributes":{'
_MEMBERS_FIELD = b',"members":{'


class ContactRest(NamedTuple):
    """The memberships with their instants, the next deadline, and the birth."""

    members: Mapping[SegmentId, InstantMs]
    due: InstantMs | None
    born: Offset


def decode_contact_rest(value: bytes) -> ContactRest:
    """Read the part of a row behind its attributes. Errors: ValueError on a row that `encode_contact` did not write.

    An attribute may spell the field's name, but its last mention is the field: only ids and numbers follow it.
    """
    if not value.startswith(_BEGINNING):
        raise ValueError("it does not begin with the contact's attributes")
    row = orjson.loads(b"{" + value[value.rindex(_MEMBERS_FIELD) + 1 :])
    return ContactRest(row["members"], row["due"], row.get("born", UNKNOWN_BIRTH))
