"""`POST /segments/preview`: what an expression would match now, over every contact.

Rule: ingest checks and canonicalises the expression, so a preview means what a save would; the numbers are exact and
whole, or the answer is a 503. Nothing is saved.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from services.console.forward import Ingest
from services.console.owners import Owners
from services.console.problems import ProblemError

SAMPLE_MAX: Final = 10


def preview_router(owners: Owners, ingest: Ingest, admit: Any) -> APIRouter:
    """The route, for readers that `admit` lets in; ingest checks the key again for what it is asked."""
    router = APIRouter(prefix="/segments", dependencies=[Depends(admit)])

    @router.post("/preview")
    async def preview(request: Request, sample: Annotated[int, Query(ge=0, le=SAMPLE_MAX)] = SAMPLE_MAX) -> Response:
        """How many contacts an expression matches now, a sample, and who would enter and leave the saved version."""
        body = _object(await request.body())
        checked = await ingest.ask(request, "/segments/validate", {"where": body.get("where")})
        if checked.status_code != 200:
            return ingest.relay(checked)
        asked = {"where": orjson.loads(checked.content)["where"], "segment_id": body.get("id")}
        parts = await owners.of_all("POST", "/preview", body=asked)
        answer = {
            "matched": sum(part["matched"] for part in parts),
            "total": sum(part["total"] for part in parts),
            "sample": sorted(contact_id for part in parts for contact_id in part["sample"])[:sample],
            "would_enter": sum(part.get("would_enter") or 0 for part in parts),
            "would_leave": sum(part.get("would_leave") or 0 for part in parts),
        }
        return Response(orjson.dumps(answer), media_type="application/json")

    return router


def _object(body: bytes) -> dict[str, Any]:
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, "not_json", "the body is not JSON", str(error)) from error
    if not isinstance(read, dict):
        raise ProblemError(422, "not_an_object", "the body must be an object", 'for example {"where": "plan is Pro"}')
    return read
