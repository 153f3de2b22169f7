"""The API of webhooks: make, list and delete them, see what could not be delivered, and try it again.

Rule: every route needs the scope `admin`. A secret is in the answer that made it, its repeats, and nowhere else. Who
changes something is in the audit before it is done, and in the log, by the key and the request.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import orjson
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.types import ASGIApp

from schemas.webhook import WebhookFailureRecord, WebhookRecord, WebhookReplayRecord
from segmentation.values import iso_text
from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.keys import ApiKey
from services.runtime.logs import get_logger
from services.runtime.problems import HANDLERS, ProblemError, not_found
from services.runtime.repeats import REPLAYED, identity_of
from services.webhooks import documents
from services.webhooks.addresses import AddressRefusedError, NameUnresolvedError, read_url, resolve
from services.webhooks.audit_log import AuditLog
from services.webhooks.bodies import read_webhook
from services.webhooks.documents import REPEATABLE, SECURED, WebhookRequest, answers, taking
from services.webhooks.follower import Follower, present_end
from services.webhooks.guard import Edge, Guard
from services.webhooks.names import Names
from services.webhooks.once import Answers, reused
from services.webhooks.registry import WEBHOOKS_MAX, Registry
from services.webhooks.replays import KEPT_MS
from services.webhooks.sender import StoppedError
from services.webhooks.settings import WebhookSettings
from services.webhooks.signing import new_secret

API: Final = "/api/v2"
WEBHOOK_ID_DIGITS: Final = 16
LIFE_BYTES: Final = 4
FAILURES_SHOWN: Final = 100
SOON: Final = {"Retry-After": "1"}
NOTED_WITHIN_S: Final = 1.0
"""How long the end waits for what became of replays whose attempts are over."""

log = get_logger("audit")


class WebhookRoutes:
    """The routes under `/webhooks`."""

    def __init__(
        self,
        settings: WebhookSettings,
        registry: Registry,
        follower_of: Callable[[str], Follower | None],
        guard: Guard,
        audit: AuditLog,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._audit = audit
        self._follower_of = follower_of
        self._guard = guard
        self.admit = guard.admit
        self._replays = Answers()
        self._at_work: set[asyncio.Task[Response]] = set()
        self._names = Names()

    async def close(self) -> None:
        """Have noted what became of the replays. One that is at work even now is cut off, and its claim given back."""
        if self._at_work:
            _, at_work = await asyncio.wait(self._at_work, timeout=NOTED_WITHIN_S)
            for replay in at_work:
                replay.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)

    def router(self) -> APIRouter:
        """All of them, for `admin` only."""
        router = APIRouter(prefix=f"{API}/webhooks", tags=["webhooks"], dependencies=[Depends(self._guard.admit)])
        made = answers(201, documents.MadeWebhook, "It gets what changes from now on.", 400, 408, 409, 413, 422, 503)
        listed = answers(200, documents.Webhooks, "Every webhook, without its secret.")
        failed = answers(200, documents.Failures, "Newest first, at most 100 of them.", 404)
        replayed = answers(200, documents.Delivered, "The receiver took it.", 400, 404, 422, 502, 503)
        deleted = answers(204, None, "Nothing is sent to it any more.", 404, 503)
        create = {**SECURED, **REPEATABLE, **taking(WebhookRequest)}
        for method, path, name, route, told, extra in (
            ("GET", "", "listWebhooks", self.list, listed, SECURED),
            ("POST", "", "createWebhook", self.create, made, create),
            ("DELETE", "/{webhook_id}", "deleteWebhook", self.delete, deleted, SECURED),
            ("GET", "/{webhook_id}/failures", "listWebhookFailures", self.failures, failed, SECURED),
            (
                "POST",
                "/{webhook_id}/failures/{failure_id}/replay",
                "replayWebhookFailure",
                self.replay,
                replayed,
                {**SECURED, **REPEATABLE},
            ),
        ):
            router.add_api_route(path, route, methods=[method], operation_id=name, openapi_extra=extra, **told)
        return router

    async def list(self) -> Response:
        """Every webhook, without its secret."""
        return _json({"webhooks": [self._shown(webhook) for webhook in self._registry.webhooks.values()]})

    async def create(self, request: Request) -> Response:
        """Make a webhook; it gets what changes from now on."""
        wanted = await read_webhook(request)
        identity = identity_of(request)
        webhook_id = f"wh_{(identity or secrets.token_hex(WEBHOOK_ID_DIGITS))[:WEBHOOK_ID_DIGITS]}"
        standing = self._registry.webhooks.get(webhook_id)
        if standing is not None:
            return self._made_before(standing, wanted)
        await self._demand_room_and_address(wanted)
        webhook = WebhookRecord(
            id=webhook_id,
            url=wanted.url,
            segments=wanted.segments,
            secret=new_secret(),
            created_at=clock.now_ms(),
            start=await present_end(self._settings),
            life=secrets.token_hex(LIFE_BYTES),
        )
        await self._audit.created(webhook, request)
        standing = await self._registry.create(webhook)
        if standing != webhook:
            return self._made_before(standing, wanted)
        to = read_url(webhook.url, allow_local=True).host
        _tell("webhook made", request, webhook=webhook_id, to=to, segments=webhook.segments)
        return _json({**self._shown(webhook), "secret": webhook.secret}, 201)

    async def delete(self, webhook_id: str, request: Request) -> Response:
        """Delete a webhook; nothing is sent to it any more."""
        await self._audit.deleted(self._known(webhook_id), request)
        await self._registry.delete(webhook_id)
        _tell("webhook deleted", request, webhook=webhook_id)
        return Response(status_code=204)

    async def failures(self, webhook_id: str) -> Response:
        """What was given up and not delivered since, newest first."""
        self._known(webhook_id)
        failures = self._registry.failures(webhook_id)
        shown = [_failure(failure) for failure in failures[:FAILURES_SHOWN]]
        return _json({"total": len(failures), "failures": shown})

    async def replay(self, webhook_id: str, failure_id: str, request: Request) -> Response:
        """Deliver once more what was given up; it is forgotten when the receiver takes it."""
        again = partial(self._replay, webhook_id, failure_id, request)
        return await self._replays.answer(identity_of(request), request.url.path, again)

    async def _replay(self, webhook_id: str, failure_id: str, request: Request) -> Response:
        self._known(webhook_id)
        standing = self._registry.replay(webhook_id, failure_id)
        failure = self._registry.failure(webhook_id, failure_id)
        if standing is not None and standing.delivered_at is not None and _is_kept(standing.delivered_at):
            if failure is not None:  # the broker went away before it was forgotten
                await self._registry.resolve(failure)
            return _json({"delivered": True}, headers=REPLAYED)
        follower = self._follower_of(webhook_id)
        if failure is None:
            title = f"webhook {webhook_id} has no failure {failure_id}"
            raise ProblemError(404, "not_found", title, "list them to see which it has")
        if follower is None:
            raise ProblemError(503, "starting", "the webhook is just being started", "try again", headers=SOON)
        mine = WebhookReplayRecord(
            webhook_id=webhook_id, failure_id=failure_id, claim=secrets.token_hex(8), claimed_at=clock.now_ms()
        )
        standing = await self._registry.put_replay(mine)
        if standing.claim != mine.claim:
            if standing.delivered_at is not None:
                return _json({"delivered": True}, headers=REPLAYED)
            detail = "its answer is this one's too; ask again in a moment"
            raise ProblemError(503, "being_replayed", "another request replays it now", detail, headers=SOON)
        _tell("webhook failure replayed", request, webhook=webhook_id, failure=failure_id)
        # Not the request's own: a stop cuts requests off, and what became of the delivery is to be noted all the same.
        replaying = asyncio.create_task(self._deliver(failure, mine, follower, request), name="replay")
        self._at_work.add(replaying)
        replaying.add_done_callback(self._at_work.discard)
        return await asyncio.shield(replaying)

    async def _deliver(
        self, failure: WebhookFailureRecord, mine: WebhookReplayRecord, follower: Follower, request: Request
    ) -> Response:
        """Try it, and say in the log how it went."""
        try:
            await self._audit.replayed(mine.webhook_id, mine.failure_id, request)
            reason = await follower.replay(failure)
        except ServiceError:
            await self._registry.release(mine)
            raise
        except (StoppedError, asyncio.CancelledError) as error:
            await self._registry.release(mine)
            raise ProblemError(503, "stopping", "the webhook is being stopped", "try again", headers=SOON) from error
        if reason is not None:
            await self._registry.release(mine)
            raise ProblemError(502, "not_taken", "it failed again", reason)
        await self._registry.put_replay(mine.model_copy(update={"delivered_at": clock.now_ms()}))
        await self._registry.resolve(failure)
        return _json({"delivered": True})

    async def _demand_room_and_address(self, wanted: WebhookRequest) -> None:
        if len(self._registry.webhooks) >= WEBHOOKS_MAX:
            raise ProblemError(409, "too_many_webhooks", f"there are {WEBHOOKS_MAX} webhooks", "delete one first")
        allow_local = self._settings.webhooks_allow_local
        try:
            await resolve(read_url(wanted.url, allow_local=allow_local), self._names, allow_local=allow_local)
        except (AddressRefusedError, NameUnresolvedError) as error:
            raise ProblemError(422, "address_refused", str(error)) from error

    def _made_before(self, standing: WebhookRecord, wanted: WebhookRequest) -> Response:
        """The answer that made a webhook, again, for the same request."""
        if (standing.url, standing.segments) != (wanted.url, wanted.segments):
            raise reused()
        return _json({**self._shown(standing), "secret": standing.secret}, 201, REPLAYED)

    def _known(self, webhook_id: str) -> WebhookRecord:
        webhook = self._registry.webhooks.get(webhook_id)
        if webhook is None:
            raise not_found("webhook", webhook_id)
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
    """The application."""
    app = FastAPI(
        title="Tidegate webhooks",
        version=documents.VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers=dict(HANDLERS),
    )
    app.include_router(routes.router())
    _serve_document(app, routes.admit)
    return app


def _serve_document(app: FastAPI, admit: Callable[[Request], Awaitable[ApiKey]]) -> None:
    """Serve the application's OpenAPI document; it is made when it is first asked for."""
    made: list[Response] = []

    async def describe() -> Response:
        """What this API's routes take and answer."""
        if not made:
            made.append(_json(documents.describe(app)))
        return made[0]

    told = answers(200, documents.OpenApi, "This API's OpenAPI document.")
    app.add_api_route(
        f"{API}/webhooks/openapi.json",
        describe,
        operation_id="describeWebhooks",
        tags=["webhooks"],
        dependencies=[Depends(admit)],
        openapi_extra=SECURED,
        **told,
    )


def served(app: FastAPI) -> ASGIApp:
    """The application as requests reach it."""
    return Edge(app)


def _tell(what: str, request: Request, **facts: object) -> None:
    """Say in the log who did what. Of a URL only the host: the rest may be the receiver's secret."""
    log.info(what, key=request.state.key_id, request_id=request.state.request_id, **facts)


def _is_kept(delivered_at: int) -> bool:
    return clock.now_ms() - delivered_at <= KEPT_MS


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


def _json(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
