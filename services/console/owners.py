"""Asks the evaluators that own the partitions: one for a contact, all for a segment.

Rule: a moved partition is asked for again at its new owner; one that nobody serves makes the whole answer a 503 with
`Retry-After`. A partial answer is never given as a whole one. Knows addresses and statuses, not what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import httpx
import orjson

from schemas.partitioner import partition_for
from segmentation.model import ContactId
from services.console.problems import not_ready
from services.console.status import StatusBoard
from services.runtime.between import client_between
from services.runtime.problems import ProblemError

INTERNAL: Final = "/internal/v1"
ATTEMPTS_MAX: Final = 5
RETRY_PAUSE_S: Final = 0.1
OWNER_TIMEOUT_S: Final = 12.0
"""Longer than the longest preview, shorter than a client waits."""
PROBE_TIMEOUT_S: Final = 2.0
OWNER_CONNECTIONS_MAX: Final = 100
NOT_OWNER: Final = 421
UNKNOWN_SEGMENT: Final = "unknown_segment"


class Owners:
    """The evaluators' read API, by partition."""

    def __init__(self, board: StatusBoard, partitions: int, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._board = board
        self._partitions = partitions
        self._http = client_between(transport, OWNER_CONNECTIONS_MAX, timeout=OWNER_TIMEOUT_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def of_contact(self, contact_id: str, rest: str = "", params: Mapping[str, Any] | None = None) -> Any:
        """Ask the owner of a contact. Returns None when it has no such contact. Errors: raises ProblemError."""
        path = f"/contacts/{_one_segment(contact_id)}{rest}"
        partition = partition_for(ContactId(contact_id), self._partitions)
        return await self.ask(partition, "GET", path, params=params)

    async def of_all(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: object = None
    ) -> list[Any]:
        """Ask every partition's owner; answers in partition order, all or none. Errors: raises ProblemError."""
        asked = (
            self.ask(partition, method, path, params={**(params or {}), "partition": partition}, body=body)
            for partition in range(self._partitions)
        )
        return list(await asyncio.gather(*asked))

    async def ask(
        self, partition: int, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: object = None
    ) -> Any:
        """Ask one partition's owner, again while it moves or recovers, a bounded number of times.

        One that does not answer in time is asked once. Errors: ProblemError.
        """
        why = f"partition {partition} has no owner yet"
        known = {name: value for name, value in (params or {}).items() if value is not None}
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                await asyncio.sleep(RETRY_PAUSE_S * attempt)
            address = self._board.owner(partition)
            if address is None:
                continue
            try:
                content = None if body is None else orjson.dumps(body)
                answer = await self._http.request(method, address + INTERNAL + path, params=known, content=content)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                why = f"the owner of partition {partition} does not answer ({type(error).__name__})"
                if isinstance(error, httpx.TimeoutException) and self._board.owner(partition) == address:
                    break  # Frozen or cut off: it would take as long again, and hold a connection that others need.
                continue
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                why = f"partition {partition} is recovering"
                continue
            if answer.status_code == NOT_OWNER:
                why = f"partition {partition} is moving"
                continue
            return _read(answer, partition)
        raise not_ready(why)

    async def answers(self, partition: int) -> bool:
        """Whether the partition's owner serves a small read of it now, asked once."""
        address = self._board.owner(partition)
        if address is None:
            return False
        params = {"partition": partition, "limit": 1}
        try:
            answer = await self._http.get(f"{address}{INTERNAL}/contacts", params=params, timeout=PROBE_TIMEOUT_S)
        except (httpx.TransportError, httpx.InvalidURL):
            return False
        return answer.is_success


def _one_segment(contact_id: str) -> str:
    """An id as one segment of a path. As dots alone it would be a step in the path, and not be sent."""
    encoded = quote(contact_id, safe="")
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded


def _read(answer: httpx.Response, partition: int) -> Any:
    """The JSON of an answer; None when what the path names is not there; the owner's own refusal as ours."""
    if answer.is_success:
        return orjson.loads(answer.content)
    said = answer.json() if answer.headers.get("Content-Type", "").endswith("json") else {}
    if answer.status_code == httpx.codes.NOT_FOUND:
        if said.get("code") == UNKNOWN_SEGMENT:
            hint = "check the id; `GET /api/v2/segments` lists what there is"
            raise ProblemError(404, UNKNOWN_SEGMENT, "no such segment is in force", hint)
        return None
    if answer.is_client_error:
        detail = str(said.get("detail") or said.get("message") or answer.text[:200])
        raise ProblemError(answer.status_code, str(said.get("code") or "refused"), "the request was refused", detail)
    raise ProblemError(502, "owner_failed", f"the owner of partition {partition} failed", answer.text[:200])
