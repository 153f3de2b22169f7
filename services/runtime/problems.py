"""Errors of every HTTP API of ours as RFC 9457 problem documents, and the handlers that answer with them.

Rule: a problem says what happened and what to do; its code is stable, and whose turn it is follows from the status. One
that passes by itself says when to ask again. Nothing internal is told, all of it is logged, under the request's id that
the answer carries. What is refused is each service's own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, Final, Protocol
from urllib.parse import unquote

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from services.runtime.errors import ServiceError
from services.runtime.logs import get_logger

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
REQUEST_ID: Final = "X-Request-Id"
METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
FAULTS_SHOWN_MAX: Final = 50
"""Of what a model found wrong with one body."""
STEP_CHARACTERS_MAX: Final = 256
"""A fault at a name that is longer is pointed at where the name stands."""
NAME_SHOWN_MAX: Final = 256
"""Characters of a name that nothing has, as its answer repeats it; the longest id has as many bytes."""
PARAMETER_HINT: Final = "docs/reference says what each parameter takes"

log = get_logger("http")


class Fault(Protocol):
    """One thing wrong with a request: code, message, hint, and where."""

    def to_json(self) -> Mapping[str, Any]:
        """The wire shape."""


@dataclass(frozen=True, slots=True)
class ModelFault:
    """What a model found wrong, or a path."""

    code: str
    message: str
    hint: str
    pointer: str

    def to_json(self) -> dict[str, str]:
        """The wire shape."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "pointer": self.pointer}


class ProblemError(Exception):
    """An answer that is an error. Raised by a route, turned into a document by the handlers below."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        *,
        errors: Iterable[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = {**({"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}), **(headers or {})}


def invalid(errors: Iterable[Fault], title: str = "the request cannot be accepted") -> ProblemError:
    """The sender must change the request."""
    return ProblemError(422, "invalid_request", title, errors=errors)


def model_faults(error: ValidationError, hint: str) -> list[ModelFault]:
    """What a model found wrong with a body."""
    return _faults(error.errors(include_url=False, include_input=False, include_context=False), hint)


def not_found(what: str, name: str) -> ProblemError:
    """There is no such thing."""
    shown = name if len(name) <= NAME_SHOWN_MAX else name[:NAME_SHOWN_MAX] + "…"
    return ProblemError(404, "not_found", f"no {what} {shown!r}", f"`GET /api/v2/{what}s` lists what there is")


def meant_in_path(name: str, encoded: str) -> str:
    """The parameter `name` of a path as its sender meant it: paths are routed still encoded, so that ids may hold `/`.

    Errors: ProblemError when it is not UTF-8.
    """
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError as error:
        message, hint = f"{name} in the path is not UTF-8", "percent-encode its UTF-8 bytes"
        raise invalid((ModelFault("invalid_utf8", message, hint, f"/path/{name}"),)) from error


def unavailable(code: str, title: str, detail: str, retry_after_s: int = RETRY_AFTER_S) -> ProblemError:
    """It cannot be done now, and will be possible again by itself."""
    return ProblemError(503, code, title, detail, headers={"Retry-After": str(retry_after_s)})


def problem_document(problem: ProblemError) -> bytes:
    """The problem as the body of an answer."""
    document = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        **({"detail": problem.detail} if problem.detail else {}),
        **({"errors": [error.to_json() for error in problem.errors]} if problem.errors else {}),
    }
    return orjson.dumps(document)


def problem_response(problem: ProblemError) -> Response:
    """The problem as an HTTP answer."""
    challenge = {"WWW-Authenticate": 'Bearer realm="tidegate"'} if problem.status == 401 else {}
    return Response(problem_document(problem), problem.status, {**problem.headers, **challenge}, PROBLEM_JSON)


async def answer_problem(_request: Request, error: Exception) -> Response:
    """Turn a raised problem into its answer."""
    if not isinstance(error, ProblemError):
        raise error
    return problem_response(error)


async def answer_parameters(_request: Request, error: Exception) -> Response:
    """Turn wrong parameters, as the framework found them, into a problem with a pointer for each."""
    if not isinstance(error, RequestValidationError):
        raise error
    return problem_response(invalid(_faults(error.errors(), PARAMETER_HINT), "the request cannot be read"))


async def answer_framework(request: Request, error: Exception) -> Response:
    """Turn the framework's own refusals (unknown path, wrong method) into problems.

    Of a path with several routes the framework names only the first one's methods in `Allow`; here are all.
    """
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "unknown_path", 405: "wrong_method"}.get(error.status_code, "refused")
    title = {404: "no such path", 405: "this path does not know the method"}.get(error.status_code, str(error.detail))
    headers = {"Allow": ", ".join(_methods_of(request))} if error.status_code == 405 else error.headers
    return problem_response(ProblemError(error.status_code, code, title, headers=headers))


def _methods_of(request: Request) -> list[str]:
    """The methods that the request's path knows: every route is asked, those of an included router with it."""
    return [method for method in METHODS if any(_takes(route, request, method) for route in request.app.routes)]


def _takes(route: BaseRoute, request: Request, method: str) -> bool:
    return route.matches({**request.scope, "method": method})[0] is Match.FULL


async def answer_service_error(request: Request, error: Exception) -> Response:
    """Turn a failure of I/O into "not now"."""
    request_id, headers = _named(request)
    log.error("request failed", reason=str(error), cause=repr(error.__cause__), request_id=request_id)
    problem = unavailable("service_failed", "the request could not be carried out", "try again")
    return problem_response(ProblemError(503, problem.code, problem.title, problem.detail, headers=headers))


async def answer_defect(request: Request, error: Exception) -> Response:
    """Our own fault: say so, tell nothing else, and log all of it."""
    request_id, headers = _named(request)
    log.error("defect", exc_info=error, request_id=request_id)
    detail = "the request id names it in our logs"
    return problem_response(ProblemError(500, "defect", "this is our fault", detail, headers=headers))


def _named(request: Request) -> tuple[str, dict[str, str]]:
    """The request's id, and how the answer tells it: a service that gives every request one puts it on every answer."""
    given: str | None = getattr(request.state, "request_id", None)
    if given is not None:
        return given, {}
    made = f"req_{secrets.token_hex(12)}"
    return made, {REQUEST_ID: made}


def _faults(found: Iterable[Mapping[str, Any]], hint: str) -> list[ModelFault]:
    return [
        ModelFault(str(fault["type"]), str(fault["msg"]).lower(), hint, pointer=_pointer(fault["loc"]))
        for fault in islice(found, FAULTS_SHOWN_MAX)
    ]


def _pointer(steps: Iterable[int | str]) -> str:
    fitting = takewhile(lambda step: len(step) <= STEP_CHARACTERS_MAX, map(str, steps))
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in fitting)


HANDLERS: Final[dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]] = {
    ProblemError: answer_problem,
    RequestValidationError: answer_parameters,
    HTTPException: answer_framework,
    ServiceError: answer_service_error,
    Exception: answer_defect,
}
