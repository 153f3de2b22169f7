"""The deliveries that were given up, folded from the log in the same way by every process.

Rule: bounded in number for each webhook, and in memory for all together, because a delivery is kept with its whole
content; where there is too much, it is the oldest of the webhook that has most that goes. What must not happen here:
reading a clock, or forgetting anything that the log still tells.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from schemas.webhook import WebhookFailureRecord

FAILURES_MAX: Final = 1_000
"""Kept for one webhook."""
FAILURES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of all webhooks together, as they are in memory. One has a few hundred bytes, and 8 MiB at most."""
OVERHEAD_BYTES: Final = 1_024
"""What one takes beside its content."""


class Failures:
    """The failures that stand, by webhook, the oldest first."""

    def __init__(self) -> None:
        self._standing: dict[str, dict[str, WebhookFailureRecord]] = {}
        self._bytes: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._standing.values()))

    def __iter__(self) -> Iterator[WebhookFailureRecord]:
        return (failure for kept in self._standing.values() for failure in kept.values())

    def apply(self, name: str, failure: WebhookFailureRecord | None) -> None:
        """Take the next record of the log; `name` is its key after its kind."""
        webhook_id, _, failure_id = name.partition("|")
        kept = self._standing.setdefault(webhook_id, {})
        before = kept.pop(failure_id, None)
        held = self._bytes.get(webhook_id, 0) - (0 if before is None else _size(before))
        if failure is not None:
            kept[failure_id] = failure
            held += _size(failure)
        self._bytes[webhook_id] = held
        if not kept:
            del self._standing[webhook_id], self._bytes[webhook_id]

    def get(self, webhook_id: str, failure_id: str) -> WebhookFailureRecord | None:
        """One of a webhook's."""
        return self._standing.get(webhook_id, {}).get(failure_id)

    def of(self, webhook_id: str) -> list[WebhookFailureRecord]:
        """All of a webhook's, newest first."""
        return list(self._standing.get(webhook_id, {}).values())[::-1]

    def surplus(self) -> tuple[str, str] | None:
        """The next to forget because there are too many: its webhook and itself. Cost: a look at each webhook."""
        for webhook_id, kept in self._standing.items():
            if len(kept) > FAILURES_MAX:
                return webhook_id, next(iter(kept))
        if sum(self._bytes.values()) <= FAILURES_BYTES_MAX:
            return None
        most = max(self._bytes, key=self._bytes.__getitem__)
        return most, next(iter(self._standing[most]))


def _size(failure: WebhookFailureRecord) -> int:
    return sys.getsizeof(failure.body) + sys.getsizeof(failure.reason) + OVERHEAD_BYTES
