"""How a request reaches the service and an answer becomes a value or an error.

Rule: a service that says "not now" (429, 503, a request still under way) is asked again as it says, a bounded number of
times; what must not be done twice carries an `Idempotency-Key`, and what a deletion asked for again finds gone is
deleted. Knows HTTP, not what is asked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import httpx
import orjson

from tidegate.encoding import encoded
from tidegate.errors import NotReadyError, ProblemError, TidegateError, UnreachableError, problem

API: Final = "/api/v2"
DEFAULT_URL: Final = "http://127.0.0.1:8081"
ATTEMPTS_MAX: Final = 4
ASKED_AGAIN: Final = frozenset({409, 429, 503})
"""Statuses of a `NotReadyError` after which the same request may be sent again."""
TURNED_AWAY: Final = 429
"""A request so answered was not carried out; after the others of `ASKED_AGAIN` it may have been."""
RETRY_AFTER_MAX_S: Final = 10.0
"""A longer wait than this is the caller's to decide."""
CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 30.0
EVENT_STREAM: Final = "text/event-stream"
LAST_EVENT_ID: Final = "Last-Event-ID"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"


class Transport:
    """One connection pool to one service address, with one key."""

    def __init__(self, url: str, key: str | None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        # With the API's path too: `tidegate up` prints it, for those who write requests by hand.
        self.url = url.rstrip("/").removesuffix(API)
        self._http = connections(
            self.url + API,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            transport=transport,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        once: bool = False,
        deletes: bool = False,
    ) -> httpx.Response:
        """Ask, and ask again while the service says "not now". A streamed body is sent only once.

        `once`: doing it twice would not be the same as doing it once (creating something), so the request gets a key
        by which the service knows it again. Writing attributes needs none, and is faster without.

        `deletes`: an earlier attempt may have been carried out though its answer did not say so, and then the 404 of a
        later one is given as the answer.

        Errors: raises UnreachableError, the ProblemError that the answer holds, or TidegateError for what JSON cannot
        carry.
        """
        sent = {**({IDEMPOTENCY_KEY: str(uuid.uuid4())} if once else {}), **(headers or {})}
        if json is not None:
            content = encoded(json)
            sent.setdefault("Content-Type", "application/json")
        attempts = ATTEMPTS_MAX if content is None or isinstance(content, bytes) else 1
        known = {name: value for name, value in (params or {}).items() if value is not None}
        may_be_done = False
        for attempt in range(1, attempts + 1):
            try:
                answer = await self._http.request(method, path, content=content, params=known, headers=sent)
                is_gone = deletes and may_be_done and answer.status_code == httpx.codes.NOT_FOUND
                return answer if is_gone else _checked(answer)
            except NotReadyError as error:
                if attempt == attempts or error.status not in ASKED_AGAIN or error.retry_after_s > RETRY_AFTER_MAX_S:
                    raise
                may_be_done = may_be_done or error.status != TURNED_AWAY
                await asyncio.sleep(error.retry_after_s)
            except httpx.TransportError as error:
                raise self._unreachable(error) from error
        raise AssertionError("the last attempt returns or raises")

    async def events(self, path: str, params: Mapping[str, Any], last_id: str | None) -> AsyncGenerator[ServerEvent]:
        """Read server-sent events until the service ends the stream."""
        headers = {"Accept": EVENT_STREAM, **({LAST_EVENT_ID: last_id} if last_id else {})}
        known = {name: value for name, value in params.items() if value is not None}
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            async with self._http.stream("GET", path, params=known, headers=headers, timeout=timeout) as answer:
                if answer.status_code != httpx.codes.OK:
                    await answer.aread()
                _checked(answer)
                if not answer.headers.get("Content-Type", "").startswith(EVENT_STREAM):
                    raise TidegateError(f"{answer.request.url} did not answer with events; is it a Tidegate service?")
                async with aclosing(_parse_events(answer.aiter_lines())) as events:
                    async for event in events:
                        yield event
        except orjson.JSONDecodeError as error:
            raise TidegateError(f"{self.url} sent an event that is not JSON; is it a Tidegate service?") from error
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        reason = str(error) or type(error).__name__
        match error:
            case httpx.ConnectError() if "[SSL" in reason:
                told = f"{self.url} does not speak TLS as was asked ({reason}); is it http, or its certificate yours?"
            case httpx.ProtocolError() | httpx.ReadError() | httpx.WriteError():
                told = f"{self.url} broke off, or speaks no HTTP ({reason}); is the address right, and http or https?"
            case httpx.ReadTimeout() | httpx.WriteTimeout():
                told = f"{self.url} did not answer in time ({reason}); ask again later"
            case _:
                told = f"nothing answers at {self.url} ({reason}); is it running? `tidegate up` starts it"
        return UnreachableError(told)


def connections(
    url: str,
    *,
    timeout: httpx.Timeout,
    headers: Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """Connections to an address, through the proxy and with the certificates that the environment names.

    What is on this machine is asked without a proxy, from which `127.0.0.1` would be another machine.

    Errors: raises TidegateError when what the environment names cannot be used.
    """
    base = httpx.URL(url)
    try:
        return httpx.AsyncClient(
            base_url=base,
            headers=headers,
            timeout=timeout,
            transport=transport,
            verify=httpx.create_ssl_context(),
            trust_env=not _is_here(base.host),
        )
    except (httpx.InvalidURL, ImportError, OSError, ValueError) as error:
        raise TidegateError(
            f"the proxy or the certificates that the environment names cannot be used ({error}); "
            "look at HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
        ) from error


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServerEvent:
    """One server-sent event: its name, its JSON and the id to resume after."""

    __slots__ = ("data", "id", "name")

    def __init__(self, name: str, data: Any, id: str) -> None:  # noqa: A002 - the word of the standard
        self.name = name
        self.data = data
        self.id = id


async def _parse_events(lines: AsyncIterator[str]) -> AsyncGenerator[ServerEvent]:
    """Put the lines of an event stream together. Comments, which only keep the connection open, are dropped."""
    name, identity, data = "message", "", list[str]()
    async for line in lines:
        if not line:
            if data:
                yield ServerEvent(name, orjson.loads("\n".join(data)), identity)
            name, data = "message", []
            continue
        field, _, text = line.partition(":")
        text = text.removeprefix(" ")
        if field == "event":
            name = text
        elif field == "id":
            identity = text
        elif field == "data":
            data.append(text)


def _checked(answer: httpx.Response) -> httpx.Response:
    """Give a good answer back; raise the error that a bad one holds."""
    if answer.is_success:
        return answer
    raise _problem(answer)


def _problem(answer: httpx.Response) -> ProblemError:
    try:
        document = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        document = answer.text
    if not isinstance(document, dict):
        place = f", to {answer.headers['Location']}" if "Location" in answer.headers else ""
        title = f"{answer.request.url} answered {answer.status_code} {answer.reason_phrase}{place}"
        document = {"title": title, "detail": str(document)[:200]}
    return problem(answer.status_code, document, _retry_after_s(answer.headers.get("Retry-After")))


def _retry_after_s(header: str | None) -> float:
    try:
        return max(0.0, float(header)) if header is not None else 1.0
    except ValueError:
        return 1.0
