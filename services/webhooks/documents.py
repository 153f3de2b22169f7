"""What the webhooks API takes and answers, and its OpenAPI document.

Rule: declarations only; the routes decide, and the tests hold their answers to these.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from schemas.record import WireSegmentId
from schemas.webhook import SEGMENTS_PER_WEBHOOK_MAX
from services.runtime.admission import SECURITY_SCHEME, SECURITY_SCHEMES
from services.runtime.keys import Scope
from services.runtime.problem_document import PROBLEM_CONTENT, problem_schemas
from services.runtime.repeats import HEADER, KEY_CHARACTERS_MAX
from services.webhooks.addresses import URL_CHARACTERS_MAX

VERSION: Final = "2.0"
TITLES: Final = {
    400: "The body cannot be read, or the Idempotency-Key not be used",
    401: "No key, or one that is not known",
    403: "The key lacks the scope",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    409: "There are as many as there may be",
    413: "The body is too large",
    422: "The request cannot be accepted",
    429: "Too many requests; see `Retry-After`",
    502: "The receiver did not take it; it stays in the list",
    503: "Not now; see `Retry-After`",
}
EVERYWHERE: Final = (401, 403, 429)
SECURED: Final[dict[str, Any]] = {"security": [{SECURITY_SCHEME: [Scope.ADMIN.value]}]}
REPEATABLE: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": "A repeat of the request with the same key gets the first answer.",
            "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS_MAX},
        }
    ]
}


class WebhookRequest(BaseModel):
    """What to make. Without `segments`: all of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Annotated[str, Field(max_length=URL_CHARACTERS_MAX)]
    segments: Annotated[list[WireSegmentId] | None, Field(min_length=1, max_length=SEGMENTS_PER_WEBHOOK_MAX)] = None


class Webhook(BaseModel):
    """Where changes are sent."""

    id: str
    url: str
    segments: list[str] | None
    created_at: datetime
    failures: Annotated[int, Field(description="Deliveries that were given up and not made since.")]


class MadeWebhook(Webhook):
    """A new webhook, with the secret that signs what it sends."""

    secret: Annotated[str, Field(description="Told in this answer only.")]


class Webhooks(BaseModel):
    """Every webhook."""

    webhooks: list[Webhook]


class Failure(BaseModel):
    """A delivery that was given up."""

    id: str
    delivery_id: str
    contact_id: str
    failed_at: datetime
    attempts: int
    reason: str
    body: Annotated[dict[str, Any], Field(description="What was sent.")]


class Failures(BaseModel):
    """Deliveries that were given up, newest first."""

    total: int
    failures: list[Failure]


class Delivered(BaseModel):
    """The receiver took it."""

    delivered: bool


class OpenApi(BaseModel):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]


def answers(status: int, model: type[BaseModel] | None, description: str, *problems: int) -> dict[str, Any]:
    """What a route says of its answers."""
    told: dict[int | str, Any] = {status: {"description": description, **({"model": model} if model else {})}}
    for problem in sorted((*problems, *EVERYWHERE)):
        told[problem] = {"description": TITLES[problem], "content": PROBLEM_CONTENT}
    return {"status_code": status, "responses": told}


def taking(model: type[BaseModel]) -> dict[str, Any]:
    """What a route says of its body."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    document = get_openapi(
        title="Tidegate webhooks",
        version=VERSION,
        description="Membership changes by HTTP: where they are sent, and what could not be sent.",
        routes=app.routes,
        openapi_version="3.1.0",
    )
    components = document.setdefault("components", {})
    asked = WebhookRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    components["schemas"] |= {
        **asked.pop("$defs", {}),
        WebhookRequest.__name__: asked,
        **problem_schemas(of_expressions=False),
    }
    components["schemas"] = {
        name: schema for name, schema in sorted(components["schemas"].items()) if "ValidationError" not in name
    }
    components["securitySchemes"] = SECURITY_SCHEMES
    for item in document["paths"].values():
        for operation in item.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]  # The framework's own: a path's parts are taken as they are.
    return document
