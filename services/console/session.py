"""The browser's session: a key given once, kept in a cookie that scripts cannot read, and a token against forgery.

Rule: the cookie holds the API key itself, so any console serves any session and a revoked key ends it at once. A
request that changes something and is admitted by the cookie alone must carry the session's token, which another origin
cannot know. A read may carry it too, and is then answered to the page of that session alone: another tab of the
browser may have logged in with another key. Requests with an `Authorization` header are left as they are. A key is
never logged or answered.
"""

from __future__ import annotations

import hashlib
import hmac
from http import HTTPStatus
from typing import Final

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from services.console.forward import API
from services.runtime.admission import BEARER
from services.runtime.bodies import read_body
from services.runtime.keys import TOKEN_CHARACTERS_MAX, ApiKey, KeyFile
from services.runtime.problems import ProblemError, problem_response

COOKIE: Final = "tidegate_session"
TOKEN_HEADER: Final = "X-CSRF-Token"  # noqa: S105  # the name of a header, not a secret
SESSION_S: Final = 12 * 60 * 60
LOGIN_BODY_BYTES_MAX: Final = 1_024
HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PURPOSE: Final = b"tidegate session token v1"


def forgery_token(key: str) -> str:
    """What a page of this session sends with every change. Derived from the key, so that nothing is stored."""
    return hmac.new(key.encode(), _PURPOSE, hashlib.sha256).hexdigest()


class CookieSession:
    """Turns the session's cookie into the `Authorization` header that every route, and ingest, understands."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the connection on, in the name of the cookie's key if it has nothing better."""
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        key = cookie_parser(headers.get("Cookie", "")).get(COOKIE, "")
        if key and "Authorization" not in headers and not _is_login(scope):
            refusal = _refusal(scope["method"], headers.get(TOKEN_HEADER), key)
            if refusal is not None:
                await problem_response(refusal)(scope, receive, send)
                return
            scope = {**scope, "headers": [*scope["headers"], (b"authorization", f"{BEARER}{key}".encode("latin-1"))]}
        scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"cookie"]}
        await self._app(scope, receive, send)


def session_router(keys: KeyFile) -> APIRouter:
    """Log in, say who is logged in, log out."""
    router = APIRouter(prefix="/session")

    @router.post("")
    async def log_in(request: Request) -> Response:
        """Exchange an API key for a session."""
        token = await _given_key(request)
        key = keys.verify(token)
        if key is None:
            raise ProblemError(
                401, "unknown_key", "this API key is not known, was revoked or has expired",
                "`tidegate keys create` makes one",
            )  # fmt: skip
        answer = _who(key, token)
        secure = request.url.scheme == "https" or request.headers.get("X-Forwarded-Proto") == "https"
        answer.set_cookie(COOKIE, token, max_age=SESSION_S, httponly=True, samesite="strict", secure=secure)
        return answer

    @router.get("")
    async def who(request: Request) -> Response:
        """The session's key by name, and its token."""
        token = request.headers.get("Authorization", "")[len(BEARER) :]
        key = keys.verify(token)
        if key is None:
            raise ProblemError(401, "no_session", "nobody is logged in", "send the key to `POST /api/v2/session`")
        return _who(key, token)

    @router.delete("")
    async def log_out() -> Response:
        """Forget the cookie; the key itself goes on."""
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return router


def _refusal(method: str, token: str | None, key: str) -> ProblemError | None:
    """Why a request with this token is not done in the session of this key; None when it is."""
    if hmac.compare_digest((token or "").encode(), forgery_token(key).encode()):
        return None
    if method not in HARMLESS:
        return ProblemError(403, "forged", "the request does not come from this session's page", "reload the page")
    if token is not None:
        return ProblemError(401, "other_session", "another key has logged in since this page was opened", "log in anew")
    return None


def _is_login(scope: Connection) -> bool:
    return bool(scope["method"] == "POST" and scope["path"] == f"{API}/session")


async def _given_key(request: Request) -> str:
    """The key in a login's body. A form of another origin cannot send this type without asking first."""
    wrong = ProblemError(422, "no_key", "the body must hold the key", 'send {"key": "tg_…"} as application/json')
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        raise wrong
    try:
        given = orjson.loads(await read_body(request, LOGIN_BODY_BYTES_MAX))
    except ProblemError as refusal:
        if refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise wrong from refusal
        raise
    except orjson.JSONDecodeError as error:
        raise wrong from error
    key = given.get("key") if isinstance(given, dict) else None
    if not isinstance(key, str) or not key.isascii() or not 0 < len(key) <= TOKEN_CHARACTERS_MAX:
        raise wrong
    return key.strip()


def _who(key: ApiKey, token: str) -> Response:
    body = {"key_id": key.id, "name": key.name, "scopes": sorted(key.scopes), "csrf_token": forgery_token(token)}
    answer = Response(orjson.dumps(body), media_type="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer
