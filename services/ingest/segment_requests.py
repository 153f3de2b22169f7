"""What a request to define a segment becomes: a proposed record, or every problem found in it.

Pure: the present segment, the declarations and the instant come in as arguments. Rule: both written forms go through
the core's own parsers, and what is proposed is their canonical form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from pydantic import JsonValue

from schemas.limits import (
    DEFINITION_BYTES_MAX,
    SEGMENT_DESCRIPTION_CHARACTERS_MAX,
    SEGMENT_ID_PATTERN,
    SEGMENT_NAME_CHARACTERS_MAX,
)
from schemas.segment_definition import SegmentDefinitionRecord
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Problem, Rejection
from segmentation.expression.check import advice
from segmentation.expression.jsonform import parse_json, to_json
from segmentation.expression.parser import parse_text
from segmentation.expression.reads import attributes_read, depends_on_time, segments_read
from segmentation.expression.render import to_english, to_text
from segmentation.expression.syntax import Expression
from segmentation.model import InstantMs, SegmentId, SegmentState
from services.ingest.unknown_fields import unknown_fields

FIELDS: Final = ("id", "where", "name", "description", "state", "mode")
MODES: Final = ("realtime",)
WRITABLE_STATES: Final = (SegmentState.ACTIVE, SegmentState.PAUSED)
_SEGMENT_ID = re.compile(SEGMENT_ID_PATTERN)


@dataclass(frozen=True, slots=True)
class Author:
    """Who proposes, for the audit history."""

    key_id: str
    request_id: str
    at: InstantMs


@dataclass(frozen=True, slots=True)
class Wanted:
    """A definition as asked for; None keeps what the present one says."""

    expression: Expression | None
    name: str | None
    description: str | None
    state: SegmentState | None


def read_segment_id(value: object) -> SegmentId | Problem:
    """The id of a new segment."""
    if isinstance(value, str) and _SEGMENT_ID.fullmatch(value):
        return SegmentId(value)
    slug = _slug(value) if isinstance(value, str) else ""
    return Problem(
        "invalid_segment_id",
        "a segment id is 1 to 100 lower-case letters, digits, `-` and `_`, and begins with a letter or a digit",
        f"write {slug or 'active_pro_users'}",
        pointer="/id",
    )


def read_where(where: object, attributes: AttributeCatalogue) -> Expression | Rejection:
    """The expression under `where`, in either written form."""
    if isinstance(where, str):
        return parse_text(where, attributes)
    parsed = parse_json(where, attributes)
    if isinstance(parsed, Rejection):
        return Rejection(tuple(replace(found, pointer=f"/where{found.pointer or ''}") for found in parsed.problems))
    return parsed


def read_definition(body: object, attributes: AttributeCatalogue, *, where_needed: bool) -> Wanted | Rejection:
    """The body of a create or an edit, its id apart."""
    if not isinstance(body, dict):
        return Rejection((Problem("expects_object", "the body must be a JSON object", "send {…}", pointer=""),))
    problems = unknown_fields(body, FIELDS, "", f"is not one of {', '.join(FIELDS)}")
    name = _read_text(body, "name", SEGMENT_NAME_CHARACTERS_MAX, 1, problems)
    description = _read_text(body, "description", SEGMENT_DESCRIPTION_CHARACTERS_MAX, 0, problems)
    state = _read_state(body.get("state"), problems)
    if body.get("mode", MODES[0]) not in MODES:
        problems.append(Problem("unknown_mode", "`mode` can only be `realtime`", "leave it out", pointer="/mode"))
    expression: Expression | None = None
    if "where" in body:
        parsed = read_where(body["where"], attributes)
        if isinstance(parsed, Rejection):
            problems.extend(parsed.problems)
        else:
            expression = parsed
    elif where_needed:
        hint = 'write the expression, for example "plan is Pro" or [{"plan": "pro"}]'
        problems.append(Problem("missing_where", "`where` is missing", hint, pointer="/where"))
    if problems:
        return Rejection(tuple(problems))
    return Wanted(expression, name, description, state)


def propose(
    segment_id: SegmentId, replaces: int, present: SegmentDefinitionRecord | None, wanted: Wanted, author: Author
) -> SegmentDefinitionRecord | Rejection:
    """The next version of a segment. `present` is the one that it edits, None for a new segment."""
    if wanted.expression is not None:
        where, text = cast("JsonValue", to_json(wanted.expression)), to_text(wanted.expression)
    elif present is not None:
        where, text = present.where, present.text
    else:
        raise AssertionError("a new segment has an expression")
    record = SegmentDefinitionRecord(
        segment_id=segment_id,
        version=replaces + 1,
        replaces=replaces,
        state=wanted.state or (present.state if present is not None else SegmentState.ACTIVE),
        name=wanted.name or (present.name if present is not None else segment_id),
        description=_first_said(wanted.description, present.description if present is not None else ""),
        where=where,
        text=text,
        defined_at=author.at,
        defined_by=author.key_id,
        request_id=author.request_id,
    )
    size = len(record.encode())
    if size > DEFINITION_BYTES_MAX:
        message = f"the definition has {size} bytes as JSON; at most {DEFINITION_BYTES_MAX} are taken"
        hint = "split it into segments that refer to one another"
        return Rejection((Problem("definition_too_large", message, hint, pointer="/where"),))
    return record


def deletion(present: SegmentDefinitionRecord, author: Author) -> SegmentDefinitionRecord:
    """The version that ends a segment. It repeats the last expression, for the audit history."""
    return present.model_copy(
        update={
            "version": present.version + 1,
            "replaces": present.version,
            "state": SegmentState.DELETED,
            "defined_at": author.at,
            "defined_by": author.key_id,
            "request_id": author.request_id,
        }
    )


def says_the_same(left: SegmentDefinitionRecord, right: SegmentDefinitionRecord) -> bool:
    """Whether two versions differ in nothing but who wrote them and when."""
    return _content(left) == _content(right)


def readings(expression: Expression, attributes: AttributeCatalogue, suggest: bool = True) -> dict[str, Any]:
    """The canonical forms of an expression and what follows from it. `suggest`: also the names perhaps meant."""
    return {
        "where": to_json(expression),
        "text": to_text(expression),
        "english": to_english(expression),
        "attributes": sorted(attributes_read(expression)),
        "segments": sorted(segments_read(expression)),
        "depends_on_time": depends_on_time(expression),
        "advice": [found.to_json() for found in advice(expression, attributes, suggest)],
    }


def _content(record: SegmentDefinitionRecord) -> tuple[object, ...]:
    return record.state, record.name, record.description, record.where


def _first_said(wanted: str | None, otherwise: str) -> str:
    return otherwise if wanted is None else wanted


def _read_text(
    body: Mapping[str, object], field: str, characters_max: int, characters_min: int, problems: list[Problem]
) -> str | None:
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, str) and characters_min <= len(value) <= characters_max:
        return value
    message = f"`{field}` must be text of {characters_min} to {characters_max} characters"
    problems.append(Problem(f"invalid_{field}", message, "shorten it, or leave it out", pointer=f"/{field}"))
    return None


def _read_state(value: object, problems: list[Problem]) -> SegmentState | None:
    if value is None:
        return None
    if value in WRITABLE_STATES:
        return SegmentState(str(value))
    hint = "to delete the segment, send DELETE"
    problems.append(Problem("invalid_state", "`state` must be `active` or `paused`", hint, pointer="/state"))
    return None


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_-")[:100]
