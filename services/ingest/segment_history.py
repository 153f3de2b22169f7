"""The latest accepted changes of segments as the topic tells them: who, when, from what to what.

Rule: told by the log alone, so that every process and every restart tells the same. Bounded: what is older is still on
the topic, which is kept for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from schemas.segment_definition import KEY_NAME_HEADER, SegmentDefinitionRecord
from segmentation.model import SegmentState
from services.runtime.audit import Actor, AuditEntry, AuditEvent

CHANGES_KEPT_MAX: Final = 5_000
TEXT_CHARACTERS_MAX: Final = 500
"""Of an expression and of a description."""


class SegmentHistory:
    """The changes, in log order, each numbered by its offset."""

    def __init__(self) -> None:
        self._changes: deque[AuditEntry] = deque(maxlen=CHANGES_KEPT_MAX)

    def __iter__(self) -> Iterator[AuditEntry]:
        return iter(self._changes)

    def take(
        self,
        offset: int,
        at_ms: int,
        before: SegmentDefinitionRecord | None,
        after: SegmentDefinitionRecord,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> None:
        """Keep an accepted version; `before` is the one that it replaces."""
        if before is not None and before.state is SegmentState.DELETED:
            before = None
        name = next((content or b"" for name, content in headers if name == KEY_NAME_HEADER), b"")
        event = AuditEvent(
            action=f"segment.{_verb(before, after)}",
            subject=after.segment_id,
            by=Actor(after.defined_by, name.decode(errors="replace")),
            before=None if before is None else _told(before),
            after=None if after.state is SegmentState.DELETED else _told(after),
            request_id=after.request_id,
        )
        self._changes.append(AuditEntry(offset, at_ms, event))


def _verb(before: SegmentDefinitionRecord | None, after: SegmentDefinitionRecord) -> str:
    if after.state is SegmentState.DELETED:
        return "deleted"
    if before is None:
        return "created"
    if before.state is not after.state:
        return "paused" if after.state is SegmentState.PAUSED else "resumed"
    return "edited"


def _told(record: SegmentDefinitionRecord) -> dict[str, Any]:
    return {
        "version": record.version,
        "state": record.state.value,
        "name": record.name,
        "description": record.description[:TEXT_CHARACTERS_MAX],
        "text": record.text[:TEXT_CHARACTERS_MAX],
    }
