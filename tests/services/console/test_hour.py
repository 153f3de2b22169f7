"""The last hour of a segment: counted by the minute, bounded, and never more than was seen."""

from __future__ import annotations

from segmentation.model import InstantMs, SegmentId
from services.console.hour import MINUTE_MS, MINUTES_MAX, Hour

SEGMENT = SegmentId("active")
START = 1_790_000_040_000


def at(minutes: int) -> InstantMs:
    return InstantMs(START + minutes * MINUTE_MS)


def test_enters_and_exits_are_counted_since_the_console_started() -> None:
    hour = Hour(at(0))
    hour.change(SEGMENT, entered=True, now=at(1))
    hour.change(SEGMENT, entered=True, now=at(1))
    hour.change(SEGMENT, entered=False, now=at(5))
    told = hour.read(SEGMENT, at(10))
    assert (told["entered"], told["exited"], told["since"]) == (2, 1, "2026-09-21T14:14:00.000Z")


def test_what_is_older_than_an_hour_is_not_counted() -> None:
    hour = Hour(at(0))
    hour.change(SEGMENT, entered=True, now=at(0))
    hour.change(SEGMENT, entered=True, now=at(30))
    assert hour.read(SEGMENT, at(59))["entered"] == 2
    assert hour.read(SEGMENT, at(60))["entered"] == 1
    assert hour.read(SEGMENT, at(60))["since"] == "2026-09-21T14:14:00.000Z"
    assert hour.read(SEGMENT, at(61))["since"] == "2026-09-21T14:15:00.000Z"
    assert hour.read(SEGMENT, at(120))["entered"] == 0


def test_the_trend_holds_the_last_count_of_each_minute() -> None:
    hour = Hour(at(0))
    for minute, members in ((1, 10), (1, 11), (4, 9)):
        hour.members(SEGMENT, members, at(minute))
    hour.change(SEGMENT, entered=True, now=at(5))
    assert hour.read(SEGMENT, at(6))["trend"] == [[at(1), 11], [at(4), 9]]


def test_no_more_minutes_are_kept_than_an_hour_has() -> None:
    hour = Hour(at(0))
    for minute in range(500):
        hour.members(SEGMENT, minute, at(minute))
    assert len(hour.read(SEGMENT, at(499))["trend"]) == MINUTES_MAX
    assert sum(map(len, hour._minutes.values())) == MINUTES_MAX


def test_a_segment_that_is_gone_leaves_nothing_behind() -> None:
    hour = Hour(at(0))
    hour.members(SEGMENT, 5, at(1))
    hour.forget(SEGMENT)
    assert hour._minutes == {}
    assert hour.read(SEGMENT, at(1))["trend"] == []


def test_a_segment_whose_last_changes_come_after_it_was_forgotten_is_not_held_for_ever() -> None:
    hour = Hour(InstantMs(0))
    for number in range(10):
        hour.change(SegmentId(f"gone{number}"), True, InstantMs(0))
        hour.forget(SegmentId(f"gone{number}"))
        hour.change(SegmentId(f"gone{number}"), False, InstantMs(0))
    hour.change(SegmentId("late"), True, InstantMs(MINUTE_MS))
    hour.change(SegmentId("other"), True, InstantMs(60 * MINUTE_MS))
    assert hour.read(SegmentId("late"), InstantMs(60 * MINUTE_MS))["entered"] == 1
    assert set(hour._minutes) == {"late", "other"}
