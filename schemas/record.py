"""What all record models share: strict, immutable, JSON by orjson, unknown fields ignored so that records may grow.

Rule: a model says what a record on the wire may hold; it decides nothing. Hot records also have hand-written paths in
`codec.py`, which must accept and refuse exactly what the model does.
"""

from __future__ import annotations

from typing import Annotated, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.limits import ATTRIBUTE_NAME_CHARACTERS_MAX, CONTACT_ID_BYTES_MAX, LIST_ELEMENTS_MAX, SEGMENT_ID_PATTERN
from segmentation.model import AttributeName, ContactId, InstantMs, SegmentId


def _fits_contact_id(contact_id: ContactId) -> ContactId:
    if not is_contact_id(contact_id):
        raise ValueError(f"a contact id is 1 to {CONTACT_ID_BYTES_MAX} bytes of UTF-8")
    return contact_id


def is_contact_id(text: str) -> bool:
    """Whether a text may be a contact id: not empty, encodable, not too long."""
    try:
        return 0 < len(text.encode()) <= CONTACT_ID_BYTES_MAX
    except UnicodeEncodeError:
        return False


WireContactId = Annotated[ContactId, AfterValidator(_fits_contact_id), Field(min_length=1)]
WireSegmentId = Annotated[SegmentId, Field(pattern=SEGMENT_ID_PATTERN)]
WireAttributeName = Annotated[AttributeName, Field(min_length=1, max_length=ATTRIBUTE_NAME_CHARACTERS_MAX)]
WireInstant = Annotated[InstantMs, Field(description="Epoch milliseconds, UTC.")]
WireNumber = Annotated[float, Field(allow_inf_nan=False)]
WireScalar = str | bool | int | WireNumber
WireValue = WireScalar | Annotated[list[WireScalar], Field(max_length=LIST_ELEMENTS_MAX)]


class Record(BaseModel):
    """The base of every record model."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    def encode(self) -> bytes:
        """The record's JSON. Fields in declared order, so equal records are equal bytes."""
        return orjson.dumps(self.model_dump(mode="json"))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read a record that one of our services wrote. Errors: pydantic's ValidationError."""
        return cls.model_validate_json(value)
