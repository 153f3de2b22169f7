"""The shortest way to the hottest route: `POST /contacts` without the framework's routing.

Rule: the same guard, the same handler and the same problem documents as on the long way; only the way is shorter. The
route stays registered with the framework too, for the OpenAPI document and for every other method.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.runtime.errors import ServiceError
from services.runtime.problems import ProblemError, answer_defect, answer_service_error, problem_response


class HotRoute:
    """One method and path, answered directly; everything else goes on. `path` is what metrics call it."""

    def __init__(
        self,
        app: ASGIApp,
        method: str,
        path: str,
        admission: Callable[[Request], Awaitable[Any]],
        handler: Callable[[Request], Awaitable[Response]],
    ) -> None:
        self._app = app
        self._method = method
        self.path = path
        self._admission = admission
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or scope["path"] != self.path or scope["method"] != self._method:
            await self._app(scope, receive, send)
            return
        scope["route"] = self
        request = Request(scope, receive)
        try:
            await self._admission(request)
            answer = await self._handler(request)
        except ProblemError as problem:
            answer = problem_response(problem)
        except ServiceError as error:
            answer = await answer_service_error(request, error)
        except Exception as error:  # noqa: BLE001 - what the framework's own handler of last resort does
            answer = await answer_defect(request, error)
        await answer(scope, receive, send)
