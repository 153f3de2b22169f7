"""`webhooks`: where changes are sent by HTTP, the deliveries that were given up, and their replays.

Rule: all are facts until a tombstone takes them back: a webhook until it is deleted, a failure until it was delivered
after all or 30 days have passed, a replay until it failed or a day has passed. The secret signs what is sent; whoever
may read this topic may sign.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from schemas.record import Record, WireInstant, WireSegmentId

WEBHOOK_KEY: Final = "webhook|"
FAILURE_KEY: Final = "failure|"
REPLAY_KEY: Final = "replay|"
SEGMENTS_PER_WEBHOOK_MAX: Final = 1_000


class WebhookStart(Record):
    """Where in a topic of membership changes a webhook begins: one offset a partition."""

    topic: str
    offsets: list[int]


class WebhookRecord(Record):
    """One webhook. Without `segments` it gets the changes of all.

    `start` counts for partitions of its topic that the webhook's consumer group has no offset of. `life` tells it from
    an earlier webhook of the same id, whose group the broker still remembers; it is part of the group's name.
    """

    id: str
    url: str
    segments: Annotated[list[WireSegmentId] | None, Field(max_length=SEGMENTS_PER_WEBHOOK_MAX)] = None
    secret: str
    created_at: WireInstant
    start: WebhookStart | None = None
    life: str | None = None


class WebhookFailureRecord(Record):
    """One delivery that was given up. `body` is what was sent, to be sent again as it is."""

    webhook_id: str
    failure_id: str
    delivery_id: str
    contact_id: str
    failed_at: WireInstant
    attempts: int
    reason: str
    body: str


class WebhookReplayRecord(Record):
    """A replay of a failure: claimed by one of those who want it, and delivered, or not yet."""

    webhook_id: str
    failure_id: str
    claim: str
    claimed_at: WireInstant
    delivered_at: WireInstant | None = None


def webhook_key(webhook_id: str) -> bytes:
    """The record key of a webhook."""
    return f"{WEBHOOK_KEY}{webhook_id}".encode()


def failure_key(webhook_id: str, failure_id: str) -> bytes:
    """The record key of a failure."""
    return f"{FAILURE_KEY}{webhook_id}|{failure_id}".encode()


def replay_key(webhook_id: str, failure_id: str) -> bytes:
    """The record key of a failure's replay."""
    return f"{REPLAY_KEY}{webhook_id}|{failure_id}".encode()
