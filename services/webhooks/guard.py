"""Who may administer webhooks, and how often: the key, its scope and its rate, before anything of a request is read.

Rule: `admin` only; a token is never logged or echoed. Every answer carries the request's id, and an admitted one what
is left of its key's rate.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from services.runtime.admission import admitted, counted
from services.runtime.keys import ApiKey, KeyFile, Scope
from services.runtime.rates import Rates

REQUEST_ID: Final = "X-Request-Id"
_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Guard:
    """The dependency of every route."""

    def __init__(self, keys: KeyFile, rates: Rates) -> None:
        self._keys = keys
        self._rates = rates

    async def admit(self, request: Request) -> ApiKey:
        """The request's key. Errors: ProblemError 401, 403, 429."""
        key = admitted(request, self._keys, Scope.ADMIN)
        request.state.limits = counted(key, self._rates)
        request.state.key_id, request.state.key_name = key.id, key.name
        return key


class Edge:
    """Gives each request an id (the sender's, if it has one that can be logged), and the answer its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        request_id = state["request_id"] = sent if _USABLE_ID.fullmatch(sent) else f"req_{secrets.token_hex(12)}"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {REQUEST_ID: request_id, **state.get("limits", {})}.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, send_with_headers)
