"""The route that replays a dead letter: its record goes back to the log, as it was or repaired.

Rule: 202 says that the record is on the log, marked with the place of the dead letter. The same replay asked for again
within a day writes nothing and gets the first receipt. Every replay is in the audit log before it is on the other: what
is not acknowledged may arrive all the same, and a full disk must not have a record written at every attempt.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from segmentation.errors import Problem, Rejection
from services.ingest.answers import json_response
from services.ingest.bodies import path_text, read_json
from services.ingest.contact_docs import json_answer, json_body, problems
from services.ingest.contact_log import Appended, ContactLog
from services.ingest.dead_letter_log import DeadLetterLog
from services.ingest.guard import Guard, actor_of, secured
from services.ingest.once import Once
from services.ingest.replaying import DeadLetter, Replay, fingerprint, is_generated, replay
from services.runtime.audit import Audit, AuditEvent
from services.runtime.keys import Scope
from services.runtime.problems import ProblemError, invalid, unavailable

ACCEPTED: Final = 202
NUMBER_CHARACTERS_MAX: Final = 18

_PLACE: Final[list[dict[str, Any]]] = [
    {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 0, "maximum": 10**NUMBER_CHARACTERS_MAX - 1},
    }
    for name in ("partition", "offset")
]
_REQUEST_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "value": {
            "type": ["object", "null"],
            "description": "The repaired record, as on `contact-changes`; without it the record goes back as it was.",
        }
    },
}
_ANSWER_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "message_id", "status", "partition", "offset", "replayed_from"],
    "properties": {
        "id": {"type": "string", "description": "The contact."},
        "message_id": {"type": "string"},
        "status": {"type": "integer", "enum": [ACCEPTED]},
        "partition": {"type": "integer"},
        "offset": {"type": "integer"},
        "replayed_from": {
            "type": "object",
            "required": ["partition", "offset"],
            "properties": {"partition": {"type": "integer"}, "offset": {"type": "integer"}},
        },
    },
}
_REPAIRED: Final = {"value": {"attributes": {"plan": "pro"}}}


class ReplayRoutes:
    """The route under `/dead-letters` that writes."""

    def __init__(self, letters: DeadLetterLog, log: ContactLog, once: Once, guard: Guard, audit: Audit) -> None:
        self._letters = letters
        self._log = log
        self._once = once
        self._guard = guard
        self._audit = audit

    def router(self) -> APIRouter:
        """It alone, for `admin` only."""
        router = APIRouter(prefix="/dead-letters", tags=["dead letters"])
        described = json_body(_REQUEST_SCHEMA, {"as it was": {}, "repaired": _REPAIRED})
        described["requestBody"]["required"] = False
        router.add_api_route(
            "/{partition}/{offset}/replay",
            self.replay,
            methods=["POST"],
            status_code=ACCEPTED,
            operation_id="replayDeadLetter",
            dependencies=[self._guard.allow(Scope.ADMIN)],
            responses={
                202: json_answer("On the log again; it will be evaluated.", _ANSWER_SCHEMA),
                **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
            },
            openapi_extra={**secured(Scope.ADMIN), "parameters": _PLACE, **described},
        )
        return router

    async def replay(self, request: Request) -> Response:
        """Write a dead letter's record to the log again: as it was, or with `value` in its place."""
        partition, offset = _number(request, "partition"), _number(request, "offset")
        repaired = await _read_repaired(request)
        letter = await self._letters.read(partition, offset)
        if letter is None:
            detail = "retention has removed it, or there never was one; `GET /api/v2/dead-letters` lists what there is"
            raise ProblemError(404, "not_found", f"no dead letter at {partition}/{offset}", detail)
        if is_generated(letter):
            detail = "ticks come by themselves; a definition goes to the log again when its segment is saved"
            raise ProblemError(409, "not_a_contact_change", "only contact changes can be replayed", detail)
        record = replay(letter, repaired)
        if isinstance(record, Rejection):
            raise invalid(record.problems, "the record would die again")
        digest = hashlib.sha256(f"replay\0{record.message_id}".encode()).hexdigest()

        async def carry_out() -> Response:
            return await self._append(request, letter, record, repaired is not None)

        return await self._once.answer(digest, fingerprint(repaired), carry_out)

    async def _append(self, request: Request, letter: DeadLetter, record: Replay, is_repaired: bool) -> Response:
        place = {"partition": letter.partition, "offset": letter.offset}
        await self._audit.add(
            AuditEvent(
                action="dead_letter.replayed",
                subject=f"{letter.partition}/{letter.offset}",
                by=actor_of(request),
                before=place,
                after={"message_id": record.message_id, "repaired": is_repaired},
                request_id=request.state.request_id,
            )
        )
        outcome = await self._log.append_one(record.contact_id, record.value, record.headers)
        if not isinstance(outcome, Appended):
            raise unavailable("broker_away", "the record was not acknowledged", "replay it again; it is harmless")
        written = {"partition": outcome.partition, "offset": outcome.offset}
        receipt = {"id": record.contact_id, "message_id": record.message_id, "status": ACCEPTED}
        return json_response({**receipt, **written, "replayed_from": place}, ACCEPTED)


def _number(request: Request, name: str) -> int:
    text = path_text(request, name)
    if not (text.isdecimal() and text.isascii()) or len(text) > NUMBER_CHARACTERS_MAX:
        problem = Problem("invalid_number", f"{name} in the path is not a whole number from 0 on", "copy the letter's")
        raise invalid((problem,))
    return int(text)


async def _read_repaired(request: Request) -> dict[str, object] | None:
    """The repaired value; None if the letter is to go back as it was. A request without a body says nothing."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return None
    body = await read_json(request)
    value = body.get("value") if isinstance(body, dict) else None
    if isinstance(body, dict) and not body.keys() - {"value"} and (value is None or isinstance(value, dict)):
        return value
    hint = 'send {"value": {"attributes": {…}}}, or nothing to replay the record as it was'
    raise invalid(
        (Problem("expects_value", "the body may hold `value`, an object, and nothing else", hint, pointer=""),)
    )
