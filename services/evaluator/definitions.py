"""From a definition on the wire to a compiled segment.

Rule: only the canonical JSON form is compiled, never the text, so every partition compiles the same expression. What
cannot be read is returned as a value: it came from outside and becomes a dead letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import orjson

from schemas.segment_definition import SegmentDefinitionRecord
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.compiler import CompiledSegment, compile_segment
from segmentation.expression.jsonform import parse_json
from segmentation.model import SegmentId, SegmentState
from services.evaluator.dead_letters import UNUSABLE_DEFINITION

COMPILED_DEFINITIONS_MAX = 20_000
"""Remembered over all partitions of the process: every partition of a log receives the same definitions."""


@dataclass(frozen=True, slots=True)
class UnusableDefinition:
    """Why a definition cannot be compiled."""

    code: str
    message: str


def compile_definition(definition: SegmentDefinitionRecord) -> CompiledSegment | UnusableDefinition:
    """The compiled segment, one object for all partitions of the process."""
    where = orjson.dumps(definition.where)
    return _compile(definition.segment_id, definition.version, definition.state, where)


@lru_cache(maxsize=COMPILED_DEFINITIONS_MAX)
def _compile(
    segment_id: SegmentId, version: int, state: SegmentState, where: bytes
) -> CompiledSegment | UnusableDefinition:
    parsed = parse_json(orjson.loads(where), AttributeCatalogue.empty())
    if isinstance(parsed, Rejection):
        reasons = "; ".join(problem.message for problem in parsed.problems)
        return UnusableDefinition(UNUSABLE_DEFINITION, f"segment {segment_id} version {version}: {reasons}")
    return compile_segment(segment_id, version, state, parsed)
