"""Who replays a given-up delivery, and whether it was delivered, folded from the log in the same way by every process.

Rule: the first claim stands until it is given back, or so old that whoever made it has died; a delivery stands for a
day. What must not happen here: reading a clock; instants come with the records.
"""

from __future__ import annotations

from typing import Final

from schemas.webhook import WebhookReplayRecord

KEPT_MS: Final = 24 * 3_600_000
"""So long a repeat gets the first answer."""
CLAIM_MS: Final = 120_000
"""A claim of one who has not answered in this time is another's to make."""
REPLAYS_MAX: Final = 1_000
"""Kept for one webhook."""


class Replays:
    """The replays that stand, by webhook and failure."""

    def __init__(self) -> None:
        self._standing: dict[str, dict[str, WebhookReplayRecord]] = {}

    def apply(self, name: str, replay: WebhookReplayRecord | None) -> None:
        """Take the next record of the log; `name` is its key after its kind."""
        webhook_id, _, failure_id = name.partition("|")
        standing = self._standing.setdefault(webhook_id, {})
        before = standing.get(failure_id)
        if replay is None:
            standing.pop(failure_id, None)
            if not standing:
                del self._standing[webhook_id]
        elif before is None or before.claim == replay.claim or _is_over(before, replay.claimed_at):
            standing[failure_id] = replay

    def get(self, webhook_id: str, failure_id: str) -> WebhookReplayRecord | None:
        """The replay that stands."""
        return self._standing.get(webhook_id, {}).get(failure_id)

    def of(self, webhook_id: str) -> list[str]:
        """The failures of a webhook that have a replay."""
        return list(self._standing.get(webhook_id, ()))

    def too_many(self, webhook_id: str, now_ms: int) -> list[str]:
        """The failures whose replays are to be forgotten before another comes: those that are over, and the oldest."""
        standing = self._standing.get(webhook_id, {})
        over = [failure_id for failure_id, replay in standing.items() if _is_over(replay, now_ms)]
        surplus = len(standing) - len(over) - REPLAYS_MAX + 1
        kept = [failure_id for failure_id in standing if failure_id not in set(over)]
        return over + kept[: max(0, surplus)]


def _is_over(replay: WebhookReplayRecord, now_ms: int) -> bool:
    """Whether another replay may take its place."""
    if replay.delivered_at is not None:
        return now_ms - replay.delivered_at > KEPT_MS
    return now_ms - replay.claimed_at > CLAIM_MS
