"""What became of one contact: its latest membership changes, and whether it was in a segment at an instant.

Rule: the kept history is bounded; where it ends, the answer says so and is never guessed. Asks the contact's owner.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from segmentation.values import read_instant
from services.console.contact_reads import PAGE_DEFAULT, Limit
from services.console.instants import rfc3339
from services.console.owners import Owners
from services.console.paths import ContactInPath
from services.runtime.problems import ProblemError, not_found

Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""Dates and epoch numbers are read too."""


def contact_history_router(owners: Owners, admit: Any) -> APIRouter:
    """The routes, for readers that `admit` lets in."""
    router = APIRouter(prefix="/contacts", dependencies=[Depends(admit)])

    @router.get("/{contact_id}/changes")
    async def contact_changes(
        contact_id: ContactInPath, after: str | None = None, limit: Limit = PAGE_DEFAULT
    ) -> dict[str, Any]:
        """The contact's latest membership changes, newest first; `next` is the `after` of the next page."""
        held, told = await asyncio.gather(
            owners.of_contact(contact_id), owners.of_contact(contact_id, "/changes", {"after": after, "limit": limit})
        )
        if held is None:
            raise not_found("contact", contact_id)
        return {"changes": [listed(change) for change in told["changes"]], "next": told["next"]}

    @router.get("/{contact_id}/membership")
    async def membership(contact_id: ContactInPath, segment: str, at: Instant | None = None) -> dict[str, Any]:
        """Whether the contact was in the segment at an instant; null, and why, where the kept history ends."""
        instant = read_instant(at) if at is not None else None
        if instant is None and at is not None:
            raise ProblemError(422, "bad_instant", "`at` is not an instant", "for example 2026-01-31T12:00:00Z")
        found = await owners.of_contact(contact_id, "/membership", {"segment": segment, "at": instant})
        if found is None:
            raise not_found("contact", contact_id)
        return {
            "contact_id": contact_id,
            "segment_id": segment,
            "at": rfc3339(found["at_ms"]),
            "member": found["member"],
            "since": rfc3339(found["since_ms"]),
            "unknown": found["unknown"],
            "history_begins_at": rfc3339(found["known_from_ms"]),
        }

    return router


def listed(change: dict[str, Any]) -> dict[str, Any]:
    """A membership change record as a list shows it."""
    return {
        "segment_id": change["segment_id"],
        "segment_version": change["segment_version"],
        "contact_id": change["contact_id"],
        "change": change["change"],
        "at": rfc3339(change["at"]),
        "cause": change["cause"]["kind"] if isinstance(change["cause"], dict) else change["cause"],
        "event_id": change.get("event_id", ""),
    }
