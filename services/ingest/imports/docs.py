"""What the OpenAPI document says of the import routes: parameters, bodies with examples, answers.

Rule: declarations only; `service.py` is what decides, and the API's tests hold the two together.
"""

from __future__ import annotations

from typing import Any, Final, get_args

from segmentation.attributes import AttributeType
from services.ingest.contact_docs import json_answer, json_body, leads_to, problems, reference
from services.ingest.imports.dialect import Encoding
from services.ingest.imports.limits import IMPORTS_LISTED_MAX
from services.ingest.imports.mapping import ImportMapping
from services.ingest.imports.multipart import FILE_FIELD, MULTIPART
from services.ingest.imports.records import ImportState
from services.ingest.imports.upload import KINDS
from services.ingest.imports.upload_query import PARAMETERS

Json = dict[str, Any]

_NUMBER: Final[Json] = {"type": ["integer", "null"]}
_TEXT: Final[Json] = {"type": ["string", "null"]}
_INSTANT: Final[Json] = {"type": ["string", "null"], "format": "date-time"}
_SUMMARY: Final[Json] = {
    "id": {"type": "string"},
    "name": {"type": "string"},
    "state": {"type": "string", "enum": [state.value for state in ImportState]},
    "created_at": {"type": "string", "format": "date-time"},
    "started_at": _INSTANT,
    "finished_at": _INSTANT,
    "rows_total": {**_NUMBER, "description": "Rows with content; null until the whole file was read."},
    "rows_read": {"type": "integer"},
    "accepted": {"type": "integer", "description": "Rows that are on the log, acknowledged by all replicas."},
    "rejected": {"type": "integer"},
    "blank_rows": {"type": "integer"},
    "bytes_total": {"type": "integer"},
    "bytes_read": {"type": "integer"},
    "rate_rows_per_s": _NUMBER,
    "eta_s": _NUMBER,
    "waiting": {**_TEXT, "description": "What the import waits for, while it waits."},
    "repeat_of": {**_TEXT, "description": "The import that wrote this file before; this one wrote nothing."},
    "problem": {"type": ["object", "null"]},
    "next": {**_TEXT, "description": "What can be done next."},
}
_MAPPING_SCHEMA: Final = ImportMapping.model_json_schema(ref_template="#/components/schemas/{model}")
SCHEMAS: Final[Json] = {
    **_MAPPING_SCHEMA.pop("$defs"),
    "ImportMapping": _MAPPING_SCHEMA,
    "ImportSummary": {"type": "object", "required": list(_SUMMARY), "properties": _SUMMARY},
    "Import": {
        "type": "object",
        "required": [*_SUMMARY, "format", "columns", "mapping", "preview"],
        "properties": {
            **_SUMMARY,
            "format": {"type": "object", "description": "Encoding, delimiter, line end and header as detected."},
            "columns": {"type": "array", "items": {"type": "object"}, "description": "Each with suggestions."},
            "suggested_id_column": _TEXT,
            "mapping": {"type": ["object", "null"]},
            "mapping_source": {"type": ["string", "null"], "enum": ["given", "remembered", None]},
            "dry_run": {"type": ["object", "null"]},
            "errors": {"type": "array", "items": {"type": "object"}, "description": "Grouped by repair."},
            "preview": {"type": "array", "items": {"type": "object"}, "description": "The first 20 rows."},
        },
    },
}

_COMMON: Final = (401, 403, 429, 503)
_ID: Final[Json] = {"name": "import_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_REPEATED: Final = {
    "map": "^.*[^ ].*=.*$",
    "type": f"^.*[^ ].*=({'|'.join(known.value for known in AttributeType)})$",
}
_VALUES: Final[dict[str, list[str]]] = {
    "blank": ["keep", "remove"],
    "delimiter": ["comma", "semicolon", "tab", "pipe"],
    "encoding": list(get_args(Encoding)),
    "header": ["true", "false"],
    "commit": ["true", "false"],
    "again": ["true", "false"],
}
_TRUTH: Final[Json] = {"type": "string", "enum": ["true", "false"]}


def _parameter(name: str, description: str) -> Json:
    schema: Json = {"type": "string"} if name not in _VALUES else {"type": "string", "enum": _VALUES[name]}
    if name in _REPEATED:
        schema = {"type": "array", "items": {"type": "string", "pattern": _REPEATED[name]}}
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _import(description: str) -> Json:
    return json_answer(description, reference("Import"))


_THIS: Final[Json] = {"import_id": "$response.body#/id"}


