"""The live feed: who is told what, where a reader resumes, and what happens to a slow one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path

import pytest

from schemas.evaluator_status import SegmentStatusRecord
from schemas.membership_change import ChangeCause, MembershipChangeRecord
from segmentation.model import CauseKind, ChangeKind, ContactId, InstantMs, SegmentId
from services.console import events, follow
from services.console import feed as feed_module
from services.console.events import Admission, stream
from services.console.feed import (
    WAITING_EVENTS_MAX,
    Asked,
    Event,
    Feed,
    change_event,
    decode_positions,
    encode_positions,
)
from services.console.hour import Hour
from services.console.settings import ConsoleSettings
from services.console.status import StatusBoard
from services.runtime import clock


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


def test_a_reader_is_told_only_the_contacts_changes_and_causes_it_asked_for() -> None:
    def told_to(asked: Asked) -> int:
        feed = Feed(1)
        reader = feed.join(None, asked)
        assert reader is not None
        feed.publish(0, 1, change("a"))
        return reader.waiting.qsize()

    takes = [Asked(), Asked(frozenset("u")), Asked(change="enter"), Asked(causes=frozenset({"time", "write"}))]
    leaves = [Asked(frozenset("v")), Asked(change="exit"), Asked(causes=frozenset({"write"}))]
    assert [told_to(asked) for asked in takes + leaves] == [1, 1, 1, 1, 0, 0, 0]


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


async def test_a_reader_for_whom_there_is_nothing_is_told_that_the_stream_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEEP_OPEN_S", 0.01)
    feed = Feed(1)
    feed.start({0: 0})
    reader = feed.join(None)
    assert reader is not None
    settings = ConsoleSettings(partitions=1, data_dir=tmp_path)
    frames = stream(settings, feed, reader, None, {0: 0}, Admission(_admitted))
    told = [(await anext(frames)).decode() for _ in range(3)]
    feed.close()
    assert "event: bye" in [frame.decode() async for frame in frames][-1]
    assert told[1:] == ["event: alive\ndata: {}\n\n"] * 2


async def _admitted() -> None:
    """The reader's key is good."""


async def test_a_reader_that_was_let_go_gets_what_waited_and_then_the_reason(tmp_path: Path) -> None:
    feed = Feed(1)
    feed.start({0: 0})
    slow = feed.join(None)
    assert slow is not None
    for offset in range(WAITING_EVENTS_MAX + 1):
        feed.publish(0, offset, change("a", offset))
    settings = ConsoleSettings(partitions=1, data_dir=tmp_path)
    frames = [frame.decode() async for frame in stream(settings, feed, slow, None, {0: 0}, Admission(_admitted))]
    assert len(frames) == 1 + WAITING_EVENTS_MAX + 1
    assert "event: bye" in frames[-1]
    assert "too slow" in frames[-1]
    # The last event's id is where it resumes: nothing that it was told comes again, nothing that it missed is lost.
    last_id = frames[-2].split("\n", 1)[0].removeprefix("id: ")
    assert decode_positions(last_id, 1) == {0: WAITING_EVENTS_MAX}


NOBODY = "127.0.0.1:1"
"""Where no broker listens."""


async def resumed(folder: Path, missed: int) -> list[str]:
    """What a reader is told that comes back while no broker answers."""
    feed = Feed(1)
    feed.start({0: missed})
    reader = feed.join(None)
    assert reader is not None
    feed.close()
    settings = ConsoleSettings(partitions=1, data_dir=folder, kafka_bootstrap=NOBODY)
    frames = stream(settings, feed, reader, {0: 0}, {0: missed}, Admission(_admitted))
    return [frame.decode() async for frame in frames]


async def test_a_reader_that_missed_nothing_asks_no_broker(tmp_path: Path) -> None:
    hello, bye = await resumed(tmp_path, 0)
    assert "event: hello" in hello
    assert "the console is stopping" in bye


