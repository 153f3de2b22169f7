"""What the console's answers hold, for its OpenAPI document.

Rule: declarations only; the routes make the answers, and the tests hold every answer that they see to these, field by
field. Answers may grow, so a reader ignores what it does not know.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | bool | int | float
Value = Scalar | list[Scalar]
Next = Annotated[str | None, Field(description="The `after` of the next page; null on the last.")]


class Document(BaseModel):
    """The base of every answer."""


class OpenApi(Document):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]


class ContactId(Document):
    """A contact in a list."""

    id: str


class ContactIds(Document):
    """Contact ids, in order."""

    contacts: list[ContactId]
    next: Next


class MembershipSince(Document):
    """A segment that a contact is in."""

    segment_id: str
    since: datetime


class Contact(Document):
    """A contact as evaluated."""

    id: str
    attributes: dict[str, Value]
    memberships: list[MembershipSince]
    next_deadline: Annotated[
        datetime | None, Field(description="When time alone could change something next; null when it cannot.")
    ]
    as_of: Annotated[datetime | None, Field(description="Through when the contact has been evaluated.")]


class Change(Document):
    """One enter or exit."""

    segment_id: str
    segment_version: int
    contact_id: str
    change: Literal["enter", "exit"]
    at: datetime
    cause: Literal["write", "time", "definition", "delete"]
    event_id: str


class Changes(Document):
    """Membership changes, newest first."""

    changes: list[Change]
    next: Next


class PastMembership(Document):
    """Whether a contact was in a segment at an instant."""

    contact_id: str
    segment_id: str
    at: datetime
    member: Annotated[bool | None, Field(description="Null when it is not known; `unknown` says why.")]
    since: datetime | None
    unknown: Literal["beyond_history", "not_evaluated_yet", "settling"] | None
    history_begins_at: datetime | None


class Explanation(Document):
    """Why a contact is in a segment or not. Instants in epoch milliseconds."""

    contact_id: str
    segment_id: str
    segment_version: int
    state: Literal["active", "paused"]
    member: bool
    since_ms: int | None
    holds: Annotated[bool, Field(description="What the condition says now; a paused segment keeps its members.")]
    at_ms: int
    until_ms: Annotated[int | None, Field(description="When it flips if nothing is written; null if it never does.")]
    tree: Annotated[dict[str, Any], Field(description="`kind` is condition, segment, all, any or not.")]


class Unreadable(Document):
    """Values that conditions of active segments cannot read as they ask."""

    reading: str
    contacts: int
    sample: Value | None
    settling: bool


class Attribute(Document):
    """One attribute, from a sample of contacts, with its declaration."""

    name: str
    contacts: Annotated[int, Field(description="In the sample.")]
    types: list[Literal["text", "number", "boolean", "list"]]
    values: list[Scalar]
    type: Annotated[str | None, Field(description="As declared.")]
    direction: Literal["last", "next"] | None
    direction_declared: bool
    unreadable: list[Unreadable]


class Attributes(Document):
    """Attributes, the commonest first."""

    attributes: list[Attribute]
    contacts_sampled: int


class UnreadableAttribute(Document):
    """Values of one attribute that a segment cannot read."""

    model_config = ConfigDict(extra="allow")

    attribute: str


class LastHour(Document):
    """What this console saw of a segment in the last hour."""

    entered: int
    exited: int
    since: datetime
    trend: Annotated[list[list[int]], Field(description="[epoch milliseconds of a minute, members], oldest first.")]


class Counts(Document):
    """A segment's live count, and how much it is to be believed."""

    members: Annotated[int | None, Field(description="Null until every partition has told its part.")]
    entered: int
    exited: int
    settling: bool
    settled_percent: float
    settles_at: Annotated[datetime | None, Field(description="When settling is expected to end, if that can be said.")]
    unreadable: int
    unreadable_attributes: list[UnreadableAttribute]
    unreadable_settling: bool
    counted_at: datetime | None
    as_of: datetime | None
    lag_ms: int
    last_hour: LastHour


