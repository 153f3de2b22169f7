"""What happens to every request before and after its route: an id, an encoded path, a share of memory, a measurement.

Rule: plain ASGI, because it runs on every request; it decides nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.ingest import metrics
from services.ingest.bodies import Bodies, Share
from services.runtime import clock

API: Final = "/api/v2"
"""Under which every route is."""
REQUEST_ID: Final = b"x-request-id"
_USABLE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
UNROUTED: Final = "none"
"""The route of a request that has none."""
_NO_LIMITS: Final[list[tuple[bytes, bytes]]] = []
_PROCESS = secrets.token_hex(8)
_NUMBER = itertools.count()
ROUTES_REMEMBERED_MAX: Final = 1_000
"""Method, route and status together; there are about two hundred."""


class Edge:
    """Gives each request an id (the sender's, if it has one that can be logged) and measures it."""

    def __init__(self, app: ASGIApp, is_stalled: Callable[[], bool] = lambda: False) -> None:
        self._app = app
        self._bodies = Bodies(is_stalled)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = clock.monotonic()
        request_id = _request_id(scope)
        share = Share(self._bodies)
        state = scope.setdefault("state", {})
        state["request_id"], state["share"], state["began"] = request_id, share, began
        # Routed as it was sent, so that an id may hold an encoded slash.
        scope["path"] = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        status, answered = 500, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                limits = scope["state"].get("limits", _NO_LIMITS)
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id.encode()), *limits]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # Only a stop does it, and who has no answer by then is told 503 outside of here.
            status = status if answered else 503
            raise
        finally:
            share.give_back()
            metrics.BODIES_BYTES.set(self._bodies.held_bytes)
            route = route_of(scope)
            method = scope["method"] if route != UNROUTED else UNROUTED
            requests, seconds = _measures(method, route, status)
            requests.inc()
            seconds.observe(clock.monotonic() - began)


def route_of(scope: Scope) -> str:
    """The path of the route that took a request, as the reference gives it.

    The framework leaves out under what a route was included, and only that.
    """
    path: str = getattr(scope.get("route"), "path", UNROUTED)
    return path if path == UNROUTED or path.startswith(f"{API}/") else f"{API}{path}"


@lru_cache(maxsize=ROUTES_REMEMBERED_MAX)
def _measures(method: str, route: str, status: int) -> tuple[Any, Any]:
    """Looked up once: the look-up costs more than the counting."""
    return metrics.REQUESTS.labels(method, route, str(status)), metrics.REQUEST_SECONDS.labels(route)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _USABLE_ID.fullmatch(value):
            return str(value.decode())
    # No two are equal: a process is told apart by chance, its requests by their number.
    return f"req_{_PROCESS}{next(_NUMBER):08x}"
