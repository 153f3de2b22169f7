"""Carries out a request once: whoever comes again gets the answer to the first, from any process, after any restart.

Rule: honoured for 24 hours. A request is told apart by its digest; one with the same digest and another fingerprint is
refused. An answer that says "not now" is not kept, so that trying again can succeed, nor one by which nothing was done.
Of a request that was carried out something is kept, however long its answer is.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import zlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import orjson
from fastapi.responses import Response

from schemas.request_record import RequestRecord, RequestState
from services.ingest.request_log import RequestLog
from services.ingest.request_store import is_over
from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.logs import Seldom, get_logger
from services.runtime.problems import ProblemError
from services.runtime.repeats import REPLAYED

KEPT_HEADERS: Final = frozenset({"content-type", "etag", "location", "preference-applied"})
KEPT_BYTES_MAX: Final = 512 * 1024
"""A longer body is packed, and one that is longer even so is kept shorter. 1,000 receipts have about 120 KiB."""
IN_PROGRESS_WAIT_S: Final = 5
"""How long a repeat waits for the answer to the first request."""
_NOT_NOW: Final = frozenset({408, 429})
_NOT_CARRIED_OUT: Final = frozenset({401, 403, 404, 405})
_NOTHING_KEPT: Final = orjson.dumps({"notice": "The request was carried out. Its answer was too long to be kept."})

log = Seldom(get_logger("once"))


def _whole(answer: Response) -> Iterable[bytes]:
    return (bytes(answer.body),)


class Once:
    """Claims requests and keeps their answers."""

    def __init__(self, requests: RequestLog) -> None:
        self._requests = requests
        self._releasing: set[asyncio.Task[None]] = set()

    async def answer(
        self,
        digest: str,
        fingerprint: str,
        carry_out: Callable[[], Awaitable[Response]],
        bodies: Callable[[Response], Iterable[bytes]] = _whole,
    ) -> Response:
        """The answer to the first such request; `carry_out` is called only for that one.

        `bodies` are what may be kept of its answer, the best first: the first that is not too long is kept.
        Errors: ProblemError if the digest came with another request, or the first one takes too long; whatever
        `carry_out` raises; ServiceError when the broker is away.
        """
        kept = await self._kept(digest, fingerprint)
        if kept is not None:
            return kept
        record = RequestRecord(state=RequestState.CLAIMED, claim=secrets.token_hex(8), fingerprint=fingerprint)
        try:
            answer = await carry_out() if await self._requests.claim(digest, record) else None
        except BaseException:
            self._release(digest, record)
            raise
        if answer is None:
            kept = await self._kept(digest, fingerprint)
            if kept is None:
                raise _in_progress()
            return kept
        if _may_be_repeated(answer):
            self._release(digest, record)
        else:
            await self._finish(digest, await asyncio.to_thread(_outcome, record, answer, bodies))
        return answer

    def _release(self, digest: str, record: RequestRecord) -> None:
        """Let a repeat be carried out, also where it is not known whether the claim stands: it would for a minute.

        Nobody waits for it: the broker that is to keep it may be what is away.
        """
        releasing = asyncio.create_task(
            self._finish(digest, record.model_copy(update={"state": RequestState.RELEASED})), name="releasing a request"
        )
        self._releasing.add(releasing)
        releasing.add_done_callback(self._releasing.discard)

    async def close(self) -> None:
        """Wait for what is being released."""
        await asyncio.gather(*self._releasing)

    async def _kept(self, digest: str, fingerprint: str) -> Response | None:
        """The first answer, waiting for one that is under way; None if there is none to wait for."""
        record = self._standing(digest)
        if record is not None and record.fingerprint == fingerprint and record.state is not RequestState.DONE:
            await self._requests.settled(digest, IN_PROGRESS_WAIT_S)
            record = self._standing(digest)
        if record is None:
            return None
        if record.fingerprint != fingerprint:
            raise ProblemError(
                422,
                "idempotency_key_reused",
                "this Idempotency-Key came with another request before",
                "make a new key for each request; repeat a request unchanged",
            )
        if record.state is not RequestState.DONE:
            raise _in_progress()
        headers = {**record.headers, **REPLAYED}
        return Response(await asyncio.to_thread(_body, record), record.status or 200, headers)

    def _standing(self, digest: str) -> RequestRecord | None:
        found = self._requests.get(digest)
        return found[0] if found is not None and not is_over(*found, clock.now_ms()) else None

    async def _finish(self, digest: str, outcome: RequestRecord) -> None:
        try:
            await self._requests.finish(digest, outcome)
        except ServiceError as error:
            # The request was carried out; only a repeat within the next minute would be told to wait.
            log.warning("an answer could not be kept", reason=str(error))


def _may_be_repeated(answer: Response) -> bool:
    """Whether the answer says "not now", as a batch of which a part failed does, or nothing was carried out."""
    if answer.status_code >= 500 or "retry-after" in answer.headers:
        return True
    return answer.status_code in _NOT_NOW or answer.status_code in _NOT_CARRIED_OUT


def _outcome(record: RequestRecord, answer: Response, bodies: Callable[[Response], Iterable[bytes]]) -> RequestRecord:
    """What is kept of an answer."""
    headers = {name: value for name, value in answer.headers.items() if name in KEPT_HEADERS}
    done = {"state": RequestState.DONE, "status": answer.status_code, "headers": headers}
    kept = record.model_copy(update=done)
    for body in bodies(answer):
        if len(body) <= KEPT_BYTES_MAX:
            return kept.model_copy(update={"body": body.decode()})
        packed = base64.b64encode(zlib.compress(body))
        if len(packed) <= KEPT_BYTES_MAX:
            return kept.model_copy(update={"packed_body": packed.decode()})
    return kept.model_copy(update={"body": _NOTHING_KEPT.decode()})


def _body(record: RequestRecord) -> bytes:
    if record.packed_body is not None:
        return zlib.decompress(base64.b64decode(record.packed_body))
    return (record.body or "").encode()


def _in_progress() -> ProblemError:
    detail = "such a request is being carried out; repeat it in a moment"
    return ProblemError(
        409, "in_progress", "the first request is still under way", detail, headers={"Retry-After": "1"}
    )
