"""What there is to read about one contact, asked of the evaluator that owns it.

Rule: shapes the owner's answer for people (RFC 3339, lists in a stated order) and adds nothing to it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query

from services.console.instants import rfc3339
from services.console.owners import Owners
from services.console.paths import ContactInPath
from services.runtime.problems import not_found

PAGE_MAX: Final = 1_000
PAGE_DEFAULT: Final = 50

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


def contacts_router(owners: Owners, admit: Any) -> APIRouter:
    """The routes, for readers that `admit` lets in."""
    router = APIRouter(prefix="/contacts", dependencies=[Depends(admit)])

    @router.get("")
    async def contacts(prefix: str = "", after: str | None = None, limit: Limit = PAGE_DEFAULT) -> dict[str, Any]:
        """Ids of contacts that begin with `prefix`, in order; `next` is the `after` of the next page."""
        params = {"prefix": prefix, "after": after, "limit": limit}
        pages = await owners.of_all("GET", "/contacts", params=params)
        ids = sorted(contact_id for page in pages for contact_id in page["contacts"])
        more = len(ids) > limit or any(page["next"] for page in pages)
        ids = ids[:limit]
        return {"contacts": [{"id": contact_id} for contact_id in ids], "next": ids[-1] if more and ids else None}

    @router.get("/{contact_id}")
    async def contact(contact_id: ContactInPath) -> dict[str, Any]:
        """Attributes, memberships with since-when, and the next instant at which time alone could change something."""
        held = await owners.of_contact(contact_id)
        if held is None:
            raise not_found("contact", contact_id)
        return {
            "id": contact_id,
            "attributes": held["attributes"],
            "memberships": [
                {"segment_id": segment_id, "since": rfc3339(since)}
                for segment_id, since in sorted(held["members"].items())
            ],
            "next_deadline": rfc3339(held["due_ms"]),
            "as_of": rfc3339(held["clock_ms"]),
        }

    @router.get("/{contact_id}/explain")
    async def explain(contact_id: ContactInPath, segment: str) -> dict[str, Any]:
        """Why the contact is in the segment or not, test by test, and until when."""
        explained = await owners.of_contact(contact_id, "/explain", {"segment": segment})
        if explained is None:
            raise not_found("contact", contact_id)
        answer: dict[str, Any] = {"contact_id": contact_id, "segment_id": segment, **explained}
        return answer

    return router
