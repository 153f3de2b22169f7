"""Thousands of segments: listed and counted, and nobody else waits until that is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from schemas.evaluator_status import SegmentStatusRecord
from segmentation.model import InstantMs, SegmentId
from services.console import follow
from services.console.feed import Feed
from services.console.hour import Hour
from services.console.segment_reads import counted
from services.console.status import COUNTED_AT_ONCE_MAX, StatusBoard
from tests.beside import beside

SEGMENTS = 20 * COUNTED_AT_ONCE_MAX
NAMES = [SegmentId(f"s{number:05d}") for number in range(SEGMENTS)]
Result = TypeVar("Result")


def board() -> StatusBoard:
    made = StatusBoard(1)
    for number, name in enumerate(NAMES):
        status = SegmentStatusRecord(segment_id=name, partition=0, version=1, reported_at=InstantMs(1), members=number)
        made.take(status)
    return made


async def turns_beside(work: Awaitable[Result]) -> tuple[int, Result]:
    """How many turns others have until some work is done, and what comes of it."""
    working = asyncio.ensure_future(work)
    turns = 0
    while not working.done():
        await asyncio.sleep(0)
        turns += 1
    return turns, working.result()


async def test_other_requests_have_their_turns_while_a_list_is_counted() -> None:
    entries = [{"id": name, "version": 1, "where": "long"} for name in NAMES]
    turns, listed = await turns_beside(counted(entries, board(), Hour(InstantMs(0)), {"where"}))
    assert turns >= SEGMENTS / COUNTED_AT_ONCE_MAX
    assert [(entry["id"], entry["members"]) for entry in listed] == [(name, at) for at, name in enumerate(NAMES)]
    assert not any("where" in entry for entry in listed)


async def test_other_requests_have_their_turns_while_counts_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "COUNTS_INTERVAL_S", 0)
    feed = Feed(1)
    reader = feed.join(None)
    assert reader is not None
    async with beside(follow.tell_counts(board(), feed, Hour(InstantMs(0)))):
        turns, told = await turns_beside(reader.waiting.get())
    assert turns >= SEGMENTS / COUNTED_AT_ONCE_MAX
    assert told is not None
    assert told.data == {name: at for at, name in enumerate(NAMES)}
