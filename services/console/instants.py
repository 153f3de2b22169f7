"""Instants as people and HTTP write them: RFC 3339, UTC, with milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(instant_ms: int | None) -> str | None:
    """Epoch milliseconds as RFC 3339; None stays None."""
    if instant_ms is None:
        return None
    return (EPOCH + timedelta(milliseconds=instant_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
