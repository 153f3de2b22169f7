"""Errors of the console's HTTP API as RFC 9457 problem documents.

Rule: a problem says what happened and what to do; one that passes by itself says when to ask again. An answer that
would be incomplete is a problem, never a shorter answer.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException as StarletteHTTPException

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1


class ProblemError(Exception):
    """An answer that is an error. Raised by a route, turned into a document by `answer`."""

    def __init__(
        self, status: int, code: str, title: str, detail: str = "", *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.retry_after_s = retry_after_s


def not_found(what: str, name: str) -> ProblemError:
    """There is no such thing."""
    return ProblemError(
        404, "not_found", f"no {what} {name!r}", f"check the id; `GET /api/v2/{what}s` lists what there is"
    )


def not_ready(detail: str) -> ProblemError:
    """The answer is not to be had now, and will be."""
    return ProblemError(503, "not_ready", "the answer would be incomplete", detail, retry_after_s=RETRY_AFTER_S)


def document(problem: ProblemError, errors: list[dict[str, Any]] | None = None) -> Response:
    """The problem as an HTTP answer."""
    body = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        **({"detail": problem.detail} if problem.detail else {}),
        **({"errors": errors} if errors else {}),
    }
    headers = {} if problem.retry_after_s is None else {"Retry-After": str(problem.retry_after_s)}
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="tidegate"'
    return Response(orjson.dumps(body), status_code=problem.status, headers=headers, media_type=PROBLEM_JSON)


async def answer_problem(_request: Request, error: Exception) -> Response:
    """Turn a raised problem into its answer."""
    if not isinstance(error, ProblemError):
        raise error
    return document(error)


async def answer_invalid(_request: Request, error: Exception) -> Response:
    """Turn a wrong parameter or body into a problem with a pointer for each fault."""
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [
        {"pointer": "/" + "/".join(str(step) for step in fault["loc"]), "code": fault["type"], "message": fault["msg"]}
        for fault in error.errors()
    ]
    return document(ProblemError(422, "invalid_request", "the request cannot be read"), errors)


async def answer_http(_request: Request, error: Exception) -> Response:
    """Turn the framework's own refusals (unknown path, wrong method) into problems."""
    if not isinstance(error, StarletteHTTPException):
        raise error
    return document(ProblemError(error.status_code, "http", str(error.detail)))
