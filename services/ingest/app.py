"""Puts the write API together: routes, guards, errors, and its OpenAPI 3.1 document.

Rule: assembly only. What a route does is in its own module, what it needs is handed to it here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from starlette.types import ASGIApp

from services.ingest import contact_docs
from services.ingest.answers import json_response
from services.ingest.contacts import ContactRoutes
from services.ingest.edge import API, Edge
from services.ingest.guard import Guard, secured
from services.ingest.hot import HotRoute
from services.ingest.idempotency import Idempotency
from services.ingest.once import Once
from services.ingest.posts import Posts
from services.runtime.admission import SECURITY_SCHEMES
from services.runtime.keys import Scope
from services.runtime.problems import HANDLERS
from services.runtime.repeats import KEY_CHARACTERS_MAX

TITLE: Final = "Tidegate ingest"
VERSION: Final = "2.0"
DESCRIPTION: Final = (
    "Every way to write: contacts, segments, attributes, imports and keys. Errors are RFC 9457 problem documents whose "
    "`errors` point at each fault. A write answered 202 is on the log, acknowledged by all replicas."
)
IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A repeat of the request with the same key gets the first answer, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS_MAX, "pattern": "^[!-~]+$"},
}


def build_app(
    guard: Guard,
    once: Once,
    is_stalled: Callable[[], bool],
    contacts: ContactRoutes,
    routers: Iterable[APIRouter],
    schemas: Iterable[dict[str, Any]] = (),
) -> ASGIApp:
    """The ASGI application that serves contacts and `routers` under `/api/v2`."""
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        exception_handlers=dict(HANDLERS),
        redirect_slashes=False,
    )
    for router in (contacts.router(), *routers):
        app.include_router(router, prefix=API)
    all_schemas = {**contact_docs.SCHEMAS, **{k: v for extra in schemas for k, v in extra.items()}}
    document = _serve_openapi(app, guard, all_schemas)
    write_contacts = HotRoute(app, "POST", f"{API}/contacts", guard.admission(Scope.CONTACTS_WRITE), contacts.post)
    return Edge(Idempotency(write_contacts, once, Posts(document["paths"], guard)), is_stalled)


def _serve_openapi(app: FastAPI, guard: Guard, schemas: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}

    async def openapi(_request: Request) -> Response:
        """This API's description."""
        return json_response(document)

    app.add_api_route(
        f"{API}/openapi.json",
        openapi,
        dependencies=[guard.allow(None)],
        operation_id="describe",
        tags=["description"],
        responses=contact_docs.problems(401, 429),
        openapi_extra=secured(None),
    )
    document.update(describe(app, schemas))
    return document


def describe(app: FastAPI, schemas: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, openapi_version="3.1.0"
    )
    for item in document["paths"].values():
        if "post" in item:
            item["post"].setdefault("parameters", []).append(IDEMPOTENCY_KEY)
            for status, answer in contact_docs.problems(400, 409, 503).items():
                item["post"]["responses"].setdefault(str(status), answer)
    components = document.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **schemas}
    components["securitySchemes"] = SECURITY_SCHEMES
    return document
