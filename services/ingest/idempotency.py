"""`Idempotency-Key` on every POST: a repeat gets the first answer and is not carried out again.

Rule: honoured for 24 hours, by every ingest process, across restarts. A key that comes with another request is refused.
The guard comes first: only what the route would admit is claimed or told again, and a repeat counts like any request.
Uploads pass: they are too long to be held, so their route claims them itself once the file is kept.
"""

from __future__ import annotations

import hashlib
from typing import Final

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.ingest.bodies import read_body
from services.ingest.keeping import kept_bodies
from services.ingest.once import Once
from services.ingest.posts import Posts
from services.runtime.errors import ServiceError
from services.runtime.problems import ProblemError, answer_service_error, problem_response
from services.runtime.repeats import HEADER, identity_of

STREAMED: Final = frozenset({"/api/v2/imports"})


class Idempotency:
    """Stands before the routes."""

    def __init__(self, app: ASGIApp, once: Once, posts: Posts) -> None:
        self._app = app
        self._once = once
        self._posts = posts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request through, or answer it as it was answered before."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] in STREAMED:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        wanted = request.headers.get(HEADER)
        post = self._posts.to(scope["path"]) if wanted is not None else None
        if post is None:
            await self._app(scope, receive, send)
            return
        # What is refused or told again here is counted under the route that it never reaches.
        scope["route"] = post
        try:
            await post.admission(request)
            answer = await self._answer(request)
        except ProblemError as problem:
            answer = problem_response(problem)
        except ServiceError as error:
            answer = await answer_service_error(request, error)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        digest = identity_of(request)
        if digest is None:
            raise AssertionError("only requests with a key come here")
        body = await read_body(request)
        path = request.scope["path"].encode() + b"?" + request.scope["query_string"]
        fingerprint = hashlib.sha256(b"POST\0" + path + b"\0" + body).hexdigest()
        return await self._once.answer(
            digest,
            fingerprint,
            lambda: _run(self._app, request.scope, body),
            lambda answer: kept_bodies(request, answer),
        )


async def _run(app: ASGIApp, scope: Scope, body: bytes) -> Response:
    """The routes' answer to a request whose body was read already."""
    told: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    answer = Response()
    parts: list[bytes] = []
    ended = False

    async def receive() -> Message:
        return told.pop() if told else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal ended
        if message["type"] == "http.response.start":
            answer.status_code = message["status"]
            answer.raw_headers = list(message["headers"])
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))
            ended = not message.get("more_body", False)

    try:
        await app(scope, receive, send)
    except Exception:
        # The framework answers a defect, and then raises it for whoever serves it.
        if not ended:
            raise
    answer.body = b"".join(parts)
    return answer