def _uploaded(description: str) -> Json:
    steps = dict.fromkeys(
        ("getImport", "mapImport", "tryImport", "commitImport", "cancelImport", "getImportErrors"), _THIS
    )
    return leads_to(_import(description), **steps)


UPLOAD: Final[Json] = {
    "operation_id": "uploadImport",
    "summary": "Upload a CSV file",
    "status_code": 201,
    "responses": {
        201: _uploaded("Stored and looked at; waits for a mapping or the commit."),
        202: _uploaded("Stored, and being written."),
        **problems(400, 408, 413, 415, 422, *_COMMON),
    },
    "openapi_extra": {
        "parameters": [_parameter(name, description) for name, description in PARAMETERS.items()],
        "requestBody": {
            "required": True,
            "description": "The file itself: CSV with any of the four delimiters, plain or gzip, at most 1 GiB. "
            f"Besides `text/csv` it may be called {', '.join(f'`{kind}`' for kind in KINDS[1:])}, or nothing.",
            "content": {
                "text/csv": {
                    "schema": {},
                    "examples": {"two contacts": {"value": "email,plan\nann@example.com,pro\nbob@example.com,free\n"}},
                },
                MULTIPART: {
                    "schema": {
                        "type": "object",
                        "required": [FILE_FIELD],
                        "description": "A form, as browsers and `curl -F` send it. Any parameter may be a field, "
                        "before the file.",
                        "properties": {FILE_FIELD: {"type": "string", "contentMediaType": "text/csv"}},
                    }
                },
            },
        },
    },
}
LIST: Final[Json] = {
    "operation_id": "listImports",
    "summary": "Imports, newest first",
    "responses": {
        200: json_answer(
            "A page.",
            {
                "type": "object",
                "required": ["imports", "next"],
                "properties": {"imports": {"type": "array", "items": reference("ImportSummary")}, "next": _TEXT},
            },
        ),
        **problems(422, *_COMMON),
    },
    "openapi_extra": {
        "parameters": [
            {
                "name": "limit",
                "in": "query",
                "schema": {"type": "integer", "minimum": 1, "maximum": IMPORTS_LISTED_MAX},
            },
            {"name": "cursor", "in": "query", "schema": {"type": "string"}, "description": "`next` of a page."},
        ]
    },
}
GET: Final[Json] = {
    "operation_id": "getImport",
    "summary": "One import as it is now",
    "responses": {200: _import("The import."), **problems(404, 422, *_COMMON)},
    "openapi_extra": {"parameters": [_ID]},
}
MAPPING: Final[Json] = {
    "operation_id": "mapImport",
    "summary": "Decide how columns become attributes",
    "responses": {200: _import("Mapped, with a new preview."), **problems(400, 404, 408, 409, 413, 415, 422, *_COMMON)},
    "openapi_extra": {
        "parameters": [_ID],
        **json_body(
            reference("ImportMapping"),
            {
                "an email list": {
                    "id_column": "Email",
                    "columns": {
                        "Email": {"attribute": "email"},
                        "Orders": {"attribute": "orders", "type": AttributeType.NUMBER.value},
                        "Notes": {"attribute": None},
                    },
                    "blank": "keep",
                }
            },
        ),
    },
}
_STEP: Final = problems(404, 409, 422, *_COMMON)
DRY_RUN: Final[Json] = {
    "operation_id": "tryImport",
    "summary": "Read the whole file and say what would happen",
    "status_code": 202,
    "responses": {202: _import("Being read; `dry_run` holds the result when `state` is `checked`."), **_STEP},
    "openapi_extra": {"parameters": [_ID]},
}
COMMIT: Final[Json] = {
    "operation_id": "commitImport",
    "summary": "Write the rows",
    "status_code": 202,
    "responses": {202: _import("Being written."), **_STEP},
    "openapi_extra": {
        "parameters": [
            _ID,
            {"name": "again", "in": "query", "schema": _TRUTH, "description": PARAMETERS["again"]},
        ]
    },
}
CANCEL: Final[Json] = {
    "operation_id": "cancelImport",
    "summary": "Stop an import; what is written stays written",
    "responses": {200: _import("Cancelled."), **_STEP},
    "openapi_extra": {"parameters": [_ID]},
}
ERRORS: Final[Json] = {
    "operation_id": "getImportErrors",
    "summary": "The rejected rows as CSV",
    "responses": {
        200: {
            "description": "The original columns, then row, column, expected, found and fix.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **problems(404, 422, *_COMMON),
    },
    "openapi_extra": {"parameters": [_ID]},
}
