"""The route that merges one contact into another.

Rule: 202 says that both records are on the log, in one transaction; 503 says that neither is, unless it says that this
is not known.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from schemas.codec import ChangeOrigin
from schemas.limits import CONTACT_ID_BYTES_MAX
from schemas.record import is_contact_id
from segmentation.errors import Problem
from segmentation.flatten import ATTRIBUTES_MAX
from segmentation.model import AttributeName, ContactId, Value
from services.ingest.admission import Admitted, Origin, Refused, admit_attributes, admit_delete
from services.ingest.answers import json_response
from services.ingest.bodies import path_text, read_json
from services.ingest.contact_docs import CONTACT_ID, ID_IN_PATH, json_answer, json_body, problems
from services.ingest.contact_watch import ContactsChangedError
from services.ingest.evaluation import OwnerAwayError
from services.ingest.guard import Guard, secured
from services.ingest.merging import (
    EVALUATED_WITHIN_S,
    ContactsBusyError,
    MergeUncertainError,
    Merging,
    attributes_gained,
)
from services.runtime.errors import ServiceError
from services.runtime.keys import Scope
from services.runtime.problems import invalid, not_found, unavailable

ACCEPTED: Final = 202
MERGE_KIND: Final = "merge"
ATTEMPTS_MAX: Final = 3
"""How often contacts are read anew because they were written meanwhile."""
DESCRIPTION: Final = (
    "Give the contact `into` every attribute that it has not itself, and erase this one: both or neither. "
    f"Both are first read as evaluated, which may wait for their evaluators, {EVALUATED_WITHIN_S:.0f} seconds for each "
    "step; after that it is 503, and nothing was changed. What is written to them meanwhile is read too, so contacts "
    "that are written all the time are 503 as well."
)

_REQUEST_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["into"],
    "additionalProperties": False,
    "properties": {"into": CONTACT_ID},
}
_ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "into", "attributes_gained"],
    "properties": {
        "id": {"type": "string", "description": "The contact that is erased."},
        "into": {"type": "string", "description": "The contact that remains."},
        "attributes_gained": {"type": "array", "items": {"type": "string"}},
    },
}


class MergeRoutes:
    """The route `/contacts/{contact_id}/merge`."""

    def __init__(self, merging: Merging, guard: Guard) -> None:
        self._merging = merging
        self._guard = guard

    def router(self) -> APIRouter:
        """It alone."""
        router = APIRouter(prefix="/contacts", tags=["contacts"])
        router.add_api_route(
            "/{contact_id}/merge",
            self.merge,
            methods=["POST"],
            status_code=ACCEPTED,
            operation_id="mergeContact",
            dependencies=[self._guard.allow(Scope.CONTACTS_WRITE)],
            responses={
                202: json_answer("Both changes are on the log, together.", _ANSWER_SCHEMA),
                **problems(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
            },
            openapi_extra={
                **secured(Scope.CONTACTS_WRITE),
                "parameters": [ID_IN_PATH],
                **json_body(_REQUEST_SCHEMA, {"into": {"into": "u_18"}}),
            },
            description=DESCRIPTION,
        )
        return router

    async def merge(self, request: Request) -> Response:
        """Give the contact `into` every attribute that it has not itself, and erase this one: both or neither."""
        merged = path_text(request, "contact_id")
        into = _read_into(merged, await read_json(request))
        try:
            async with self._merging.turn({ContactId(merged), into}):
                gained = await self._merge(ContactId(merged), into, request.state.request_id)
        except ContactsBusyError as error:
            detail = "nothing was changed; they are being written or merged all the time"
            raise unavailable("contacts_busy", "the contacts cannot be merged now", detail) from error
        except OwnerAwayError as error:
            detail = "nothing was changed; an evaluator is away or behind"
            raise unavailable("evaluator_away", "the contacts cannot be read now", detail) from error
        except MergeUncertainError as error:
            detail = "read both contacts to see whether they were merged"
            raise unavailable("merge_uncertain", "the merge was not acknowledged", detail) from error
        except ServiceError as error:
            raise unavailable("broker_away", "the contacts cannot be merged now", "nothing was changed") from error
        return json_response({"id": merged, "into": into, "attributes_gained": sorted(gained)}, ACCEPTED)

    async def _merge(self, merged: ContactId, into: ContactId, request_id: str) -> dict[AttributeName, Value]:
        """Write what follows from both contacts as they are now; what the remaining one gained."""
        for _ in range(ATTEMPTS_MAX):
            read = await self._merging.read([merged, into])
            attributes, remaining = read.attributes
            if attributes is None:
                raise not_found("contact", merged)
            gained = attributes_gained(attributes, remaining or {})
            with contextlib.suppress(ContactsChangedError):
                await self._merging.write(_records(merged, into, gained, request_id), read.ends)
                return gained
        raise ContactsBusyError("the contacts were written at every attempt")


def _read_into(merged: str, body: object) -> ContactId:
    into = body.get("into") if isinstance(body, dict) else None
    found: list[Problem] = []
    if not isinstance(into, str) or not is_contact_id(into):
        message = f"`into` must be a contact id, text of 1 to {CONTACT_ID_BYTES_MAX} bytes"
        found.append(Problem("invalid_into", message, 'send {"into": "u_18"}', pointer="/into"))
    if isinstance(body, dict) and body.keys() - {"into"}:
        found.append(Problem("unknown_field", "only `into` means something here", "remove the rest", pointer=""))
    if not is_contact_id(merged):
        message = f"a contact id has 1 to {CONTACT_ID_BYTES_MAX} bytes"
        found.append(Problem("invalid_id", message, "shorten it", pointer="/id"))
    if into == merged:
        found.append(Problem("same_contact", "a contact cannot be merged into itself", "name another", pointer="/into"))
    if found:
        raise invalid(found, "the contacts cannot be merged")
    return ContactId(str(into))


def _records(merged: ContactId, into: ContactId, gained: dict[AttributeName, Value], request_id: str) -> list[Admitted]:
    """The write to the one and the erasure of the other."""
    origin = Origin(MERGE_KIND, request_id)
    change = admit_attributes(into, gained, ChangeOrigin(MERGE_KIND, request_id, f"{request_id}-1"), "/into")
    erasure = admit_delete(merged, origin)
    if len(gained) > ATTRIBUTES_MAX:
        message = f"{len(gained)} attributes would be gained; at most {ATTRIBUTES_MAX} are taken at once"
        raise invalid((Problem("too_many_attributes", message, "write some of them first", pointer="/into"),))
    records: list[Admitted] = []
    for item in (change, erasure):
        if isinstance(item, Refused):
            raise invalid(item.rejection.problems, "the contacts cannot be merged")
        records.append(item)
    return records
