"""What the HTTP API answers, as types.

Rule: fields that this version does not know are kept (`model_extra`), never refused, so that an older client goes on
working with a newer service. No I/O here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Response(BaseModel):
    """The base of every answer."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Segment(Response):
    """A segment as defined, in its three readings. `etag` is what `If-Match` wants."""

    id: str
    version: int
    name: str = ""
    state: str = "active"
    description: str = ""
    text: str = ""
    where: Any = None
    english: str = ""
    members: int | None = None
    etag: str = Field(default="", exclude=True)


class Receipt(Response):
    """One contact's part of an answer to a write: accepted (202) or refused, and why."""

    id: str | None
    status: int
    errors: list[dict[str, Any]] = Field(default_factory=list)


class Membership(Response):
    """A segment that the contact is in, and since when."""

    segment_id: str
    since: datetime


class Contact(Response):
    """A contact as evaluated: its attributes and memberships, and when something could next change by itself."""

    id: str
    attributes: dict[str, Any]
    memberships: list[Membership] = Field(default_factory=list)
    next_deadline: datetime | None = None


class Change(Response):
    """One enter or exit, as listed."""

    segment_id: str
    contact_id: str
    change: str
    at: datetime
    cause: str
    segment_version: int = 0
    event_id: str = ""


class ChangePage(Response):
    """Changes, newest first."""

    changes: list[Change]
    next: str | None = None


class PastMembership(Response):
    """Whether a contact was in a segment at an instant.

    `member` is None when that is not known; `unknown` then says why: `beyond_history` (changes are kept only from
    `history_begins_at` on), `not_evaluated_yet` or `settling`.
    """

    contact_id: str
    segment_id: str
    at: datetime
    member: bool | None
    since: datetime | None = None
    unknown: str | None = None
    history_begins_at: datetime | None = None


class Member(Response):
    """A contact in a segment, and since when."""

    contact_id: str
    since: datetime


class MemberPage(Response):
    """Members, by contact id."""

    members: list[Member]
    next: str | None = None


class Preview(Response):
    """How many contacts an expression would match now, with a sample."""

    matched: int
    total: int
    sample: list[str] = Field(default_factory=list)


class Import(Response):
    """A CSV import: how far it is and how it ended."""

    id: str
    state: str
    rows_total: int | None = None
    rows_read: int = 0
    accepted: int = 0
    rejected: int = 0


class DeadLetterSource(Response):
    """Where the record was that could not be evaluated."""

    topic: str
    partition: int
    offset: int


class DeadLetter(Response):
    """A record that could not be evaluated, and why. `partition` and `offset` are its place among the dead letters."""

    partition: int
    offset: int
    at: datetime
    code: str
    message: str
    key: str | None
    key_is_base64: bool = False
    value: str | None
    value_is_base64: bool = False
    value_bytes: int = 0
    value_is_cut: bool = False
    source: DeadLetterSource


class DeadLetterPage(Response):
    """Dead letters, newest first."""

    dead_letters: list[DeadLetter]
    next: str | None = None


class ApiKey(Response):
    """An API key. `key`, the secret itself, is there only in the answer that created it."""

    id: str
    name: str = ""
    scopes: list[str] = Field(default_factory=list)
    expires_at: datetime | None = None
    key: str | None = None


class AuditActor(Response):
    """Whose doing a change was. `key_id` is None for someone on the machine itself."""

    key_id: str | None = None
    key_name: str = ""


class AuditEntry(Response):
    """One change of a key, a segment, an attribute, a dead letter or a webhook."""

    id: str
    at: str
    action: str
    subject: str
    by: AuditActor
    request_id: str | None = None
    before: dict[str, Any] | None = Field(None, alias="from")
    after: dict[str, Any] | None = Field(None, alias="to")


class AuditPage(Response):
    """Changes, newest first; `next` goes back as `before`."""

    entries: list[AuditEntry]
    next: str | None = None
