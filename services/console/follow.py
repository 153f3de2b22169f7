"""The console's two readings of Kafka: the evaluators' statuses, and the membership changes as they are committed.

Rule: each goes on until the service stops; a failure ends the process, which is started again and reads anew, because
a console that quietly shows old numbers is worse than none; a record without sense is passed by. Nothing is decided
here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Final

from pydantic import ValidationError

from schemas.evaluator_status import decode_status
from schemas.membership_change import MembershipChangeRecord
from schemas.topics import Topic, topic_name
from segmentation.model import SegmentId
from services.console.declarations import Declarations
from services.console.feed import Event, Feed, Reader, change_event, encode_positions
from services.console.hour import Hour
from services.console.log import open_log
from services.console.settings import ConsoleSettings
from services.console.status import COUNTED_AT_ONCE_MAX, StatusBoard
from services.runtime import metrics
from services.runtime.clock import now_ms
from services.runtime.following import pass_by, readable

RESUME_RECORDS_MAX: Final = 200_000
"""A reader that has been away for longer starts anew instead."""
CATCH_UP_POLL_MS: Final = 500
STATUS_POLL_MS: Final = 5_000
COUNTS_INTERVAL_S: Final = 0.5

CHANGES = metrics.counter("tidegate_console_changes", "Membership changes read for live readers.")
READERS = metrics.gauge("tidegate_console_live_readers", "Readers of live events.")


async def follow_statuses(settings: ConsoleSettings, board: StatusBoard, caught_up: asyncio.Event) -> None:
    """Fold `evaluator-status` into the board, for ever; `caught_up` is set once what is there has been read."""
    topic = topic_name(settings.topic_prefix, Topic.EVALUATOR_STATUS)
    async with open_log(settings, topic, 1) as reading:
        end = (await reading.ends())[0]
        reading.seek(await reading.begins())
        while True:
            if not caught_up.is_set() and await reading.position(0) >= end:
                caught_up.set()
            for record in await reading.poll(CATCH_UP_POLL_MS if not caught_up.is_set() else STATUS_POLL_MS):
                try:
                    _take_status(board, record.key, record.value)
                except ValueError as error:
                    pass_by(record, error)


def _take_status(board: StatusBoard, key: bytes, value: bytes | None) -> None:
    """Take a status or a tombstone. Errors: ValueError for one without sense."""
    if value is None:
        board.forget(key)
    else:
        board.take(decode_status(value))


async def follow_declarations(settings: ConsoleSettings, declarations: Declarations) -> None:
    """Fold `attributes` into the declarations, for ever."""
    topic = topic_name(settings.topic_prefix, Topic.ATTRIBUTES)
    async with open_log(settings, topic, 1) as reading:
        reading.seek(await reading.begins())
        while True:
            for record in await reading.poll(STATUS_POLL_MS):
                try:
                    declarations.take(record.key, record.value)
                except ValidationError as error:
                    pass_by(record, error)


async def follow_changes(settings: ConsoleSettings, feed: Feed, hour: Hour) -> None:
    """Publish and count every membership change committed from now on, for ever."""
    topic = topic_name(settings.topic_prefix, Topic.MEMBERSHIPS)
    async with open_log(settings, topic, settings.partitions) as reading:
        ends = await reading.ends()
        reading.seek(ends)
        feed.start(ends)
        while True:
            records = await reading.poll()
            for record in records:
                change = readable(record, MembershipChangeRecord.decode)
                feed.publish(record.partition, record.offset, change)
                if change is not None:
                    hour.change(change.segment_id, change.member, now_ms())
            CHANGES.inc(len(records))
            READERS.set(feed.readers)


async def tell_counts(board: StatusBoard, feed: Feed, hour: Hour) -> None:
    """Note changed counts and tell them to the readers who asked, at most twice a second, for ever."""
    while True:
        await asyncio.sleep(COUNTS_INTERVAL_S)
        touched = board.take_touched()
        known: dict[SegmentId, int] = {}
        for number, segment_id in enumerate(touched, 1):
            members = board.count(segment_id, 0).members
            if members is not None:
                known[segment_id] = members
            if number % COUNTED_AT_ONCE_MAX == 0:
                await asyncio.sleep(0)
        for segment_id in touched:
            if segment_id not in board.segments:
                hour.forget(segment_id)
            elif segment_id in known:
                hour.members(segment_id, known[segment_id], now_ms())
        feed.broadcast("counts", partial(_wanted_counts, known))


def _wanted_counts(known: Mapping[SegmentId, int], reader: Reader) -> dict[str, int]:
    return {segment_id: members for segment_id, members in known.items() if reader.wants(segment_id)}


async def replay(settings: ConsoleSettings, start: Mapping[int, int], end: Mapping[int, int]) -> AsyncGenerator[Event]:
    """The changes between two positions, as the live feed would have told them.

    Shape: in order within each partition; `start` is not ahead of `end`. Bound: the caller checks `missed` first.
    """
    positions = dict(start)
    topic = topic_name(settings.topic_prefix, Topic.MEMBERSHIPS)
    async with open_log(settings, topic, settings.partitions) as reading:
        reading.seek(start)
        while any([await reading.position(partition) < end[partition] for partition in end]):
            for record in await reading.poll(CATCH_UP_POLL_MS):
                if record.offset >= end[record.partition]:
                    continue
                positions[record.partition] = record.offset + 1
                change = readable(record, MembershipChangeRecord.decode)
                if change is not None:
                    yield change_event(change, encode_positions(positions))


def not_ahead(start: Mapping[int, int], end: Mapping[int, int]) -> dict[int, int]:
    """Positions that this log has reached: where another console was further, or the log was another, its present ones.

    One that it has not reached would be read from the log's beginning.
    """
    return {partition: min(start[partition], end[partition]) for partition in end}


def missed(start: Mapping[int, int], end: Mapping[int, int]) -> int:
    """How many offsets lie between two positions."""
    return sum(max(0, end[partition] - start[partition]) for partition in end)
