"""Errors of the write API as RFC 9457 problem documents, with a JSON Pointer or a span for each fault.

Rule: a problem says what happened and what to do; whose turn it is follows from the status. Nothing internal is told.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

import orjson
from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from segmentation.errors import Problem
from services.runtime.errors import ServiceError
from services.runtime.logs import get_logger

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1

log = get_logger("http")


class ProblemError(Exception):
    """An answer that is an error. Raised by a route, turned into a document by the handlers below."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        *,
        errors: Iterable[Problem] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers or {}


def invalid(errors: Iterable[Problem], title: str = "the request cannot be accepted") -> ProblemError:
    """The sender must change the request."""
    return ProblemError(422, "invalid_request", title, errors=errors)


def model_problems(error: ValidationError, hint: str) -> list[Problem]:
    """What a pydantic model found wrong with a body."""
    return [
        Problem(
            str(fault["type"]), str(fault["msg"]).lower(), hint, pointer="".join(f"/{step}" for step in fault["loc"])
        )
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def not_found(what: str, name: str) -> ProblemError:
    """There is no such thing."""
    return ProblemError(404, "not_found", f"no {what} {name!r}", f"`GET /api/v2/{what}s` lists what there is")


def unavailable(code: str, title: str, detail: str, retry_after_s: int = RETRY_AFTER_S) -> ProblemError:
    """It cannot be done now, and will be possible again by itself."""
    return ProblemError(503, code, title, detail, headers={"Retry-After": str(retry_after_s)})


def problem_json(problem: ProblemError) -> dict[str, Any]:
    """The problem document."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
    }
    if problem.detail:
        document["detail"] = problem.detail
    if problem.errors:
        document["errors"] = [error.to_json() for error in problem.errors]
    return document


def problem_response(problem: ProblemError) -> Response:
    """The problem as an HTTP answer."""
    headers = dict(problem.headers)
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="tidegate"'
    return Response(orjson.dumps(problem_json(problem)), problem.status, headers, PROBLEM_JSON)


async def answer_problem(_request: Request, error: Exception) -> Response:
    """Turn a raised problem into its answer."""
    if not isinstance(error, ProblemError):
        raise error
    return problem_response(error)


async def answer_framework(_request: Request, error: Exception) -> Response:
    """Turn the framework's own refusals (unknown path, wrong method) into problems."""
    if not isinstance(error, StarletteHTTPException):
        raise error
    code = {404: "unknown_path", 405: "wrong_method"}.get(error.status_code, "refused")
    title = {404: "no such path", 405: "this path does not know the method"}.get(error.status_code, str(error.detail))
    return problem_response(ProblemError(error.status_code, code, title, headers=dict(error.headers or {})))


async def answer_service_error(_request: Request, error: Exception) -> Response:
    """Turn a failure of I/O into "not now"."""
    log.error("request failed", reason=str(error), cause=repr(error.__cause__))
    return problem_response(unavailable("service_failed", "the request could not be carried out", "try again"))


async def answer_defect(_request: Request, error: Exception) -> Response:
    """Our own fault: say so, tell nothing else, and log all of it."""
    log.error("defect", exc_info=error)
    return problem_response(ProblemError(500, "defect", "this is our fault", "the request id names it in our logs"))


HANDLERS: Final[dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]] = {
    ProblemError: answer_problem,
    StarletteHTTPException: answer_framework,
    ServiceError: answer_service_error,
    Exception: answer_defect,
}
