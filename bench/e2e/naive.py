"""What the peers evaluate with: contacts in memory, every segment's compiled closure at every write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.compiler import CompiledSegment, compile_segment
from segmentation.expression.jsonform import parse_json
from segmentation.model import InstantMs, SegmentId, SegmentState


class Naive:
    """Contacts in memory, every segment evaluated at every write."""

    def __init__(self) -> None:
        self.segments: dict[SegmentId, CompiledSegment] = {}
        self.contacts: dict[bytes, tuple[dict[Any, Any], set[SegmentId]]] = {}

    def define(self, value: bytes) -> None:
        """Take a definition."""
        body = orjson.loads(value)
        self.segments[body["segment_id"]] = compiled(body["segment_id"], body["where"])

    def write(
        self, attributes: dict[Any, Any], members: set[SegmentId], changes: Mapping[Any, Any], now: int
    ) -> list[tuple[SegmentId, bool]]:
        """Merge a write in place; the segments entered (True) and left."""
        for name, value in changes.items():
            if value is None:
                attributes.pop(name, None)
            else:
                attributes[name] = value
        flips: list[tuple[SegmentId, bool]] = []
        for segment_id, segment in self.segments.items():
            holds = segment.holds(attributes, InstantMs(now), members)
            if holds is not (segment_id in members):
                flips.append((segment_id, holds))
                (members.add if holds else members.discard)(segment_id)
        return flips


def compiled(segment_id: str, where: object) -> CompiledSegment:
    """A segment from its JSON form."""
    parsed = parse_json(where, AttributeCatalogue.empty())
    if isinstance(parsed, Rejection):
        raise TypeError(str(parsed))
    return compile_segment(SegmentId(segment_id), 1, SegmentState.ACTIVE, parsed)