class Segment(Counts):
    """A segment as defined, with its live count."""

    id: str
    version: int
    name: str
    description: str
    state: Literal["active", "paused"]
    mode: str
    saved_at: datetime
    saved_by: str | None
    text: str
    attributes: Annotated[list[str], Field(description="That the condition reads.")]
    segments: Annotated[list[str], Field(description="That the condition refers to.")]
    depends_on_time: bool
    where: Annotated[Any, Field(default=None, description="The JSON form; left out of a brief list.")]
    english: Annotated[str, Field(default="", description="Left out of a brief list.")]
    advice: Annotated[list[dict[str, Any]], Field(default_factory=list, description="Left out of a brief list.")]


class Segments(Document):
    """Every segment, by id."""

    segments: list[Segment]


class Member(Document):
    """A contact in a segment."""

    contact_id: str
    since: datetime


class Members(Document):
    """Members, by contact id."""

    members: list[Member]
    next: Next


class Cost(Document):
    """What a whole condition costs for one contact, measured now."""

    segment_id: str
    evaluation_us: Annotated[float | None, Field(description="Microseconds; null when there is no contact.")]
    contacts_measured: int


class PreviewRequest(BaseModel):
    """What to preview."""

    where: Annotated[Any, Field(description="The condition, as text or in its JSON form.")]
    id: Annotated[str | None, Field(description="The saved segment to compare with.")] = None


class Preview(Document):
    """What an expression matches now, over every contact."""

    matched: int
    total: Annotated[int, Field(description="All contacts.")]
    counted: Annotated[int, Field(default=0, description="How many of them the numbers are about.")]
    complete: Annotated[
        bool, Field(default=True, description="Every contact was counted; false only for who asks with `within_ms`.")
    ]
    sample: list[str]
    would_enter: int
    would_leave: int


class PartitionStatus(Document):
    """One partition, and who serves it."""

    partition: int
    state: str
    answers: Annotated[bool | None, Field(description="Whether its owner answers now; null when that was not asked.")]
    owner: str
    contacts: int
    lag_records: int
    lag_ms: int
    deadline_lateness_ms: int
    recovered_percent: float
    dead_letters: int
    reported_at: datetime


class Status(Document):
    """Partitions, who serves them and how far behind they are."""

    complete: Annotated[bool, Field(description="Every partition is served.")]
    as_of: datetime
    partitions_expected: int
    contacts: int
    dead_letters: int
    partitions: list[PartitionStatus]


class Source(Document):
    """Where a record was that could not be evaluated."""

    topic: str
    partition: int
    offset: int


class DeadLetter(Document):
    """A record that could not be evaluated."""

    partition: Annotated[int, Field(description="Of the topic `dead-letters`, as is `offset`.")]
    offset: int
    at: datetime
    code: str
    message: str
    key: str | None
    key_is_base64: bool
    value: str | None
    value_is_base64: bool
    value_bytes: Annotated[int, Field(description="Of the whole value.")]
    value_is_cut: Annotated[
        bool, Field(description="There is more: in the single read, or, where that is cut too, only at the source.")
    ]
    source: Source


class DeadLetters(Document):
    """Dead letters, newest first. A page may be short, or empty, while `next` goes on."""

    dead_letters: list[DeadLetter]
    next: Next


class Header(Document):
    """A header of a record."""

    name: str
    value: str
    value_is_base64: bool


class WholeDeadLetter(DeadLetter):
    """A dead letter with all of its value, and the headers that it came with."""

    headers: list[Header]


class LogInRequest(BaseModel):
    """An API key to exchange for a session."""

    key: str


class Session(Document):
    """Whose session it is, and the token that its page sends as `X-CSRF-Token` with every write."""

    key_id: str
    name: str
    scopes: list[str]
    csrf_token: str
