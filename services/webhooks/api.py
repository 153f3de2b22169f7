"""The API of webhooks: make, list and delete them, see what could not be delivered, and try it again.

Rule: every route needs the scope `admin`. A secret is in the answer that made it and nowhere else.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from schemas.record import WireSegmentId
from schemas.webhook import SEGMENTS_PER_WEBHOOK_MAX, WebhookFailureRecord, WebhookRecord
from segmentation.values import iso_text
from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.keys import KeyFile, Scope
from services.runtime.logs import get_logger
from services.webhooks.addresses import URL_CHARACTERS_MAX, AddressRefusedError, NameUnresolvedError, read_url, resolve
from services.webhooks.follower import Follower, begin_at_the_end
from services.webhooks.registry import WEBHOOKS_MAX, Registry
from services.webhooks.sender import StoppedError
from services.webhooks.settings import WebhookSettings
from services.webhooks.signing import new_secret

API: Final = "/api/v2"
BEARER: Final = "bearer "
WEBHOOK_ID_BYTES: Final = 8
FAILURES_SHOWN: Final = 100
BODY_BYTES_MAX: Final = 256 * 1024
BODY_TIMEOUT_S: Final = 30

log = get_logger("audit")


class WebhookRequest(BaseModel):
    """What to make. Without `segments`: all of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Annotated[str, Field(max_length=URL_CHARACTERS_MAX)]
    segments: Annotated[list[WireSegmentId] | None, Field(min_length=1, max_length=SEGMENTS_PER_WEBHOOK_MAX)] = None


