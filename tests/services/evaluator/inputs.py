"""Records of the input log, as producers and the scheduler write them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from schemas.events import SEGMENT_DEFINED_HEADERS, TICK_HEADERS

NOW = 1_790_000_000_000


class Record(NamedTuple):
    """An input record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def write(offset: int, contact: str = "c", at: int = NOW, **attributes: Any) -> Record:
    """A contact change."""
    return Record(offset, at, contact.encode(), json.dumps({"attributes": attributes}).encode())


def tick(offset: int, at: int) -> Record:
    """Now, carried into the partition."""
    body = json.dumps({"scheduled_at": at, "interval_ms": 1_000}).encode()
    return Record(offset, at, None, body, tuple(TICK_HEADERS))


def definition(
    offset: int, where: object, segment_id: str = "s", version: int = 1, state: str = "active", at: int = NOW
) -> Record:
    """A segment version."""
    body = {
        "segment_id": segment_id,
        "version": version,
        "replaces": version - 1,
        "state": state,
        "name": segment_id,
        "where": where,
        "text": "",
    }
    return Record(offset, at, None, json.dumps(body).encode(), tuple(SEGMENT_DEFINED_HEADERS))
