"""Errors of the webhooks API as RFC 9457 problem documents, and the body's limits.

Rule: a problem says what happened and what to do; its code is stable. Nothing of a secret is in one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from services.runtime.errors import ServiceError
from services.runtime.logs import get_logger

PROBLEM_JSON: Final = "application/problem+json"
BODY_BYTES_MAX: Final = 256 * 1024
BODY_TIMEOUT_S: Final = 30

log = get_logger("http")


class ProblemError(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.status, self.code, self.title, self.detail = status, code, title, detail
        self.errors = errors
        self.headers = {**({"Retry-After": "1"} if status == 503 else {}), **(headers or {})}


def document(problem: ProblemError) -> Response:
    """The problem as an HTTP answer."""
    body = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        **({"detail": problem.detail} if problem.detail else {}),
        **({"errors": list(problem.errors)} if problem.errors else {}),
    }
    headers = dict(problem.headers)
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="tidegate"'
    return Response(orjson.dumps(body), problem.status, headers, PROBLEM_JSON)


def invalid(error: ValidationError) -> ProblemError:
    """What a model found wrong with a body."""
    faults = [
        {
            "code": fault["type"],
            "message": fault["msg"],
            "hint": 'send {"url": "https://…", "segments": ["trial-ending"]}',
            "pointer": "".join(f"/{step}" for step in fault["loc"]),
        }
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return ProblemError(422, "invalid_request", "the request cannot be accepted", errors=faults)


async def read_body(request: Request) -> bytes:
    """The body, bounded. Read by the route and not by the framework, so that a stranger's is not read at all."""
    body = b""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                body += part
                if len(body) > BODY_BYTES_MAX:
                    title = f"the body has more than {BODY_BYTES_MAX} bytes"
                    raise ProblemError(413, "body_too_large", title, "name fewer segments")
    except TimeoutError as error:
        raise ProblemError(408, "body_timeout", f"the body did not arrive within {BODY_TIMEOUT_S} s") from error
    return body


async def answer_problem(_request: Request, error: Exception) -> Response:
    """Turn a raised problem into its answer."""
    if not isinstance(error, ProblemError):
        raise error
    return document(error)


async def answer_http(_request: Request, error: Exception) -> Response:
    """Turn the framework's own refusals (unknown path, wrong method) into problems."""
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    return document(ProblemError(error.status_code, "http", str(error.detail), headers=headers))


async def answer_service_error(_request: Request, error: Exception) -> Response:
    """Our own trouble: logged whole, told shortly."""
    log.error("request failed", reason=str(error), cause=repr(error.__cause__))
    return document(ProblemError(503, "service_failed", "the request could not be carried out", "try again"))


HANDLERS: Final = {
    ProblemError: answer_problem,
    HTTPException: answer_http,
    ServiceError: answer_service_error,
}
