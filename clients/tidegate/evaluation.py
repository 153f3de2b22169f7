"""Evaluate an expression against given attributes at a given instant, offline: what `tidegate eval` does to each line.

Rule: the same parser, flattening and compiled code as the services; nothing is read but the question. An answer never
raises for what somebody wrote: it lists the errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import orjson

from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Problem, Rejection
from segmentation.expression.check import segment_id_problem
from segmentation.expression.compiler import CompiledSegment, compile_segment
from segmentation.expression.explain import explain
from segmentation.expression.source import parse_where
from segmentation.flatten import escape_pointer, flatten
from segmentation.model import AttributeName, InstantMs, SegmentId, SegmentState, Value
from segmentation.registry import REFERENCE_DEPTH_MAX
from segmentation.values import INSTANT_MAX_MS, INSTANT_MIN_MS, read_instant, read_number

EXPRESSIONS_KEPT_MAX = 4_096
"""Expressions whose parsed and compiled form is kept for the next line."""
_SELF = SegmentId("where")


@dataclass(frozen=True, slots=True)
class Question:
    """One line, read and checked."""

    where: CompiledSegment
    segments: Mapping[SegmentId, CompiledSegment]
    attributes: dict[AttributeName, Value]
    now: InstantMs


class _Refused(Exception):  # noqa: N818  # it carries problems to the one place that answers with them
    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


def answer(line: object, explained: bool = False) -> dict[str, object]:
    """`{"member": bool}`, with `explain` if asked, or `{"errors": [...]}`.

    Shape: `{"where": text or JSON, "attributes": {...}, "now": ms or RFC 3339, "segments"?: {id: where}}`.
    """
    try:
        question = _question(line)
        members = _members(question)
    except _Refused as refused:
        return {"errors": [problem.to_json() for problem in refused.problems]}
    member = question.where.holds(question.attributes, question.now, members)
    if not explained:
        return {"member": member}
    definitions = {segment_id: segment.expression for segment_id, segment in question.segments.items()}
    expression = question.where.expression
    explanation = explain(expression, question.attributes, question.now, members, definitions)
    return {"member": member, "explain": explanation.to_json()}


def _question(line: object) -> Question:
    if not isinstance(line, Mapping):
        raise _Refused(_problem("expects_object", "a line is one JSON object", '{"where": "plan is pro", …}', ""))
    if "where" not in line:
        raise _Refused(_problem("missing_where", "there is no `where`", 'add "where": an expression', "/where"))
    problems: list[Problem] = []
    where = _compiled(line["where"], "/where", problems)
    segments = _segments(line.get("segments", {}), problems)
    attributes = flatten(line.get("attributes", {}), "/attributes")
    problems.extend(attributes.problems)
    compiled = [where, *segments.values()]
    now = _now(line.get("now"), any(one is not None and one.time_dependent for one in compiled), problems)
    if problems or where is None or now is None:
        raise _Refused(*problems)
    held = {name: value for name, value in attributes.changes.items() if value is not None}
    return Question(where, segments, held, now)


def _compiled(where: object, pointer: str, problems: list[Problem]) -> CompiledSegment | None:
    try:
        compiled = _kept(where if isinstance(where, str) else orjson.dumps(where))
    except orjson.JSONEncodeError:  # Nested deeper than can be written again; the parser says so with a pointer.
        compiled = _compile(where)
    if isinstance(compiled, CompiledSegment):
        return compiled
    problems.extend(replace(found, pointer=pointer + (found.pointer or "")) for found in compiled.problems)
    return None


@lru_cache(maxsize=EXPRESSIONS_KEPT_MAX)
def _kept(source: str | bytes) -> CompiledSegment | Rejection:
    """The compiled form of a text, or of JSON as bytes."""
    return _compile(source if isinstance(source, str) else orjson.loads(source))


def _compile(where: object) -> CompiledSegment | Rejection:
    expression = parse_where(where, AttributeCatalogue.empty())
    if isinstance(expression, Rejection):
        return expression
    return compile_segment(_SELF, 1, SegmentState.ACTIVE, expression)


def _segments(given: object, problems: list[Problem]) -> dict[SegmentId, CompiledSegment]:
    segments: dict[SegmentId, CompiledSegment] = {}
    if not isinstance(given, Mapping):
        hint = 'write {"active_users": "last_active within 7d"}'
        problems.append(_problem("expects_object", "`segments` is an object from id to expression", hint, "/segments"))
        return segments
    for segment_id, where in given.items():
        pointer = f"/segments/{escape_pointer(str(segment_id))}"
        found = segment_id_problem(str(segment_id))
        if found is not None:
            problems.append(replace(found, pointer=pointer))
        compiled = _compiled(where, pointer, problems)
        if compiled is not None:
            segments[SegmentId(str(segment_id))] = compiled
    return segments


def _now(given: object, needed: bool, problems: list[Problem]) -> InstantMs | None:
    """Epoch milliseconds, or RFC 3339. It may be left out where nothing depends on time."""
    if given is None and not needed:
        return InstantMs(0)
    at: InstantMs | None = None
    if isinstance(given, int) and not isinstance(given, bool):
        at = InstantMs(given) if INSTANT_MIN_MS <= given <= INSTANT_MAX_MS else None
    elif isinstance(given, str) and read_number(given) is None:
        at = read_instant(given)
    if at is None:
        message = "`now` is missing, and this expression depends on time" if given is None else "`now` is no instant"
        hint = 'write epoch milliseconds (1790000000000) or RFC 3339 ("2026-09-21T14:13:20Z")'
        problems.append(_problem("expects_instant", message, hint, "/now"))
    return at


def _members(question: Question) -> set[SegmentId]:
    """The given segments that hold, each evaluated after those it refers to. An unknown one does not hold.

    References are followed as far as a save would: `where` refers as a segment does.
    """
    members: set[SegmentId] = set()
    depths: dict[SegmentId, int] = {}
    """How many references follow one another from each segment that was evaluated."""

    def deepest(references: frozenset[SegmentId], path: tuple[SegmentId, ...]) -> int:
        depth = max((1 + evaluate(reference, path) for reference in sorted(references)), default=0)
        if depth > REFERENCE_DEPTH_MAX:
            raise _Refused(_too_deep())
        return depth

    def evaluate(segment_id: SegmentId, path: tuple[SegmentId, ...]) -> int:
        if segment_id in path:
            circle = " → ".join((*path, segment_id))
            hint = "break the circle by removing one of these references"
            raise _Refused(
                _problem("reference_cycle", f"these segments refer to one another: {circle}", hint, "/segments")
            )
        if len(path) > REFERENCE_DEPTH_MAX:
            raise _Refused(_too_deep())
        segment = question.segments.get(segment_id)
        if segment is not None and segment_id not in depths:
            depths[segment_id] = deepest(segment.references, (*path, segment_id))
            if segment.holds(question.attributes, question.now, members):
                members.add(segment_id)
        return depths.get(segment_id, 0)

    for segment_id in question.segments:
        evaluate(segment_id, ())
    deepest(question.where.references, ())
    return members


def _too_deep() -> Problem:
    hint = "write the conditions of one of the segments out in place of the reference"
    message = f"references follow one another more than {REFERENCE_DEPTH_MAX} deep"
    return _problem("references_too_deep", message, hint, "/segments")


def _problem(code: str, message: str, hint: str, pointer: str) -> Problem:
    return Problem(code, message, hint, pointer=pointer)