class WebhookRoutes:
    """The routes under `/webhooks`."""

    def __init__(
        self,
        settings: WebhookSettings,
        registry: Registry,
        follower_of: Callable[[str], Follower | None],
        keys: KeyFile,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._follower_of = follower_of
        self._keys = keys

    def router(self) -> APIRouter:
        """All of them, for `admin` only."""
        router = APIRouter(prefix=f"{API}/webhooks", tags=["webhooks"], dependencies=[Depends(self._admit)])
        router.add_api_route("", self.list, methods=["GET"])
        router.add_api_route("", self.create, methods=["POST"], status_code=201)
        router.add_api_route("/{webhook_id}", self.delete, methods=["DELETE"], status_code=204)
        router.add_api_route("/{webhook_id}/failures", self.failures, methods=["GET"])
        router.add_api_route("/{webhook_id}/failures/{failure_id}/replay", self.replay, methods=["POST"])
        return router

    async def list(self) -> Response:
        """Every webhook, without its secret."""
        return _json({"webhooks": [self._shown(webhook) for webhook in self._registry.webhooks.values()]})

    async def create(self, request: Request) -> Response:
        """Make a webhook; it gets what changes from now on."""
        try:
            wanted = WebhookRequest.model_validate_json(await _body(request))
        except ValidationError as error:
            return _invalid(error)
        if len(self._registry.webhooks) >= WEBHOOKS_MAX:
            raise HTTPException(409, f"there are {WEBHOOKS_MAX} webhooks already; delete one first")
        allow_local = self._settings.webhooks_allow_local
        try:
            await resolve(read_url(wanted.url, allow_local=allow_local), allow_local=allow_local)
        except (AddressRefusedError, NameUnresolvedError) as error:
            raise HTTPException(422, str(error)) from error
        webhook = WebhookRecord(
            id=f"wh_{secrets.token_hex(WEBHOOK_ID_BYTES)}",
            url=wanted.url,
            segments=wanted.segments,
            secret=new_secret(),
            created_at=clock.now_ms(),
        )
        await begin_at_the_end(self._settings, webhook.id)
        await self._registry.put(webhook)
        log.info("webhook made", webhook=webhook.id)
        return _json({**self._shown(webhook), "secret": webhook.secret}, 201)

    async def delete(self, webhook_id: str) -> Response:
        """Delete a webhook; nothing is sent to it any more."""
        self._known(webhook_id)
        await self._registry.delete(webhook_id)
        log.info("webhook deleted", webhook=webhook_id)
        return Response(status_code=204)

    async def failures(self, webhook_id: str) -> Response:
        """What was given up and not delivered since, newest first."""
        self._known(webhook_id)
        failures = self._registry.failures(webhook_id)
        shown = [_failure(failure) for failure in failures[:FAILURES_SHOWN]]
        return _json({"total": len(failures), "failures": shown})

    async def replay(self, webhook_id: str, failure_id: str) -> Response:
        """Deliver once more what was given up; it is forgotten when the receiver takes it."""
        self._known(webhook_id)
        failure = self._registry.failure(webhook_id, failure_id)
        follower = self._follower_of(webhook_id)
        if failure is None:
            raise HTTPException(404, f"webhook {webhook_id} has no failure {failure_id}; list them to see which it has")
        if follower is None:
            raise HTTPException(503, "the webhook is just being started; try again")
        try:
            reason = await follower.replay(failure)
        except StoppedError as error:
            raise HTTPException(503, "the webhook is being stopped; try again") from error
        if reason is not None:
            raise HTTPException(502, f"it failed again: {reason}")
        return _json({"delivered": True})

    async def _admit(self, request: Request) -> None:
        header = request.headers.get("authorization", "")
        key = self._keys.verify(header[len(BEARER) :].strip()) if header[: len(BEARER)].lower() == BEARER else None
        if key is None:
            raise HTTPException(401, "an API key is needed: send `Authorization: Bearer tg_…`")
        if not key.allows(Scope.ADMIN):
            raise HTTPException(403, f"this needs the scope {Scope.ADMIN}")

    def _known(self, webhook_id: str) -> WebhookRecord:
        webhook = self._registry.webhooks.get(webhook_id)
        if webhook is None:
            raise HTTPException(404, f"no webhook {webhook_id!r}; `GET {API}/webhooks` lists what there is")
        return webhook

    def _shown(self, webhook: WebhookRecord) -> dict[str, Any]:
        return {
            "id": webhook.id,
            "url": webhook.url,
            "segments": webhook.segments,
            "created_at": iso_text(webhook.created_at),
            "failures": len(self._registry.failures(webhook.id)),
        }


def build_app(routes: WebhookRoutes) -> FastAPI:
    """The ASGI application."""
    app = FastAPI(
        title="Tidegate webhooks",
        version="2.0",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.include_router(routes.router())
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(ServiceError, _not_now)
    return app


def _failure(failure: WebhookFailureRecord) -> dict[str, Any]:
    return {
        "id": failure.failure_id,
        "delivery_id": failure.delivery_id,
        "contact_id": failure.contact_id,
        "failed_at": iso_text(failure.failed_at),
        "attempts": failure.attempts,
        "reason": failure.reason,
        "body": orjson.loads(failure.body),
    }


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _problem(error.status_code, str(error.detail))


async def _body(request: Request) -> bytes:
    """The body, bounded. Read by the route and not by the framework, so that a stranger's is not read at all."""
    body = b""
    async with asyncio.timeout(BODY_TIMEOUT_S):
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                raise HTTPException(413, f"the body has more than {BODY_BYTES_MAX} bytes; name fewer segments")
    return body


def _invalid(error: ValidationError) -> Response:
    faults = [
        {
            "code": fault["type"],
            "message": fault["msg"],
            "hint": 'send {"url": "https://…", "segments": ["trial-ending"]}',
            "pointer": "".join(f"/{step}" for step in fault["loc"]),
        }
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return _problem(422, "the request cannot be accepted", faults)


async def _not_now(_request: Request, error: Exception) -> Response:
    log.error("request failed", reason=str(error), cause=repr(error.__cause__))
    return _problem(503, "the broker is away; try again")


def _problem(status: int, title: str, errors: Any = ()) -> Response:
    document = {"type": "about:blank", "title": title, "status": status, **({"errors": errors} if errors else {})}
    headers = {"WWW-Authenticate": 'Bearer realm="tidegate"'} if status == 401 else {}
    headers |= {"Retry-After": "1"} if status == 503 else {}
    return Response(orjson.dumps(document), status, headers, "application/problem+json")


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
