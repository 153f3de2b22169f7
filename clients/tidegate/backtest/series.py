"""Members over time: each change counted into the step of time that it falls in.

Rule: a step is half open, [start, start + step), in UTC, and its members are those at its end. The peak is exact, to
the change. Nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from segmentation.model import Change, ChangeKind, ContactId, ContactState, InstantMs, SegmentId
from tidegate.backtest.refused import BacktestRefusedError

STEPS_MAX: Final = 100_000


class Step(NamedTuple):
    """One step of time of one segment. Units: `start` epoch milliseconds, inclusive."""

    start: InstantMs
    entered: int
    exited: int
    members: int


@dataclass(slots=True)
class Course:
    """What one segment did. `counts` has (entered, exited) by the step's number since 1970."""

    enters: int = 0
    exits: int = 0
    peak: int = 0
    peak_at: InstantMs | None = None
    counts: dict[int, list[int]] = field(default_factory=dict)

    @property
    def members(self) -> int:
        """How many are in it now."""
        return self.enters - self.exits


class Courses:
    """All segments' courses. Fed every change in the order of time."""

    def __init__(self, segment_ids: Sequence[SegmentId], step_ms: int) -> None:
        self.step_ms = step_ms
        self.by_segment: dict[SegmentId, Course] = {segment_id: Course() for segment_id in segment_ids}

    def take(self, change: Change) -> None:
        """Count one change."""
        course = self.by_segment[change.segment_id]
        counts = course.counts.setdefault(change.version.at // self.step_ms, [0, 0])
        if change.kind is ChangeKind.ENTER:
            course.enters += 1
            counts[0] += 1
            if course.members > course.peak:
                course.peak, course.peak_at = course.members, change.version.at
        else:
            course.exits += 1
            counts[1] += 1

    def steps(self, segment_id: SegmentId, first: InstantMs, last: InstantMs) -> Iterator[Step]:
        """Every step from the one of `first` through the one of `last`, changes or none."""
        begin, end = first // self.step_ms, last // self.step_ms
        if end - begin >= STEPS_MAX:
            raise BacktestRefusedError(
                f"the history spans {end - begin + 1:,} steps; at most {STEPS_MAX:,}: give a longer --every"
            )
        members = 0
        counts = self.by_segment[segment_id].counts
        for number in range(begin, end + 1):
            entered, exited = counts.get(number, (0, 0))
            members += entered - exited
            yield Step(InstantMs(number * self.step_ms), entered, exited, members)


def contacts_ever(contacts: Mapping[ContactId, ContactState], segment_ids: Sequence[SegmentId]) -> dict[SegmentId, int]:
    """How many different contacts were ever in each segment. Cost: one pass over the contacts."""
    ever = dict.fromkeys(segment_ids, 0)
    for state in contacts.values():
        for segment_id in (*state.members, *state.left):
            ever[segment_id] += 1
    return ever
