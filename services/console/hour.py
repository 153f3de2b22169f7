"""What happened to each segment in the last hour: enters, exits and member counts by the minute.

Rule: counted from what this console saw since it started, and says since when, so a young console never claims a whole
hour. Pure: the caller gives the instant. Knows neither Kafka nor HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from segmentation.model import InstantMs, SegmentId
from services.console.instants import rfc3339

MINUTE_MS: Final = 60_000
MINUTES_MAX: Final = 60


@dataclass(slots=True)
class _Minute:
    entered: int = 0
    exited: int = 0
    members: int | None = None


@dataclass
class Hour:
    """Minutes by segment, only those in which something happened."""

    started: InstantMs
    _minutes: dict[SegmentId, dict[int, _Minute]] = field(default_factory=dict)
    _latest: int = 0
    """The last minute that began."""

    def change(self, segment_id: SegmentId, entered: bool, now: InstantMs) -> None:
        """Count a membership change."""
        minute = self._minute(segment_id, now)
        if entered:
            minute.entered += 1
        else:
            minute.exited += 1

    def members(self, segment_id: SegmentId, members: int, now: InstantMs) -> None:
        """Note how many members there are; the last note of a minute stands."""
        self._minute(segment_id, now).members = members

    def forget(self, segment_id: SegmentId) -> None:
        """The segment is gone."""
        self._minutes.pop(segment_id, None)

    def read(self, segment_id: SegmentId, now: InstantMs) -> dict[str, Any]:
        """The segment's hour. Shape: `trend` is [epoch milliseconds of the minute, members], oldest first."""
        oldest = now // MINUTE_MS - MINUTES_MAX
        kept = {at: minute for at, minute in self._minutes.get(segment_id, {}).items() if at > oldest}
        return {
            "entered": sum(minute.entered for minute in kept.values()),
            "exited": sum(minute.exited for minute in kept.values()),
            "since": rfc3339(max(self.started, now - MINUTES_MAX * MINUTE_MS)),
            "trend": [[at * MINUTE_MS, minute.members] for at, minute in kept.items() if minute.members is not None],
        }

    def _minute(self, segment_id: SegmentId, now: InstantMs) -> _Minute:
        """The present minute of a segment; what is older than an hour goes when a new minute begins.

        Of a segment in which nothing happened for so long all goes: its last changes may come after it was forgotten.
        """
        at = now // MINUTE_MS
        if at > self._latest:
            self._latest = at
            self._minutes = {each: kept for each, kept in self._minutes.items() if max(kept) > at - MINUTES_MAX}
        minutes = self._minutes.setdefault(segment_id, {})
        if at not in minutes:
            for old in [old for old in minutes if old <= at - MINUTES_MAX]:
                del minutes[old]
            minutes[at] = _Minute()
        return minutes[at]
