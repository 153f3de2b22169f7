"""What there is to read about segments: definitions from ingest, counts from statuses, members from every owner.

Rule: a count says as of when and whether the segment is still settling; one that not every partition has told is null,
never a smaller number. A list over partitions is whole or a 503.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from segmentation.model import SegmentId
from services.console.contact_reads import PAGE_DEFAULT, Limit, listed
from services.console.forward import Ingest
from services.console.hour import Hour
from services.console.instants import rfc3339
from services.console.owners import Owners
from services.console.problems import not_found
from services.console.status import StatusBoard
from services.runtime.clock import now_ms

MEASURED_PARTITION: Final = 0
LONG_FIELDS: Final = frozenset({"where", "english", "advice"})


def segments_router(owners: Owners, ingest: Ingest, board: StatusBoard, hour: Hour, admit: Any) -> APIRouter:
    """The routes, for readers that `admit` lets in; ingest checks the key again for what it is asked."""
    router = APIRouter(prefix="/segments", dependencies=[Depends(admit)])

    @router.get("")
    async def segments(request: Request, brief: bool = False) -> Response:
        """Every segment with its live count and its last hour; `brief` leaves out the JSON and English forms."""
        answer = await ingest.ask(request)
        if answer.status_code != 200:
            return ingest.relay(answer)
        body = orjson.loads(answer.content)
        dropped = LONG_FIELDS if brief else frozenset()
        body["segments"] = [
            {
                **{name: value for name, value in entry.items() if name not in dropped},
                **_counts(board, entry),
                "last_hour": hour.read(SegmentId(entry["id"]), now_ms()),
            }
            for entry in body["segments"]
        ]
        return Response(orjson.dumps(body), media_type="application/json")

    @router.get("/{segment_id}")
    async def segment(segment_id: str, request: Request) -> Response:
        """One segment with its live count; the ETag is what `If-Match` wants."""
        answer = await ingest.ask(request)
        if answer.status_code != 200:
            return ingest.relay(answer)
        entry = orjson.loads(answer.content)
        last_hour = hour.read(SegmentId(segment_id), now_ms())
        whole = {**entry, **_counts(board, {"id": segment_id, **entry}), "last_hour": last_hour}
        headers = {"ETag": answer.headers["ETag"]} if "ETag" in answer.headers else {}
        return Response(orjson.dumps(whole), media_type="application/json", headers=headers)

    @router.get("/{segment_id}/members")
    async def members(segment_id: str, after: str | None = None, limit: Limit = PAGE_DEFAULT) -> dict[str, Any]:
        """The members by contact id, each with since-when; `next` is the `after` of the next page."""
        path = f"/segments/{segment_id}/members"
        pages = _known(await owners.of_all("GET", path, params={"after": after, "limit": limit}), segment_id)
        found = sorted((entry["contact_id"], entry["since_ms"]) for page in pages for entry in page["members"])
        more = len(found) > limit or any(page["next"] for page in pages)
        found = found[:limit]
        return {
            "members": [{"contact_id": contact_id, "since": rfc3339(since)} for contact_id, since in found],
            "next": found[-1][0] if more and found else None,
        }

    @router.get("/{segment_id}/changes")
    async def changes(segment_id: str, after: str | None = None, limit: Limit = PAGE_DEFAULT) -> dict[str, Any]:
        """The segment's latest membership changes, newest first; `next` is the `after` of the next page."""
        path = f"/segments/{segment_id}/changes"
        pages = _known(await owners.of_all("GET", path, params={"after": after, "limit": limit}), segment_id)
        found = [change for page in pages for change in page["changes"]]
        found.sort(key=_place, reverse=True)
        more = len(found) > limit or any(page["next"] for page in pages)
        found = found[:limit]
        following = ".".join(map(str, _place(found[-1]))) if more and found else None
        return {"changes": [listed(change) for change in found], "next": following}

    @router.get("/{segment_id}/cost")
    async def cost(segment_id: str) -> dict[str, Any]:
        """How long the whole condition takes for one contact, measured now on contacts of one partition."""
        measured = await owners.ask(MEASURED_PARTITION, "GET", f"/segments/{segment_id}/cost", params={
            "partition": MEASURED_PARTITION,
        })  # fmt: skip
        return {
            "segment_id": segment_id,
            "evaluation_us": round(measured["evaluation_us"], 3) if measured["contacts"] else None,
            "contacts_measured": measured["contacts"],
        }

    return router


def _counts(board: StatusBoard, entry: dict[str, Any]) -> dict[str, Any]:
    count = board.count(SegmentId(entry["id"]), int(entry.get("version") or 0))
    return {
        "members": count.members,
        "entered": count.entered,
        "exited": count.exited,
        "settling": count.settling,
        "settled_percent": round(count.settled_percent, 1),
        "unreadable": count.unreadable,
        "unreadable_attributes": list(count.unreadable_attributes),
        "unreadable_settling": count.unreadable_settling,
        "counted_at": rfc3339(count.reported_at_ms),
        "as_of": rfc3339(count.as_of_ms),
        "lag_ms": count.lag_ms,
    }


def _place(change: dict[str, Any]) -> tuple[int, int, str]:
    """A change's place in the list, which the evaluators' cursors hold too."""
    return change["at"], change["offset"], change["contact_id"]


def _known(pages: list[Any], segment_id: str) -> list[Any]:
    """The pages, if any partition knows the segment: a new one reaches them one after the other."""
    if not any(page["known"] for page in pages):
        raise not_found("segment", segment_id)
    return pages
