"""Who is in a segment, what changed, and what its condition costs: asked of the evaluators that own the partitions.

Rule: a list over partitions is whole or a 503, in one order over all of them, and its cursor is a place in that order.
"""

from __future__ import annotations

import re
from typing import Any, Final

from fastapi import APIRouter, Depends

from schemas.limits import SEGMENT_ID_PATTERN
from services.console.contact_history import listed
from services.console.contact_reads import PAGE_DEFAULT, Limit
from services.console.instants import rfc3339
from services.console.owners import Owners
from services.console.paths import SegmentInPath
from services.runtime.problems import not_found

MEASURED_PARTITION: Final = 0
IS_SEGMENT_ID: Final = re.compile(SEGMENT_ID_PATTERN).fullmatch


def segment_lists_router(owners: Owners, admit: Any) -> APIRouter:
    """The routes, for readers that `admit` lets in."""
    router = APIRouter(prefix="/segments", dependencies=[Depends(admit)])

    @router.get("/{segment_id}/members")
    async def members(
        segment_id: SegmentInPath, after: str | None = None, limit: Limit = PAGE_DEFAULT
    ) -> dict[str, Any]:
        """The members by contact id, each with since-when; `next` is the `after` of the next page."""
        path = f"{_place_of(segment_id)}/members"
        pages = _known(await owners.of_all("GET", path, params={"after": after, "limit": limit}), segment_id)
        found = sorted((entry["contact_id"], entry["since_ms"]) for page in pages for entry in page["members"])
        more = len(found) > limit or any(page["next"] for page in pages)
        found = found[:limit]
        return {
            "members": [{"contact_id": contact_id, "since": rfc3339(since)} for contact_id, since in found],
            "next": found[-1][0] if more and found else None,
        }

    @router.get("/{segment_id}/changes")
    async def changes(
        segment_id: SegmentInPath, after: str | None = None, limit: Limit = PAGE_DEFAULT
    ) -> dict[str, Any]:
        """The segment's latest membership changes, newest first; `next` is the `after` of the next page."""
        path = f"{_place_of(segment_id)}/changes"
        pages = _known(await owners.of_all("GET", path, params={"after": after, "limit": limit}), segment_id)
        found = [change for page in pages for change in page["changes"]]
        found.sort(key=_place, reverse=True)
        more = len(found) > limit or any(page["next"] for page in pages)
        found = found[:limit]
        following = ".".join(map(str, _place(found[-1]))) if more and found else None
        return {"changes": [listed(change) for change in found], "next": following}

    @router.get("/{segment_id}/cost")
    async def cost(segment_id: SegmentInPath) -> dict[str, Any]:
        """How long the whole condition takes for one contact, measured now on contacts of one partition."""
        measured = await owners.ask(MEASURED_PARTITION, "GET", f"{_place_of(segment_id)}/cost", params={
            "partition": MEASURED_PARTITION,
        })  # fmt: skip
        return {
            "segment_id": segment_id,
            "evaluation_us": round(measured["evaluation_us"], 3) if measured["contacts"] else None,
            "contacts_measured": measured["contacts"],
        }

    return router


def _place_of(segment_id: str) -> str:
    """Where an owner has a segment. Errors: ProblemError for a name that none has, such as a step in a path."""
    if not IS_SEGMENT_ID(segment_id):
        raise not_found("segment", segment_id)
    return f"/segments/{segment_id}"


def _place(change: dict[str, Any]) -> tuple[int, int, str]:
    """A change's place in the list, which the evaluators' cursors hold too."""
    return change["at"], change["offset"], change["contact_id"]


def _known(pages: list[Any], segment_id: str) -> list[Any]:
    """The pages, if any partition knows the segment: a new one reaches them one after the other."""
    if not any(page["known"] for page in pages):
        raise not_found("segment", segment_id)
    return pages
