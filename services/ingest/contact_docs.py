"""What the OpenAPI document says of the contact routes: bodies with examples, receipts, problems.

Rule: declarations only; `admission.py` is what decides, and the API's tests hold the two together.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.limits import (
    ATTRIBUTE_NAME_CHARACTERS_MAX,
    CONTACT_ID_BYTES_MAX,
    LIST_ELEMENTS_MAX,
    MESSAGE_ID_CHARACTERS_MAX,
)
from segmentation.flatten import NESTING_MAX
from services.ingest.admission import BATCH_CONTACTS_MAX
from services.runtime.problem_document import PROBLEM_CONTENT, problem_schemas

Json = dict[str, Any]

_TITLES: Final = {
    400: "The body is not JSON that can be read",
    401: "No key, or one that is not known",
    403: "The key lacks the scope",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    409: "It exists already, or is still needed",
    412: "Someone else's edit came first",
    413: "The body is too large",
    415: "The body's media type is not read here",
    422: "The request cannot be accepted; `errors` point at each fault",
    428: "The request needs `If-Match`",
    429: "Too many requests; see `Retry-After`",
    503: "Not now; see `Retry-After`",
}


def problems(*statuses: int) -> dict[int | str, Any]:
    """The error answers of a route."""
    return {status: {"description": _TITLES[status], "content": PROBLEM_CONTENT} for status in statuses}


def leads_to(answer: Json, **links: Json) -> Json:
    """An answer that says which operations go on from it. Shape: operation id to its parameters."""
    described = {name: {"operationId": name, "parameters": parameters} for name, parameters in links.items()}
    return {**answer, "links": described}


def json_body(schema: Json, examples: Json) -> Json:
    """A required JSON request body."""
    named = {name: {"value": value} for name, value in examples.items()}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "examples": named}}}}


def json_answer(description: str, schema: Json) -> Json:
    """A JSON answer."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def reference(name: str) -> Json:
    """A reference to a schema of this document."""
    return {"$ref": f"#/components/schemas/{name}"}


_SCALARS: Final = ["string", "number", "boolean"]
_VALUE: Final[Json] = {
    "description": "Text, a number, true, false, null to remove, a list of scalars, or an object that is made flat; "
    f"at most {NESTING_MAX} levels deep, with names of at most {ATTRIBUTE_NAME_CHARACTERS_MAX} characters then.",
    "type": [*_SCALARS, "null", "array", "object"],
    "maxItems": LIST_ELEMENTS_MAX,
    "items": {"type": _SCALARS},
    "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": "^[^.]*$"},
    "additionalProperties": reference("AttributeValue"),
}
_CHANGE: Final[Json] = {
    "attributes": {
        "type": "object",
        "propertyNames": {"minLength": 1, "maxLength": ATTRIBUTE_NAME_CHARACTERS_MAX},
        "additionalProperties": reference("AttributeValue"),
    },
    "timestamp": {"type": ["string", "null"], "format": "date-time", "description": "For people; log order wins."},
    "message_id": {"type": ["string", "null"], "minLength": 1, "maxLength": MESSAGE_ID_CHARACTERS_MAX},
}
CONTACT_ID: Final[Json] = {
    "type": "string",
    "minLength": 1,
    "maxLength": CONTACT_ID_BYTES_MAX,
    "description": "At most 512 bytes of UTF-8.",
}
SCHEMAS: Final[Json] = {
    **problem_schemas(of_expressions=True),
    "AttributeValue": _VALUE,
    "ContactWrite": {
        "type": "object",
        "required": ["id", "attributes"],
        "additionalProperties": False,
        "properties": {"id": CONTACT_ID, **_CHANGE},
    },
    "ContactBatch": {
        "type": "object",
        "required": ["contacts"],
        "additionalProperties": False,
        "properties": {
            "contacts": {
                "type": "array",
                "minItems": 1,
                "maxItems": BATCH_CONTACTS_MAX,
                "items": reference("ContactWrite"),
            }
        },
    },
    "ContactPatch": {
        "type": "object",
        "required": ["attributes"],
        "additionalProperties": False,
        "properties": _CHANGE,
    },
    "Receipt": {
        "type": "object",
        "required": ["id", "status"],
        "properties": {
            "id": {"type": ["string", "null"]},
            "status": {"type": "integer", "enum": [202, 422, 503]},
            "message_id": {"type": "string"},
            "partition": {"type": "integer"},
            "offset": {"type": "integer"},
            "errors": {"type": "array", "items": {"type": "object"}},
            "evaluated": {"type": "boolean", "description": "With `Prefer: wait`: whether it was, in time."},
            "changes": {
                "type": "array",
                "items": {"type": "object"},
                "description": "With `Prefer: wait`: the membership changes that this write caused, as on memberships.",
            },
            "took_us": {
                "type": "integer",
                "description": "With `Prefer: wait`: from the append to the committed change.",
            },
        },
    },
    "Receipts": {
        "type": "object",
        "required": ["receipts"],
        "properties": {"receipts": {"type": "array", "items": reference("Receipt")}},
    },
}

