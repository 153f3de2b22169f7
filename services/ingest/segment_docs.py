"""What the OpenAPI document says of the segment and attribute routes.

Rule: declarations only; `segment_requests.py` is what decides, and the API's tests hold the two together.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.limits import SEGMENT_DESCRIPTION_CHARACTERS_MAX, SEGMENT_NAME_CHARACTERS_MAX
from services.ingest import where_docs
from services.ingest.contact_docs import json_answer, json_body, leads_to, problems, reference

Json = dict[str, Any]

_WHERE: Final[Json] = {
    **reference("Expression"),
    "description": "The expression: text such as `plan is Pro AND last_active within 7d`, or the JSON form.",
}
_EDITABLE: Final[Json] = {
    "where": _WHERE,
    "name": {"type": ["string", "null"], "minLength": 1, "maxLength": SEGMENT_NAME_CHARACTERS_MAX},
    "description": {"type": ["string", "null"], "maxLength": SEGMENT_DESCRIPTION_CHARACTERS_MAX},
    "state": {"type": ["string", "null"], "enum": ["active", "paused", None]},
    "mode": {"type": "string", "enum": ["realtime"]},
}
_SLUG: Final[Json] = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,99}$"}
SCHEMAS: Final[Json] = {
    **where_docs.SCHEMAS,
    "SegmentCreate": {
        "type": "object",
        "required": ["id", "where"],
        "additionalProperties": False,
        "properties": {"id": _SLUG, **_EDITABLE},
    },
    "SegmentEdit": {
        "type": "object",
        "additionalProperties": False,
        "description": "What is left out stays as it is. `state` pauses and resumes.",
        "properties": {"id": _SLUG, **_EDITABLE},
    },
    "SegmentCheck": {
        "type": "object",
        "required": ["where"],
        "additionalProperties": False,
        "properties": {"where": _WHERE, "id": _SLUG},
    },
    "Readings": {
        "type": "object",
        "required": ["where", "text", "english", "attributes", "segments", "depends_on_time", "advice"],
        "properties": {
            "where": {**reference("Conditions"), "description": "The canonical JSON form."},
            "text": {"type": "string", "description": "The canonical text form."},
            "english": {"type": "string"},
            "attributes": {"type": "array", "items": {"type": "string"}},
            "segments": {"type": "array", "items": {"type": "string"}},
            "depends_on_time": {"type": "boolean"},
            "advice": {"type": "array", "items": {"type": "object"}},
        },
    },
    "Segment": {
        "allOf": [
            reference("Readings"),
            {
                "type": "object",
                "required": ["id", "version", "name", "description", "state", "mode", "saved_at"],
                "properties": {
                    "id": _SLUG,
                    "version": {"type": "integer", "minimum": 1},
                    "name": {"type": "string"},
                    "description": {"type": "string"},
                    "state": {"type": "string", "enum": ["active", "paused"]},
                    "mode": {"type": "string"},
                    "saved_at": {"type": "string", "format": "date-time"},
                    "saved_by": {"type": ["string", "null"], "description": "The id of the key."},
                },
            },
        ]
    },
    "Segments": {
        "type": "object",
        "required": ["segments"],
        "properties": {"segments": {"type": "array", "items": reference("Segment")}},
    },
    "AttributeEdit": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "type": {
                "type": ["string", "null"],
                "enum": ["text", "number", "boolean", "instant", "list", "version", None],
            },
            "direction": {"type": ["string", "null"], "enum": ["last", "next", None]},
        },
    },
    "Attribute": {
        "type": "object",
        "required": ["name", "type", "direction"],
        "properties": {
            "name": {"type": "string"},
            "type": {"type": ["string", "null"]},
            "direction": {"type": ["string", "null"]},
        },
    },
}
_ETAG: Final[Json] = {"ETag": {"description": "Strong; what `If-Match` wants.", "schema": {"type": "string"}}}
_IF_MATCH: Final[Json] = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "The ETag of the version that you edit, or `*` for whichever is newest.",
    "schema": {"type": "string", "pattern": '^(\\*|"[0-9]{1,9}")$'},
}
_ID: Final[Json] = {"name": "segment_id", "in": "path", "required": True, "schema": _SLUG}
_COMMON: Final = (401, 403, 429)
_WRITES: Final = (400, 408, 413, 415, 422, 503, *_COMMON)
_EXAMPLE: Final[Json] = {
    "id": "active_pro_users",
    "name": "Active Pro users",
    "where": "plan is Pro AND last_active within 7 days AND email_verified is true",
}
_AS_JSON: Final[Json] = {
    "id": "active_pro_users",
    "where": [{"plan": "pro"}, {"last_active": {"within": "7d"}}, {"email_verified": True}],
    "mode": "realtime",
}


def _segment(description: str) -> Json:
    return {**json_answer(description, reference("Segment")), "headers": _ETAG}


LIST: Final[Json] = {
    "operation_id": "listSegments",
    "responses": {200: json_answer("Every segment, by id.", reference("Segments")), **problems(*_COMMON)},
}
_CREATED_ID: Final[Json] = {"segment_id": "$response.body#/id"}
_CREATED_VERSION: Final[Json] = {**_CREATED_ID, "If-Match": "$response.header.ETag"}
CREATE: Final[Json] = {
    "operation_id": "createSegment",
    "responses": {
        201: leads_to(
            _segment("In force from here on."),
            getSegment=_CREATED_ID,
            editSegment=_CREATED_VERSION,
            deleteSegment=_CREATED_VERSION,
        ),
        **problems(409, *_WRITES),
    },
}
CREATE_EXTRA: Final = json_body(reference("SegmentCreate"), {"text": _EXAMPLE, "json": _AS_JSON})
GET: Final[Json] = {
    "operation_id": "getSegment",
    "responses": {200: _segment("The segment."), **problems(404, *_COMMON)},
}
GET_EXTRA: Final = {"parameters": [_ID]}
EDIT: Final[Json] = {
    "operation_id": "editSegment",
    "responses": {200: _segment("The version now in force."), **problems(404, 409, 412, 428, *_WRITES)},
}
EDIT_EXTRA: Final = {
    "parameters": [_ID, _IF_MATCH],
    **json_body(
        reference("SegmentEdit"), {"pause": {"state": "paused"}, "edit": {"where": 'plan in [Pro, "Pro Plus"]'}}
    ),
}
DELETE: Final[Json] = {
    "operation_id": "deleteSegment",
    "responses": {
        204: {"description": "Its members exit, then no trace of it is left."},
        **problems(404, 409, 412, 428, 503, *_COMMON),
    },
}
DELETE_EXTRA: Final = {"parameters": [_ID, _IF_MATCH]}
VALIDATE: Final[Json] = {
    "operation_id": "validateSegment",
    "responses": {
        200: json_answer("It can be saved; this is how it reads.", reference("Readings")),
        **problems(400, 408, 413, 415, 422, *_COMMON),
    },
}
VALIDATE_EXTRA: Final = json_body(reference("SegmentCheck"), {"text": {"where": _EXAMPLE["where"]}})
_ATTRIBUTE_NAME: Final[Json] = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 256},
}
DECLARE: Final[Json] = {
    "operation_id": "declareAttribute",
    "responses": {200: json_answer("Declared.", reference("Attribute")), **problems(*_WRITES)},
}
DECLARE_EXTRA: Final = {
    "parameters": [_ATTRIBUTE_NAME],
    **json_body(reference("AttributeEdit"), {"instant": {"type": "instant", "direction": "next"}}),
}
