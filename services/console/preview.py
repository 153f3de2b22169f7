"""`POST /segments/preview`: what an expression would match now, over every contact.

Rule: ingest checks and canonicalises the expression, so a preview means what a save would. The numbers are exact and
whole, or the answer is a 503; only who says how long to wait (`within_ms`) may be told those of the contacts counted so
far, with how many these are and `complete` false. Nothing is saved.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from schemas.limits import EXPRESSION_DEPTH_MAX
from schemas.strict_json import INVALID_JSON, JsonRefusedError, load_strictly
from services.console.forward import Ingest
from services.console.owners import Owners
from services.console.problems import not_ready
from services.runtime.bodies import read_body
from services.runtime.problems import ProblemError

SAMPLE_MAX: Final = 10
BODY_BYTES_MAX: Final = 5 * 1024 * 1024
WITHIN_MS_MAX: Final = 10_000
ROUND_MS: Final = 5_000
WHOLE_ROUNDS_MAX: Final = 12
"""How often an answer about every contact is asked for before the caller is told to come back."""
NUMBERS: Final = ("matched", "counted", "total", "would_enter", "would_leave")

Sample = Annotated[int, Query(ge=0, le=SAMPLE_MAX)]
Patience = Annotated[int | None, Query(ge=0, le=WITHIN_MS_MAX)]


def preview_router(owners: Owners, ingest: Ingest, admit: Any) -> APIRouter:
    """The route, for readers that `admit` lets in; ingest checks the key again for what it is asked."""
    router = APIRouter(prefix="/segments", dependencies=[Depends(admit)])

    @router.post("/preview")
    async def preview(request: Request, sample: Sample = SAMPLE_MAX, within_ms: Patience = None) -> Response:
        """How many contacts an expression matches now, a sample, and who would enter and leave the saved version."""
        body = _object(await read_body(request, BODY_BYTES_MAX, "an expression is shorter"))
        checked = await ingest.ask(request, "/segments/validate", {"where": body.get("where")})
        if checked.status_code != 200:
            return ingest.relay(checked)
        asked = {"where": orjson.loads(checked.content)["where"], "segment_id": body.get("id")}
        parts = await _counted(owners, asked, within_ms)
        answer = {
            **{name: sum(part[name] for part in parts) for name in NUMBERS},
            "complete": all(part["complete"] for part in parts),
            "sample": sorted(contact_id for part in parts for contact_id in part["sample"])[:sample],
        }
        return Response(orjson.dumps(answer), media_type="application/json")

    return router


async def _counted(owners: Owners, asked: dict[str, Any], within_ms: int | None) -> list[Any]:
    """Every partition's part: what is counted within the time, or without one all of it. Errors: ProblemError."""
    if within_ms is not None:
        return await owners.of_all("POST", "/preview", body={**asked, "within_ms": within_ms})
    for _ in range(WHOLE_ROUNDS_MAX):
        parts = await owners.of_all("POST", "/preview", body={**asked, "within_ms": ROUND_MS})
        if all(part["complete"] for part in parts):
            return parts
    raise not_ready("the contacts are still being read for their first preview")


def _object(body: bytes) -> dict[str, Any]:
    try:
        read = load_strictly(body, EXPRESSION_DEPTH_MAX)
    except JsonRefusedError as error:
        code = "not_json" if error.code == INVALID_JSON else error.code
        raise ProblemError(400, code, "the body is not JSON that can be read", error.message) from error
    if not isinstance(read, dict):
        raise ProblemError(422, "not_an_object", "the body must be an object", 'for example {"where": "plan is Pro"}')
    return read
