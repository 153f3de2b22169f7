"""`Idempotency-Key` on every POST: a repeat gets the first answer and is not carried out again.

Rule: honoured for 24 hours, by every ingest process, across restarts. A key that comes with another request is refused.
An answer that says "not now" is not kept, so that trying again can succeed. Uploads are left out: an import recognises
its own file.
"""

from __future__ import annotations

import hashlib
from typing import Final

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.request_record import RequestRecord, RequestState
from services.ingest.bodies import read_body
from services.ingest.guard import Guard
from services.ingest.problems import ProblemError, answer_service_error, problem_response
from services.ingest.request_log import RequestLog
from services.ingest.request_store import is_over
from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.logs import get_logger

HEADER: Final = "idempotency-key"
KEY_CHARACTERS_MAX: Final = 255
LEFT_OUT: Final = frozenset({"/api/v2/imports"})
KEPT_HEADERS: Final = frozenset({"content-type", "etag", "location", "preference-applied"})
KEPT_BYTES_MAX: Final = 512 * 1024
"""A longer answer is not kept; a batch of 1,000 receipts has about 120 KiB."""
IN_PROGRESS_WAIT_S: Final = 5
"""How long a repeat waits for the answer to the first request."""
_NOT_NOW: Final = frozenset({408, 429})

log = get_logger("idempotency")


class Idempotency:
    """Stands before the routes."""

    def __init__(self, app: ASGIApp, requests: RequestLog, guard: Guard) -> None:
        self._app = app
        self._requests = requests
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request through, or answer it as it was answered before."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] in LEFT_OUT:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        wanted = request.headers.get(HEADER)
        key = self._guard.known_key(request) if wanted is not None else None
        if wanted is None or key is None:
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._answer(request, f"{key.id}\0{wanted}", wanted)
        except ProblemError as problem:
            answer = problem_response(problem)
        except ServiceError as error:
            answer = await answer_service_error(request, error)
        await answer(scope, receive, send)

    async def _answer(self, request: Request, identity: str, wanted: str) -> Response:
        if not 0 < len(wanted) <= KEY_CHARACTERS_MAX:
            raise ProblemError(
                400, "invalid_idempotency_key", f"an idempotency key has 1 to {KEY_CHARACTERS_MAX} characters"
            )
        body = await read_body(request)
        digest = hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()
        path = request.scope["path"].encode() + b"?" + request.scope["query_string"]
        fingerprint = hashlib.sha256(b"POST\0" + path + b"\0" + body).hexdigest()
        kept = await self._kept(digest, fingerprint)
        if kept is not None:
            return kept
        claim = await self._requests.claim(digest, fingerprint)
        if claim is None:
            kept = await self._kept(digest, fingerprint)
            if kept is None:
                raise _in_progress()
            return kept
        return await self._carry_out(
            request, body, digest, RequestRecord(state=RequestState.DONE, claim=claim, fingerprint=fingerprint)
        )

    async def _kept(self, digest: str, fingerprint: str) -> Response | None:
        """The first answer, waiting for one that is under way; None if there is none to wait for.

        Errors: ProblemError if the key came with another request, or the first one takes too long.
        """
        found = self._requests.get(digest)
        if found is None or is_over(*found, clock.now_ms()):
            return None
        if found[0].fingerprint != fingerprint:
            raise ProblemError(
                422,
                "idempotency_key_reused",
                "this Idempotency-Key came with another request before",
                "make a new key for each request; repeat a request unchanged",
            )
        if found[0].state is not RequestState.DONE:
            await self._requests.settled(digest, IN_PROGRESS_WAIT_S)
            found = self._requests.get(digest)
            if found is None:
                return None
            if found[0].state is not RequestState.DONE:
                raise _in_progress()
        record = found[0]
        headers = {**record.headers, "Idempotency-Replayed": "true"}
        return Response((record.body or "").encode(), record.status or 200, headers)

    async def _carry_out(self, request: Request, body: bytes, digest: str, record: RequestRecord) -> Response:
        answer = await _run(self._app, request.scope, body)
        content = bytes(answer.body)
        if answer.status_code >= 500 or answer.status_code in _NOT_NOW or len(content) > KEPT_BYTES_MAX:
            outcome = record.model_copy(update={"state": RequestState.RELEASED})
        else:
            headers = {name: value for name, value in answer.headers.items() if name in KEPT_HEADERS}
            update = {"status": answer.status_code, "headers": headers, "body": content.decode()}
            outcome = record.model_copy(update=update)
        try:
            await self._requests.finish(digest, outcome)
        except ServiceError as error:
            # The request was carried out; only a repeat within the next minute would be told to wait.
            log.warning("an answer could not be kept", reason=str(error))
        return answer


async def _run(app: ASGIApp, scope: Scope, body: bytes) -> Response:
    """The routes' answer to a request whose body was read already."""
    told: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    answer = Response()
    parts: list[bytes] = []

    async def receive() -> Message:
        return told.pop() if told else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status_code = message["status"]
            answer.raw_headers = list(message["headers"])
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    answer.body = b"".join(parts)
    return answer


def _in_progress() -> ProblemError:
    detail = "a request with this Idempotency-Key is being carried out; repeat it in a moment"
    return ProblemError(
        409, "in_progress", "the first request is still under way", detail, headers={"Retry-After": "1"}
    )
