"""Live membership changes and counts for many readers: one reading of the log, fanned out.

Rule: a reader that falls behind its bound is let go with a reason and can resume after the last event it has; nobody
waits for it. An event's id is the reading position in every partition after it, so that any console can resume any
reader. Knows readers and positions; neither HTTP nor Kafka.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.membership_change import MembershipChangeRecord
from segmentation.model import SegmentId

READERS_MAX: Final = 500
WAITING_EVENTS_MAX: Final = 5_000
"""Events that wait for one reader before it is let go."""
CATCH_UPS_MAX: Final = 20
"""Readers at once that read what they missed, each from the broker: after a console was away all come back together."""
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
POSITION_SEPARATOR: Final = "-"


@dataclass(frozen=True, slots=True)
class Event:
    """What a reader is told. `id` is empty for what cannot be resumed after (counts)."""

    name: str
    data: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which changes a reader asked for beside their segments. None: all of them."""

    contacts: frozenset[str] | None = None
    change: str | None = None
    causes: frozenset[str] | None = None

    def takes(self, contact_id: str, change: str, cause: str) -> bool:
        """Whether a change is among them."""
        return (
            (self.contacts is None or contact_id in self.contacts)
            and (self.change is None or change == self.change)
            and (self.causes is None or cause in self.causes)
        )


EVERY_CHANGE: Final = Asked()


@dataclass(eq=False)
class Reader:
    """One reader: what waits for it, and which segments it asked for (None: all)."""

    segments: frozenset[SegmentId] | None
    asked: Asked = EVERY_CHANGE
    waiting: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(WAITING_EVENTS_MAX + 1))
    let_go: bool = False

    def wants(self, segment_id: SegmentId) -> bool:
        """Whether this reader asked for the segment."""
        return self.segments is None or segment_id in self.segments

    def takes(self, segment_id: SegmentId, contact_id: str, change: str, cause: str) -> bool:
        """Whether this reader asked for such a change."""
        return self.wants(segment_id) and self.asked.takes(contact_id, change, cause)


class Feed:
    """The readers, and the position in every partition up to which they have been told."""

    def __init__(self, partitions: int) -> None:
        self.positions: dict[int, int] = dict.fromkeys(range(partitions), 0)
        self.started = asyncio.Event()
        self.catching_up = asyncio.Semaphore(CATCH_UPS_MAX)
        self._readers: set[Reader] = set()

    @property
    def readers(self) -> int:
        """How many readers there are."""
        return len(self._readers)

    def join(self, segments: frozenset[SegmentId] | None, asked: Asked = EVERY_CHANGE) -> Reader | None:
        """Add a reader, told everything from the present positions on; None when there are too many."""
        if len(self._readers) >= READERS_MAX:
            return None
        reader = Reader(segments, asked)
        self._readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """Forget a reader."""
        self._readers.discard(reader)

    def close(self) -> None:
        """End every reader's stream."""
        for reader in list(self._readers):
            self._end(reader)

    def start(self, positions: Mapping[int, int]) -> None:
        """Say from where the log is read."""
        self.positions.update(positions)
        self.started.set()

    def publish(self, partition: int, offset: int, record: MembershipChangeRecord | None) -> None:
        """Tell a change to those who asked for it; None only moves the position."""
        self.positions[partition] = offset + 1
        if record is None or not self._readers:
            return
        event: Event | None = None
        for reader in list(self._readers):
            if reader.takes(record.segment_id, record.contact_id, record.change.value, record.cause.kind.value):
                event = event or change_event(record, encode_positions(self.positions))
                self._tell(reader, event)

    def broadcast(self, name: str, data: Callable[[Reader], Mapping[str, Any]]) -> None:
        """Tell every reader something of its own; an empty mapping is not told."""
        for reader in list(self._readers):
            told = data(reader)
            if told:
                self._tell(reader, Event(name, told))

    def _tell(self, reader: Reader, event: Event) -> None:
        if reader.waiting.qsize() >= WAITING_EVENTS_MAX:
            reader.let_go = True
            self._end(reader)
        else:
            reader.waiting.put_nowait(event)

    def _end(self, reader: Reader) -> None:
        self.leave(reader)
        reader.waiting.put_nowait(None)


def change_event(record: MembershipChangeRecord, event_id: str) -> Event:
    """A membership change as a reader is told it. Units: `at_ms` epoch milliseconds."""
    data = {
        "segment_id": record.segment_id,
        "segment_version": record.segment_version,
        "contact_id": record.contact_id,
        "change": record.change.value,
        "at_ms": record.at,
        "cause": record.cause.kind.value,
        "event_id": record.event_id,
    }
    return Event("change", data, event_id)


def encode_positions(positions: Mapping[int, int]) -> str:
    """The reading position in every partition, as an event id."""
    return POSITION_SEPARATOR.join(_base36(positions[partition]) for partition in sorted(positions))


def decode_positions(event_id: str, partitions: int) -> dict[int, int] | None:
    """The positions that an event id holds; None when it is not one of ours."""
    parts = event_id.split(POSITION_SEPARATOR)
    if len(parts) != partitions or not all(part.isalnum() and part.isascii() and len(part) < 16 for part in parts):
        return None
    return {partition: int(part, 36) for partition, part in enumerate(parts)}


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
