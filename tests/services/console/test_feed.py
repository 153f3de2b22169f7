"""The live feed: who is told what, where a reader resumes, and what happens to a slow one."""

from __future__ import annotations

from schemas.membership_change import ChangeCause, MembershipChangeRecord
from segmentation.model import CauseKind, ChangeKind, ContactId, InstantMs, SegmentId
from services.console.feed import WAITING_EVENTS_MAX, Event, Feed, decode_positions, encode_positions


def change(segment: str, at: int = 5) -> MembershipChangeRecord:
    return MembershipChangeRecord(
        segment_id=SegmentId(segment),
        segment_version=1,
        contact_id=ContactId("u"),
        change=ChangeKind.ENTER,
        member=True,
        at=InstantMs(at),
        offset=1,
        event_id=f"{segment}|u|{at}|1",
        cause=ChangeCause(kind=CauseKind.TIME, partition=0, index=0, count=1),
    )


def told(feed: Feed, *segments: str) -> list[Event]:
    reader = feed.join(frozenset(map(SegmentId, segments)) or None)
    assert reader is not None
    feed.publish(0, 7, change("a"))
    feed.publish(1, 3, change("b"))
    feed.publish(1, 4, None)
    return [event for event in (reader.waiting.get_nowait() for _ in range(reader.waiting.qsize())) if event]


def test_a_reader_is_told_only_the_segments_it_asked_for() -> None:
    assert [event.data["segment_id"] for event in told(Feed(2), "b")] == ["b"]
    assert [event.data["segment_id"] for event in told(Feed(2))] == ["a", "b"]


def test_an_event_id_is_the_position_in_every_partition_after_it() -> None:
    ids = [event.id for event in told(Feed(2))]
    assert [decode_positions(event_id, 2) for event_id in ids] == [{0: 8, 1: 0}, {0: 8, 1: 4}]


def test_positions_survive_their_encoding() -> None:
    positions = {0: 0, 1: 35, 2: 36, 3: 10**12}
    assert decode_positions(encode_positions(positions), 4) == positions


def test_an_id_of_another_stream_is_not_read() -> None:
    for foreign in ("", "1-2", "1-2-x!", "1--2", "-1-2-3", "\uff11-2-3"):
        assert decode_positions(foreign, 3) is None


def test_a_reader_that_falls_behind_is_let_go_and_does_not_hold_up_the_others() -> None:
    feed = Feed(1)
    slow = feed.join(None)
    assert slow is not None
    for offset in range(WAITING_EVENTS_MAX + 1):
        feed.publish(0, offset, change("a", offset))
    assert slow.let_go
    assert feed.readers == 0
    assert feed.positions[0] == WAITING_EVENTS_MAX + 1
    waiting = [slow.waiting.get_nowait() for _ in range(slow.waiting.qsize())]
    assert waiting[-1] is None
    assert len(waiting) == WAITING_EVENTS_MAX + 1


def test_counts_go_only_to_readers_for_whom_there_is_something() -> None:
    feed = Feed(1)
    one, other = feed.join(frozenset({SegmentId("a")})), feed.join(frozenset({SegmentId("b")}))
    assert one is not None
    assert other is not None
    feed.broadcast("counts", lambda reader: {"a": 1} if reader.wants(SegmentId("a")) else {})
    assert (one.waiting.qsize(), other.waiting.qsize()) == (1, 0)
