"""`contact-changes`, kind `contact.changed`: what happened to one contact. Small enough to be written by hand.

Rule: the record key is the contact id. `null` removes an attribute, an absent one is kept. The later record in the
partition is the later write; `occurred_at` is information for people.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.limits import ATTRIBUTES_MAX, MESSAGE_ID_CHARACTERS_MAX, SOURCE_CHARACTERS_MAX
from schemas.record import Record, WireAttributeName, WireContactId, WireInstant, WireValue

CONTACT_CHANGED = "contact.changed"
"""The `ce_type` of this kind, also assumed when the header is absent."""


class ChangeSource(Record):
    """Where a change came from, for people: `api`, `import`, `dashboard`… and a reference such as a request id."""

    kind: Annotated[str, Field(max_length=SOURCE_CHARACTERS_MAX)]
    ref: Annotated[str | None, Field(max_length=SOURCE_CHARACTERS_MAX)] = None


class ContactChangeRecord(Record):
    """Set and remove attributes of the contact named by the key, or erase it."""

    type: Literal["change", "delete"] = "change"
    contact_id: WireContactId | None = None
    attributes: Annotated[dict[WireAttributeName, WireValue | None] | None, Field(max_length=ATTRIBUTES_MAX)] = None
    occurred_at: WireInstant | None = None
    message_id: Annotated[str | None, Field(max_length=MESSAGE_ID_CHARACTERS_MAX)] = None
    source: ChangeSource | None = None

    @model_validator(mode="after")
    def _names_what_it_changes(self) -> Self:
        if self.type == "change" and self.attributes is None:
            raise ValueError("a change needs `attributes`, an object; it may be empty")
        if self.type == "delete" and self.attributes:
            raise ValueError("a delete carries no attributes")
        return self
