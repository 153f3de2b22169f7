"""Instants as people and HTTP write them: RFC 3339, UTC, with milliseconds.

Rule: whatever instant a record of somebody else holds, it is written; one outside of the years 1 to 9999 as its number.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from segmentation.values import INSTANT_MAX_MS, INSTANT_MIN_MS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(instant_ms: int | None) -> str | None:
    """Epoch milliseconds as RFC 3339; None stays None."""
    if instant_ms is None:
        return None
    if not INSTANT_MIN_MS <= instant_ms <= INSTANT_MAX_MS:
        return str(instant_ms)
    return (EPOCH + timedelta(milliseconds=instant_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
