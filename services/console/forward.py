"""Passes on what is another service's: writes and unknown paths to ingest, webhooks to the service of that name.

Rule: the request and its answer pass unchanged, streamed, with the caller's own key; that service decides. Only headers
that belong to one connection are dropped. Connections to a neighbour are few and everybody's: whoever asks has shown a
key, a body takes none before it has begun to come, and long answers, which may be taken slowly, keep few. What must
not happen here: reading a body to decide something.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from typing import Final

import httpx
import orjson
from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from services.runtime.between import client_between
from services.runtime.bodies import unstalled
from services.runtime.problems import ProblemError, unavailable

API: Final = "/api/v2"
TIMEOUT: Final = httpx.Timeout(60.0, connect=2.0, pool=5.0)
CONNECTIONS_MAX: Final = 200
READ_AHEAD_BYTES: Final = 64 * 1024
"""So much of a body, or all of it, is here before a connection is taken, and of an answer before it is passed on: most
are smaller."""
LONG_ANSWERS_MAX: Final = CONNECTIONS_MAX // 2
"""Longer answers that one neighbour's connections are held for at a time, however slowly they are taken."""
ONE_CONNECTION_ONLY: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
     "upgrade", "host"}
)  # fmt: skip
NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""What happens to a request before anything of it is sent."""
_DOTS: Final = re.compile(r"(?<=/)\.{1,2}(?=/|$)")
OF_A_BODY: Final = frozenset({"content-length", "content-type", "content-encoding"})


class Neighbour:
    """Another service at one address."""

    def __init__(self, name: str, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._name = name
        self._long_answers = 0
        self._http = client_between(transport, CONNECTIONS_MAX, base_url=url, timeout=TIMEOUT)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, request: Request, path: str | None = None, body: object = None) -> httpx.Response:
        """Ask in the caller's name, by default the same thing; the answer is read whole. Errors: ProblemError."""
        headers = _as_sent(_passed_on(request.headers.items(), without=OF_A_BODY))
        try:
            if path is None:
                return await self._http.get(_target(request), headers=headers)
            headers.append((b"content-type", b"application/json"))
            return await self._http.post(API + path, content=orjson.dumps(body), headers=headers)
        except httpx.TransportError as error:
            raise self._away(error) from error

    def relay(self, answer: httpx.Response) -> Response:
        """The service's answer as ours."""
        headers = _passed_on(answer.headers.items(), without=frozenset({"content-encoding"}))
        return Response(answer.content, answer.status_code, dict(headers))

    async def forward(self, request: Request) -> Response:
        """Pass a request on and its answer back, both streamed.

        Errors: ProblemError when nobody answers, and when the body stands still or breaks off.
        """
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        asked = self._http.build_request(
            request.method,
            _target(request),
            headers=_as_sent(_passed_on(request.headers.items())),
            content=(await _begun(unstalled(request)))[0] if has_body else None,
        )
        try:
            answer = await self._http.send(asked, stream=True)
            parts, is_whole = await _begun(answer.aiter_raw())
        except httpx.TransportError as error:
            raise self._away(error, is_write=request.method != "GET") from error
        headers = dict(_passed_on(answer.headers.items()))
        if is_whole:
            return Response(b"".join([part async for part in parts]), answer.status_code, headers)
        if self._long_answers >= LONG_ANSWERS_MAX:
            await answer.aclose()
            detail = f"{LONG_ANSWERS_MAX} long answers are being taken now; ask again"
            raise unavailable("too_many_readers", "too many read long answers", detail)
        return StreamingResponse(self._long(answer, parts), answer.status_code, headers)

    async def _long(self, answer: httpx.Response, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._long_answers += 1
        try:
            async for part in parts:
                yield part
        finally:
            self._long_answers -= 1
            await answer.aclose()

    def _away(self, error: httpx.TransportError, *, is_write: bool = False) -> ProblemError:
        """The service cannot be asked, or was and did not answer: then nobody knows what became of a write."""
        what = "it may have been carried out" if is_write and not isinstance(error, NOT_SENT) else "nothing was changed"
        advice = "ask again, with the same Idempotency-Key if it came with one"
        detail = f"{what} ({type(error).__name__}); {advice if is_write else 'ask again'}"
        title = f"the {self._name} service does not answer"
        return unavailable(f"{self._name}_away", title, detail)


class Ingest(Neighbour):
    """The ingest service."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        super().__init__("ingest", url, transport)


async def _begun(parts: AsyncIterator[bytes]) -> tuple[AsyncIterator[bytes], bool]:
    """The parts of a body, the first of which have come, and whether they are all."""
    ahead: list[bytes] = []
    size = 0
    async for part in parts:
        ahead.append(part)
        size += len(part)
        if size >= READ_AHEAD_BYTES:
            break

    async def whole() -> AsyncIterator[bytes]:
        for part in ahead:
            yield part
        ahead.clear()
        async for part in parts:
            yield part

    return whole(), size < READ_AHEAD_BYTES


def _target(request: Request) -> str:
    """The path and query as they were sent: an escaped slash in an id stays escaped, and dots stay an id.

    The client would take a step for each segment that is dots alone, and ask for what the caller has not named.
    """
    path = _DOTS.sub(lambda dots: "%2E" * len(dots[0]), str(request.scope["raw_path"], "ascii"))
    query = str(request.scope["query_string"], "ascii")
    return f"{path}?{query}" if query else path


def _as_sent(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """The headers of a request, byte by byte: the client would take ASCII only."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _passed_on(headers: Iterable[tuple[str, str]], without: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    """The headers that go on, each as often as it came: not those of one connection."""
    given = [(name.lower(), value) for name, value in headers]
    named = {option.strip().lower() for name, value in given if name == "connection" for option in value.split(",")}
    dropped = ONE_CONNECTION_ONLY | without | named
    return [(name, value) for name, value in given if name not in dropped]