async def test_a_reader_whose_missed_changes_cannot_be_read_is_told_so(tmp_path: Path) -> None:
    hello, bye = await resumed(tmp_path, 1)
    assert "event: hello" in hello
    assert "event: bye" in bye
    assert "cannot be read now" in bye


async def test_few_of_those_that_come_back_together_read_what_they_missed_at_once_and_all_do_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "CATCH_UPS_MAX", 2)
    monkeypatch.setattr(events, "KEEP_OPEN_S", 0.02)
    reading, most = 0, 0

    async def slow_replay(*_: object) -> AsyncGenerator[Event]:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        try:
            await asyncio.sleep(0.05)
            yield change_event(change("a", 7), "7")
        finally:
            reading -= 1

    monkeypatch.setattr(events, "replay", slow_replay)
    feed = Feed(1)
    feed.start({0: 8})
    settings = ConsoleSettings(partitions=1, data_dir=tmp_path)

    async def come_back(leaves_after: int | None) -> list[str]:
        reader = feed.join(None)
        assert reader is not None
        told: list[str] = []
        async with aclosing(stream(settings, feed, reader, {0: 7}, {0: 8}, Admission(_admitted))) as frames:
            async for frame in frames:
                told.append(frame.decode())
                if len(told) == leaves_after or "event: change" in told[-1]:
                    break
        return told

    told = await asyncio.gather(*(come_back(leaves_after=1 if number % 3 == 0 else None) for number in range(9)))
    stayed = [frames for number, frames in enumerate(told) if number % 3]
    assert (most, reading, feed.readers) == (2, 0, 0)
    assert all("event: change" in frames[-1] for frames in stayed)
    assert any("event: alive" in frame for frames in stayed for frame in frames), "who waits hears that all is well"
    assert not feed.catching_up.locked()


async def test_a_reader_that_takes_what_it_missed_slowly_gives_its_turn_to_others_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: passed[0])

    async def replay(_: object, start: Mapping[int, int], end: Mapping[int, int]) -> AsyncGenerator[Event]:
        for offset in range(start[0], end[0]):
            yield change_event(change("a", offset), encode_positions({0: offset + 1}))

    monkeypatch.setattr(events, "replay", replay)
    feed = Feed(1)
    feed.start({0: 100})
    settings = ConsoleSettings(partitions=1, data_dir=tmp_path)
    reader = feed.join(None)
    assert reader is not None
    feed.close()
    told = []
    async for frame in stream(settings, feed, reader, {0: 0}, {0: 100}, Admission(_admitted)):
        told.append(frame.decode())
        passed[0] += events.CATCH_UP_S / 10
    assert (len(told), "event: bye" in told[-1], "too slow" in told[-1]) == (13, True, True)
    assert decode_positions(told[-2].split("\n", 1)[0].removeprefix("id: "), 1) == {0: 11}
    assert (feed.readers, feed.catching_up.locked()) == (0, False)


async def test_counts_are_told_twice_a_second_at_most_and_the_last_one_always(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[float] = []
    members = 0
    board, feed, hour = StatusBoard(1), Feed(1), Hour(InstantMs(0))
    reader = feed.join(frozenset({SegmentId("a")}))
    assert reader is not None

    async def many_changes_instead_of_waiting(seconds: float) -> None:
        nonlocal members
        rounds.append(seconds)
        if len(rounds) > 3:
            raise asyncio.CancelledError
        for _ in range(100):
            members += 1
            for segment in ("a", "b"):
                board.take(
                    SegmentStatusRecord(
                        segment_id=SegmentId(segment), partition=0, version=1, reported_at=InstantMs(1), members=members
                    )
                )

    monkeypatch.setattr("services.console.follow.asyncio.sleep", many_changes_instead_of_waiting)
    with pytest.raises(asyncio.CancelledError):
        await follow.tell_counts(board, feed, hour)
    assert all(seconds >= 0.5 for seconds in rounds)
    told_counts = [reader.waiting.get_nowait() for _ in range(reader.waiting.qsize())]
    assert [event.data for event in told_counts if event is not None] == [{"a": 100}, {"a": 200}, {"a": 300}]
