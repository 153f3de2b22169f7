"""What there is to read about segments as a whole: definitions from ingest, counts from what the evaluators told.

Rule: a count says as of when and whether the segment is still settling; one that not every partition has told is null,
never a smaller number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any, Final

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from segmentation.model import SegmentId
from services.console.forward import Ingest
from services.console.hour import Hour
from services.console.instants import rfc3339
from services.console.paths import SegmentInPath
from services.console.status import COUNTED_AT_ONCE_MAX, StatusBoard
from services.runtime.clock import now_ms

LONG_FIELDS: Final = frozenset({"where", "english", "advice"})


def segments_router(ingest: Ingest, board: StatusBoard, hour: Hour, admit: Any) -> APIRouter:
    """The routes, for readers that `admit` lets in; ingest checks the key again for what it is asked."""
    router = APIRouter(prefix="/segments", dependencies=[Depends(admit)])

    @router.get("")
    async def segments(request: Request, brief: bool = False) -> Response:
        """Every segment with its live count and its last hour; `brief` leaves out the JSON and English forms."""
        answer = await ingest.ask(request)
        if answer.status_code != 200:
            return ingest.relay(answer)
        body = orjson.loads(answer.content)
        body["segments"] = await counted(body["segments"], board, hour, LONG_FIELDS if brief else frozenset())
        return Response(orjson.dumps(body), media_type="application/json")

    @router.get("/{segment_id}")
    async def segment(segment_id: SegmentInPath, request: Request) -> Response:
        """One segment with its live count; the ETag is what `If-Match` wants."""
        answer = await ingest.ask(request)
        if answer.status_code != 200:
            return ingest.relay(answer)
        entry = orjson.loads(answer.content)
        last_hour = hour.read(SegmentId(segment_id), now_ms())
        whole = {**entry, **_counts(board, {"id": segment_id, **entry}), "last_hour": last_hour}
        headers = {"ETag": answer.headers["ETag"]} if "ETag" in answer.headers else {}
        return Response(orjson.dumps(whole), media_type="application/json", headers=headers)

    return router


async def counted(
    entries: Iterable[dict[str, Any]], board: StatusBoard, hour: Hour, dropped: Collection[str]
) -> list[dict[str, Any]]:
    """Ingest's entries of a list with their counts; other requests have their turns meanwhile."""
    told = []
    for number, entry in enumerate(entries, 1):
        kept = {name: value for name, value in entry.items() if name not in dropped}
        told.append({**kept, **_counts(board, entry), "last_hour": hour.read(SegmentId(entry["id"]), now_ms())})
        if number % COUNTED_AT_ONCE_MAX == 0:
            await asyncio.sleep(0)
    return told


def _counts(board: StatusBoard, entry: dict[str, Any]) -> dict[str, Any]:
    count = board.count(SegmentId(entry["id"]), int(entry.get("version") or 0))
    return {
        "members": count.members,
        "entered": count.entered,
        "exited": count.exited,
        "settling": count.settling,
        "settled_percent": round(count.settled_percent, 1),
        "settles_at": rfc3339(count.settles_at_ms),
        "unreadable": count.unreadable,
        "unreadable_attributes": list(count.unreadable_attributes),
        "unreadable_settling": count.unreadable_settling,
        "counted_at": rfc3339(count.reported_at_ms),
        "as_of": rfc3339(count.as_of_ms),
        "lag_ms": count.lag_ms,
    }
