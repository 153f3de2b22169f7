"""The console's OpenAPI 3.1 document: its own routes, each with its scope, its answer and its problems.

Rule: paths and parameters come from the routes themselves; the table adds what they do not say, and a route that is not
in it is a defect that building the document shows. What the console forwards is in the documents of those services.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson
from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from services.console import documents
from services.console.forward import API
from services.runtime.admission import SECURITY_SCHEME, SECURITY_SCHEMES
from services.runtime.keys import Scope
from services.runtime.problem_document import PROBLEM_CONTENT, problem_schemas

VERSION: Final = "2.0"
REFERENCE: Final = "#/components/schemas/{model}"
METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})
TITLES: Final = {
    400: "The body or the event id cannot be read",
    401: "No key, or one that is not known",
    403: "The key lacks the scope",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    413: "The body is too large",
    422: "A parameter or the body cannot be accepted",
    503: "The answer would be incomplete now; see `Retry-After`",
}

Json = dict[str, Any]
Model = type[BaseModel]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route does not say of itself."""

    id: str
    answer: Model | None
    scope: Scope | None
    problems: tuple[int, ...] = (422, 503)
    body: Model | None = None
    media_type: str = "application/json"
    status: int = 200
    needs_key: bool = False
    """Any key will do, where no scope is needed."""


_CONTACTS: Final = Scope.CONTACTS_READ
_SEGMENTS: Final = Scope.SEGMENTS_READ
_KNOWN: Final = (404, 422, 503)
OPERATIONS: Final = {
    "GET /contacts": Operation("listContacts", documents.ContactIds, _CONTACTS),
    "GET /contacts/{contact_id}": Operation("readContact", documents.Contact, _CONTACTS, _KNOWN),
    "GET /contacts/{contact_id}/changes": Operation("listContactChanges", documents.Changes, _CONTACTS, _KNOWN),
    "GET /contacts/{contact_id}/membership": Operation("readMembership", documents.PastMembership, _CONTACTS, _KNOWN),
    "GET /contacts/{contact_id}/explain": Operation("explain", documents.Explanation, _CONTACTS, _KNOWN),
    "GET /attributes": Operation("listAttributes", documents.Attributes, _CONTACTS, (503,)),
    "GET /segments": Operation("listSegments", documents.Segments, _SEGMENTS),
    "GET /segments/{segment_id}": Operation("readSegment", documents.Segment, _SEGMENTS, _KNOWN),
    "GET /segments/{segment_id}/members": Operation("listMembers", documents.Members, _SEGMENTS, _KNOWN),
    "GET /segments/{segment_id}/changes": Operation("listSegmentChanges", documents.Changes, _SEGMENTS, _KNOWN),
    "GET /segments/{segment_id}/cost": Operation("measureSegment", documents.Cost, _SEGMENTS, _KNOWN),
    "POST /segments/preview": Operation(
        "previewSegment", documents.Preview, _SEGMENTS, (400, 408, 413, 422, 503), documents.PreviewRequest
    ),
    "GET /events": Operation("followChanges", None, _SEGMENTS, (400, 422, 503), media_type="text/event-stream"),
    "GET /status": Operation("readStatus", documents.Status, _SEGMENTS, (422,)),
    "GET /dead-letters": Operation("listDeadLetters", documents.DeadLetters, Scope.ADMIN),
    "GET /dead-letters/{partition}/{offset}": Operation(
        "readDeadLetter", documents.WholeDeadLetter, Scope.ADMIN, _KNOWN
    ),
    "GET /openapi.json": Operation("describe", documents.OpenApi, None, (401,), needs_key=True),
    "POST /session": Operation("logIn", documents.Session, None, (400, 401, 408, 422), documents.LogInRequest),
    "GET /session": Operation("readSession", documents.Session, None, (401,)),
    "DELETE /session": Operation("logOut", None, None, (), status=204),
}
"""By method and path below `/api/v2`."""


def serve_document(app: FastAPI, admit: Any) -> None:
    """Serve the application's document, to whoever `admit` lets in; it is made when it is first asked for."""
    made: list[bytes] = []

    async def openapi() -> Response:
        """What this API's routes take and answer."""
        if not made:
            made.append(orjson.dumps(describe(app)))
        return Response(made[0], media_type="application/json")

    app.add_api_route(f"{API}/openapi.json", openapi, dependencies=[Depends(admit)])


def describe(app: FastAPI) -> Json:
    """The document. Errors: KeyError for a route that the table does not know."""
    document = get_openapi(
        title="Tidegate console",
        version=VERSION,
        description="Every way to read. Errors are RFC 9457 problem documents; an answer is whole or it is one.",
        routes=app.routes,
        openapi_version="3.1.0",
    )
    served = {path: item for path, item in document["paths"].items() if path.startswith(API)}
    for path, item in served.items():
        for method in METHODS & item.keys():
            _complete(item[method], OPERATIONS[f"{method.upper()} {path.removeprefix(API)}"], path)
    document["paths"] = served
    of_parameters = document.get("components", {}).get("schemas", {})
    document["components"] = {
        "schemas": {name: each for name, each in of_parameters.items() if "ValidationError" not in name} | _schemas(),
        "securitySchemes": SECURITY_SCHEMES,
    }
    return document


def _complete(described: Json, operation: Operation, path: str) -> None:
    described["operationId"] = operation.id
    described["tags"] = [path.removeprefix(API).split("/")[1]]
    described["security"] = [{SECURITY_SCHEME: [operation.scope.value] if operation.scope is not None else []}]
    if operation.scope is None and not operation.needs_key:
        described["security"] = []
    answer: Json = {"description": described.get("summary", "")}
    if operation.status != 204:
        schema = {"type": "string"} if operation.answer is None else _reference(operation.answer)
        answer["content"] = {operation.media_type: {"schema": schema}}
    refusals = (*operation.problems, *(() if operation.scope is None else (401, 403)))
    described["responses"] = {str(operation.status): answer} | {
        str(status): {
            "description": TITLES[status],
            "content": PROBLEM_CONTENT,
        }
        for status in sorted(refusals)
    }
    if operation.body is not None:
        content = {"application/json": {"schema": _reference(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}


def _reference(model: Model) -> Json:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _schemas() -> Json:
    asked = [operation.body for operation in OPERATIONS.values() if operation.body is not None]
    told = [operation.answer for operation in OPERATIONS.values() if operation.answer is not None]
    models: list[tuple[Model, JsonSchemaMode]] = [(model, "validation") for model in asked]
    models += [(model, "serialization") for model in told]
    _, schemas = models_json_schema(list(dict.fromkeys(models)), ref_template=REFERENCE)
    definitions: Json = schemas["$defs"]
    return dict(sorted({**definitions, **problem_schemas(of_expressions=True)}.items()))
