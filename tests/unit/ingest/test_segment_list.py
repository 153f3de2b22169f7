"""A list of thousands of segments: whole and in order, and no other request waits until it is made."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import orjson

from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.parser import parse_text
from segmentation.model import InstantMs, SegmentId
from services.ingest.definition_log import KnownSegment
from services.ingest.segment_requests import Author, Wanted, deletion, propose
from services.ingest.segments import SHOWN_AT_ONCE_MAX, SegmentRoutes

SEGMENTS = 20 * SHOWN_AT_ONCE_MAX
AUTHOR = Author("k", "req_1", InstantMs(1))


def known() -> dict[SegmentId, KnownSegment]:
    expression = parse_text("plan is Pro", AttributeCatalogue.empty())
    assert not isinstance(expression, Rejection)
    segments: dict[SegmentId, KnownSegment] = {}
    for number in reversed(range(SEGMENTS + 1)):
        segment_id = SegmentId(f"s{number:05d}")
        record = propose(segment_id, 0, None, Wanted(expression, None, None, None), AUTHOR)
        assert not isinstance(record, Rejection)
        segments[segment_id] = KnownSegment(deletion(record, AUTHOR) if number == SEGMENTS else record, 1)
    return segments


async def test_other_requests_have_their_turns_while_a_list_of_segments_is_made() -> None:
    topics: Any = SimpleNamespace(segments=known(), catalogue=AttributeCatalogue.empty())
    routes = SegmentRoutes(topics, cast("Any", None), lambda: InstantMs(1))
    listing = asyncio.create_task(routes.list())
    turns = 0
    while not listing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= SEGMENTS / SHOWN_AT_ONCE_MAX
    listed = orjson.loads(bytes(listing.result().body))["segments"]
    assert [segment["id"] for segment in listed] == [f"s{number:05d}" for number in range(SEGMENTS)]
