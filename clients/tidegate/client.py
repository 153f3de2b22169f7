"""The typed HTTP client: one method for each thing the API does.

Rule: a method takes and gives plain values of `responses.py`, and raises only what `errors.py` names. What reaches the
wire, and asking again, is `transport.py`'s.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from tidegate.decoding import read, read_all, read_deleted, read_object, read_segment
from tidegate.definition import SegmentDefinition, Where
from tidegate.errors import TidegateError
from tidegate.responses import (
    ApiKey,
    AuditPage,
    ChangePage,
    Contact,
    DeadLetter,
    DeadLetterPage,
    Import,
    MemberPage,
    PastMembership,
    Preview,
    Receipt,
    Segment,
)
from tidegate.transport import DEFAULT_URL, ServerEvent, Transport


class Tidegate:
    """The API at one address, with one key: `async with Tidegate(key="tg_…") as tidegate: ...`."""

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` replaces the network, for tests of your own code."""
        self._wire = Transport(url, key, transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._wire.close()

    # Contacts

    async def set_contact(self, contact_id: str, attributes: Mapping[str, Any]) -> Receipt:
        """Set attributes of one contact; None removes one, an absent one is kept."""
        answer = await self._wire.request("PATCH", f"/contacts/{_id(contact_id)}", json={"attributes": attributes})
        return read(Receipt, answer)

    async def set_contacts(self, contacts: Sequence[Mapping[str, Any]]) -> list[Receipt]:
        """Set attributes of up to 1,000 contacts, each `{"id": …, "attributes": {…}}`; one receipt each, in order."""
        answer = await self._wire.request("POST", "/contacts", json={"contacts": list(contacts)})
        return read_all(Receipt, "receipts", answer)

    async def delete_contact(self, contact_id: str) -> Receipt:
        """Erase a contact: it leaves every segment, and nothing of it is kept."""
        return read(Receipt, await self._wire.request("DELETE", f"/contacts/{_id(contact_id)}"))

    async def contact(self, contact_id: str) -> Contact:
        """One contact as evaluated. Errors: NotFoundError."""
        return read(Contact, await self._wire.request("GET", f"/contacts/{_id(contact_id)}"))

    async def contact_changes(self, contact_id: str, *, limit: int = 50, after: str | None = None) -> ChangePage:
        """A page of a contact's membership changes, newest first; pass `next` back as `after`."""
        params = {"limit": limit, "after": after}
        answer = await self._wire.request("GET", f"/contacts/{_id(contact_id)}/changes", params=params)
        return read(ChangePage, answer)

    async def membership(self, contact_id: str, segment_id: str, *, at: datetime | None = None) -> PastMembership:
        """Whether a contact was in a segment at an instant (now by default), as far back as changes are kept."""
        params = {"segment": segment_id, "at": None if at is None else at.isoformat()}
        answer = await self._wire.request("GET", f"/contacts/{_id(contact_id)}/membership", params=params)
        return read(PastMembership, answer)

    async def explain(self, contact_id: str, segment_id: str) -> dict[str, Any]:
        """Why a contact is in a segment or not, test by test, and until when."""
        path = f"/contacts/{_id(contact_id)}/explain"
        return read_object(await self._wire.request("GET", path, params={"segment": segment_id}), "holds")

    # Segments

    async def segments(self) -> list[Segment]:
        """Every segment, by id."""
        return read_all(Segment, "segments", await self._wire.request("GET", "/segments"))

    async def segment(self, segment_id: str) -> Segment:
        """One segment. Errors: NotFoundError."""
        return read_segment(await self._wire.request("GET", f"/segments/{_id(segment_id)}"))

    async def create_segment(self, definition: SegmentDefinition) -> Segment:
        """Create a segment. Errors: RefusedError with the expression's problems, ConflictError if the id is taken."""
        return read_segment(await self._wire.request("POST", "/segments", json=definition.body(), once=True))

    async def replace_segment(self, definition: SegmentDefinition, *, etag: str, state: str | None = None) -> Segment:
        """Save a new version over the one that `etag` names. Errors: ConflictError when that is not the newest."""
        body = definition.body() if state is None else {**definition.body(), "state": state}
        path = f"/segments/{_id(definition.id)}"
        return read_segment(await self._wire.request("PUT", path, json=body, headers={"If-Match": etag}))

    async def set_segment_state(self, segment_id: str, state: str, *, etag: str) -> Segment:
        """Pause (`paused`) or resume (`active`) a segment; a paused one keeps its members. Errors: ConflictError."""
        path, headers = f"/segments/{_id(segment_id)}", {"If-Match": etag}
        return read_segment(await self._wire.request("PUT", path, json={"state": state}, headers=headers))

    async def delete_segment(self, segment_id: str, *, etag: str) -> None:
        """Delete a segment: its members exit.

        Errors: NotFoundError; ConflictError when `etag` is no longer the newest; UnreachableError when no answer came,
        and then it may be deleted.
        """
        path, headers = f"/segments/{_id(segment_id)}", {"If-Match": etag}
        read_deleted(await self._wire.request("DELETE", path, headers=headers, deletes=True))

    async def validate(self, where: Where) -> dict[str, Any]:
        """Check an expression without saving it: its canonical forms. Errors: RefusedError with every problem."""
        answer = await self._wire.request("POST", "/segments/validate", json={"where": where})
        return read_object(answer, "text", "where", "english")

    async def preview(self, where: Where, *, segment_id: str | None = None) -> Preview:
        """How many contacts match now; with `segment_id`, also who would enter and leave it."""
        body = {"where": where, **({"id": segment_id} if segment_id else {})}
        return read(Preview, await self._wire.request("POST", "/segments/preview", json=body))

    async def members(self, segment_id: str, *, limit: int = 100, after: str | None = None) -> MemberPage:
        """A page of members, by contact id; pass `next` back as `after`."""
        params = {"limit": limit, "after": after}
        answer = await self._wire.request("GET", f"/segments/{_id(segment_id)}/members", params=params)
        return read(MemberPage, answer)

    async def segment_changes(self, segment_id: str, *, limit: int = 50, after: str | None = None) -> ChangePage:
        """A page of a segment's changes, newest first; pass `next` back as `after`."""
        params = {"limit": limit, "after": after}
        answer = await self._wire.request("GET", f"/segments/{_id(segment_id)}/changes", params=params)
        return read(ChangePage, answer)

    def events(self, *, segment_id: str | None = None, last_id: str | None = None) -> AsyncGenerator[ServerEvent]:
        """Live membership changes and counts; `last_id` resumes after an event that you have.

        Leaving early: wrap it in `contextlib.aclosing`, which ends the request at once.
        """
        return self._wire.events("/events", {"segment": segment_id}, last_id)

    async def status(self, *, probe: bool = False) -> dict[str, Any]:
        """Partitions with their owners, states and lag, and whether every one is served.

        It is what the owners last said; with `probe` each is asked whether it answers now.
        """
        params = {"probe": "true"} if probe else None
        answer = await self._wire.request("GET", "/status", params=params)
        return read_object(answer, "partitions", "partitions_expected", "dead_letters")

    # Imports and keys

    async def start_import(
        self, body: bytes | AsyncIterator[bytes], *, params: Mapping[str, Any], content_type: str = "text/csv"
    ) -> Import:
        """Send a CSV file; the answer comes when it is stored, and `import_status` then tells how far it is."""
        headers = {"Content-Type": content_type}
        answer = await self._wire.request("POST", "/imports", content=body, params=params, headers=headers)
        return read(Import, answer)

    async def import_status(self, import_id: str) -> Import:
        """How far an import is. Errors: NotFoundError."""
        return read(Import, await self._wire.request("GET", f"/imports/{_id(import_id)}"))

    async def map_import(self, import_id: str, mapping: Mapping[str, Any]) -> Import:
        """Decide how columns become attributes; the answer's `preview` shows what the first rows become."""
        answer = await self._wire.request("PUT", f"/imports/{_id(import_id)}/mapping", json=mapping)
        return read(Import, answer)

    async def import_step(self, import_id: str, step: str, *, again: bool = False) -> Import:
        """Go on with an import: `dry-run`, `commit` or `cancel`. Errors: ConflictError when it is not its turn.

        `again` commits a file that was written in the same way within the last day once more.
        """
        params = {"again": "true"} if again else None
        answer = await self._wire.request("POST", f"/imports/{_id(import_id)}/{step}", params=params)
        return read(Import, answer)

    async def import_errors(self, import_id: str) -> str:
        """The rejected rows as CSV, each with what was expected and how to fix it."""
        return (await self._wire.request("GET", f"/imports/{_id(import_id)}/errors.csv")).text

    async def keys(self) -> list[ApiKey]:
        """Every API key, without its secret."""
        return read_all(ApiKey, "keys", await self._wire.request("GET", "/keys"))

    async def create_key(self, name: str, scopes: Sequence[str], *, expires_at: datetime | None = None) -> ApiKey:
        """Create a key; its secret is only in this answer. It is refused from `expires_at` on.

        Errors: RefusedError when that is past; TidegateError when the answer with the secret was lost.
        """
        wanted: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_at is not None:
            wanted["expires_at"] = expires_at.astimezone(UTC).isoformat()
        answer = await self._wire.request("POST", "/keys", json=wanted, once=True)
        made = read(ApiKey, answer)
        if made.key is None:
            raise TidegateError(
                f"key {made.id} is made, but the answer with its secret was lost; revoke it, make another"
            )
        return made

    async def revoke_key(self, key_id: str) -> None:
        """Refuse a key from now on.

        Errors: NotFoundError; UnreachableError when no answer came, and then it may be revoked.
        """
        read_deleted(await self._wire.request("DELETE", f"/keys/{_id(key_id)}", deletes=True))

    # Operating

    async def dead_letters(
        self, *, code: str | None = None, limit: int = 50, after: str | None = None
    ) -> DeadLetterPage:
        """A page of records that could not be evaluated, newest first; pass `next` back as `after`.

        A page may be shorter than `limit`, even empty, before the last.
        """
        params = {"code": code, "limit": limit, "after": after}
        return read(DeadLetterPage, await self._wire.request("GET", "/dead-letters", params=params))

    async def dead_letter(self, partition: int, offset: int) -> DeadLetter:
        """One of them, whole. Errors: NotFoundError."""
        answer = await self._wire.request("GET", f"/dead-letters/{partition}/{offset}")
        return read(DeadLetter, answer)

    async def replay_dead_letter(
        self, partition: int, offset: int, value: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Put a record back on the log, as it was or repaired. Errors: RefusedError if it would fail again."""
        path, body = f"/dead-letters/{partition}/{offset}/replay", {} if value is None else {"value": value}
        return read_object(await self._wire.request("POST", path, json=body, once=True), "partition", "offset")

    async def audit(self, *, kind: str | None = None, limit: int = 50, before: str | None = None) -> AuditPage:
        """A page of who changed what, newest first; pass `next` back as `before`. Needs the scope admin."""
        params = {"kind": kind, "limit": limit, "before": before}
        return read(AuditPage, await self._wire.request("GET", "/audit", params=params))


def _id(text: str) -> str:
    """An id as one path segment, whatever characters it has; dots alone would be a step in the path."""
    encoded = quote(text, safe="")
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded
