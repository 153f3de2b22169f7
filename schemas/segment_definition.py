"""`segments`, and `contact-changes` kind `segment.defined`: one version of one segment.

Rule: every reader of `segments` accepts a version only if the one that it replaces is current, so that two racing edits
have one winner in log order. `where` is the canonical JSON form and is what is compiled; `text` is for people.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, JsonValue, model_validator

from schemas.limits import SEGMENT_DESCRIPTION_CHARACTERS_MAX, SEGMENT_NAME_CHARACTERS_MAX
from schemas.record import Record, WireInstant, WireSegmentId
from segmentation.model import SegmentState

SEGMENT_DEFINED = "segment.defined"
KEY_NAME_HEADER = "tidegate.key_name"
"""On `segments`: the name of the API key `defined_by` when it was used, for the audit history."""


class SegmentDefinitionRecord(Record):
    """A proposed version. `replaces` is 0 for the first; versions go on after a delete."""

    segment_id: WireSegmentId
    version: Annotated[int, Field(ge=1)]
    replaces: Annotated[int, Field(ge=0)]
    state: Annotated[SegmentState, Field(strict=False)] = SegmentState.ACTIVE
    name: Annotated[str, Field(min_length=1, max_length=SEGMENT_NAME_CHARACTERS_MAX)]
    description: Annotated[str, Field(max_length=SEGMENT_DESCRIPTION_CHARACTERS_MAX)] = ""
    where: JsonValue = Field(description="The canonical JSON form of the expression.")
    text: str = Field(description="The canonical text form of the expression.")
    defined_at: WireInstant | None = Field(default=None, description="When ingest wrote it, for people.")
    defined_by: str | None = Field(default=None, description="The id of the API key that wrote it.")
    request_id: str | None = None

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        """A record that is read is passed on, to every partition: all its numbers must fit the JSON that we write."""
        try:
            self.encode()
        except TypeError as error:
            raise ValueError("a whole number does not fit into 64 bits") from error
        return self
