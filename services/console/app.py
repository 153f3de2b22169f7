"""The console's HTTP application: its own reads, the dashboard, and everything else on to ingest.

Rule: routes that the console serves are mounted first, so that what it does not know is ingest's to answer. Every
answer carries the headers that keep a browser safe. Puts parts together; decides nothing.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from services.console.access import requires
from services.console.attribute_reads import attributes_router
from services.console.contact_history import contact_history_router
from services.console.contact_reads import contacts_router
from services.console.dead_letter_log import DeadLetterLog
from services.console.dead_letter_reads import dead_letters_router
from services.console.declarations import Declarations
from services.console.events import events_router
from services.console.feed import Feed
from services.console.forward import API, Ingest, Neighbour
from services.console.hour import Hour
from services.console.openapi import serve_document
from services.console.owners import Owners
from services.console.page import page_router
from services.console.preview import preview_router
from services.console.segment_lists import segment_lists_router
from services.console.segment_reads import segments_router
from services.console.session import CookieSession, session_router
from services.console.settings import ConsoleSettings
from services.console.status import StatusBoard
from services.console.status_reads import status_router
from services.runtime.keys import KeyFile, Scope
from services.runtime.problems import HANDLERS, ProblemError

FORWARDED: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
SAFETY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def build_app(
    settings: ConsoleSettings,
    keys: KeyFile,
    board: StatusBoard,
    hour: Hour,
    feed: Feed,
    declarations: Declarations,
    owners: Owners,
    ingest: Ingest,
    webhooks: Neighbour | None = None,
) -> FastAPI:
    """The application over its parts; without `webhooks` there are none."""
    app = FastAPI(
        title="Tidegate console",
        version="2",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        exception_handlers=dict(HANDLERS),
    )
    app.add_middleware(CookieSession)
    app.add_middleware(Edge)
    contacts, segments = requires(keys, Scope.CONTACTS_READ), requires(keys, Scope.SEGMENTS_READ)
    serve_document(app, requires(keys, None))
    for router in (
        session_router(keys),
        contacts_router(owners, contacts),
        contact_history_router(owners, contacts),
        attributes_router(owners, settings.partitions, declarations, contacts),
        preview_router(owners, ingest, segments),
        segments_router(ingest, board, hour, segments),
        segment_lists_router(owners, segments),
        events_router(settings, feed, segments),
        status_router(board, owners, segments),
        dead_letters_router(DeadLetterLog(settings), settings.partitions, requires(keys, Scope.ADMIN)),
        _webhooks_router(webhooks, requires(keys, None)),
        _forwarding_router(ingest, requires(keys, None)),
    ):
        app.include_router(router, prefix=API)
    app.include_router(page_router())
    return app


class Edge:
    """Puts the safety headers on every answer, and routes by the path as it was sent, so that ids may hold `/`.

    At the level of messages, so that streams are not held up.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the connection on; the headers join the start of its answer."""

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFETY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].decode("latin-1")
        await self._app(scope, receive, send_safe)


def _webhooks_router(webhooks: Neighbour | None, admit: Any) -> APIRouter:
    router = APIRouter(dependencies=[Depends(admit)])

    @router.api_route("/webhooks", methods=FORWARDED, include_in_schema=False)
    @router.api_route("/webhooks/{path:path}", methods=FORWARDED, include_in_schema=False)
    async def forward(request: Request) -> Response:
        """The webhooks service has its own routes."""
        if webhooks is None:
            detail = "start the service, and tell the console where it is with TIDEGATE_WEBHOOKS_URL"
            raise ProblemError(404, "no_webhooks", "no webhooks service is running here", detail)
        return await webhooks.forward(request)

    return router


def _forwarding_router(ingest: Ingest, admit: Any) -> APIRouter:
    router = APIRouter(dependencies=[Depends(admit)])

    @router.api_route("/{path:path}", methods=FORWARDED, include_in_schema=False)
    async def forward(request: Request) -> Response:
        """Everything else is ingest's; nothing there is without a key either."""
        return await ingest.forward(request)

    return router
