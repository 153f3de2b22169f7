"""The span around every request, when traces are asked for.

Rule: outermost, plain ASGI; it reads the request's route and status and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.ingest.edge import route_of

if TYPE_CHECKING:
    from services.runtime.tracing import Tracing


class TracedRequests:
    """Passes requests on, each inside a span of its own."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._tracing.serving(scope["method"], scope["headers"]) as span:
            try:
                await self._app(scope, receive, send_and_note)
            finally:
                self._tracing.served(span, scope["method"], route_of(scope), status)
                span.set_attribute("tidegate.request_id", scope.get("state", {}).get("request_id", ""))