_PREFER: Final[Json] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`wait=2` waits up to that many seconds (at most 30) until the write is evaluated and committed, "
    "and answers 200 with the membership changes; 202 if it is not by then.",
    "schema": {"type": "string"},
    "example": "wait=2",
}
_ACCEPTED: Final = json_answer("On the log; it will be evaluated.", reference("Receipt"))
_ONE_OR_MANY: Final = json_answer(
    "On the log; it will be evaluated. A batch is answered with `receipts`, in order.",
    {"anyOf": [reference("Receipt"), reference("Receipts")]},
)
_MIXED: Final = json_answer("Some were accepted; each receipt has its own status.", reference("Receipts"))
_COMMON: Final = (401, 403, 429, 503)
_EXAMPLE: Final = {"id": "u_17", "attributes": {"plan": "pro", "address": {"city": "Oslo"}, "phone": None}}

_WRITTEN_ID: Final[Json] = {"contact_id": "$response.body#/id"}
_WRITTEN: Final = leads_to(_ONE_OR_MANY, patchContact=_WRITTEN_ID, eraseContact=_WRITTEN_ID)
POST: Final[Json] = {
    "operation_id": "writeContacts",
    "summary": "Write contacts",
    "responses": {200: _WRITTEN, 202: _WRITTEN, 207: _MIXED, **problems(400, 408, 413, 415, 422, *_COMMON)},
}
POST_EXTRA: Final = {
    "parameters": [_PREFER],
    **json_body(
        {"anyOf": [reference("ContactWrite"), reference("ContactBatch")]},
        {"one": _EXAMPLE, "batch": {"contacts": [_EXAMPLE, {"id": "u_18", "attributes": {"mrr": 99.5}}]}},
    ),
}
PATCH: Final[Json] = {
    "operation_id": "patchContact",
    "summary": "Change one contact",
    "responses": {200: _ACCEPTED, 202: _ACCEPTED, **problems(400, 408, 413, 415, 422, *_COMMON)},
}
ID_IN_PATH: Final[Json] = {"name": "contact_id", "in": "path", "required": True, "schema": CONTACT_ID}
_PATH_ID: Final = {"parameters": [ID_IN_PATH, _PREFER]}
PATCH_EXTRA: Final = {
    **_PATH_ID,
    **json_body(reference("ContactPatch"), {"plan": {"attributes": {"plan": "free", "phone": None}}}),
}
DELETE: Final[Json] = {
    "operation_id": "eraseContact",
    "summary": "Erase a contact",
    "responses": {200: _ACCEPTED, 202: _ACCEPTED, **problems(422, *_COMMON)},
}
DELETE_EXTRA: Final = _PATH_ID
