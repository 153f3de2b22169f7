"""Routes that write contacts: one, many, a patch, an erasure.

Rule: a receipt says 202 only for what the broker has acknowledged. Bodies are read by hand, because this is the hot
path; their schema is declared in `contact_docs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from segmentation.errors import Rejection
from services.ingest import contact_docs, metrics
from services.ingest.admission import Admitted, Item, Origin, Refused, admit_delete, admit_patch, admit_post
from services.ingest.answers import json_response
from services.ingest.bodies import path_text, read_json
from services.ingest.contact_log import Appended, ContactLog, Outcome
from services.ingest.guard import Guard, secured
from services.ingest.problems import RETRY_AFTER_S, invalid, unavailable
from services.runtime.keys import Scope

ACCEPTED: Final = 202
MIXED: Final = 207
UNPROCESSABLE: Final = 422
UNAVAILABLE: Final = 503
API_KIND: Final = "api"
PROBLEMS_SHOWN_MAX: Final = 1_000
"""Of a batch in which nothing can be accepted."""


class ContactRoutes:
    """The routes under `/contacts` that write."""

    def __init__(self, log: ContactLog, guard: Guard) -> None:
        self._log = log
        self._guard = guard

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(
            prefix="/contacts", tags=["contacts"], dependencies=[self._guard.allow(Scope.CONTACTS_WRITE)]
        )
        secure = secured(Scope.CONTACTS_WRITE)
        router.add_api_route(
            "",
            self.post,
            methods=["POST"],
            status_code=ACCEPTED,
            **contact_docs.POST,
            openapi_extra={**secure, **contact_docs.POST_EXTRA},
        )
        router.add_api_route(
            "/{contact_id}",
            self.patch,
            methods=["PATCH"],
            status_code=ACCEPTED,
            **contact_docs.PATCH,
            openapi_extra={**secure, **contact_docs.PATCH_EXTRA},
        )
        router.add_api_route(
            "/{contact_id}",
            self.delete,
            methods=["DELETE"],
            status_code=ACCEPTED,
            **contact_docs.DELETE,
            openapi_extra={**secure, **contact_docs.DELETE_EXTRA},
        )
        return router

    async def post(self, request: Request) -> Response:
        """Write one contact, or up to 1,000 at once."""
        body = await read_json(request)
        items = admit_post(body, _origin(request))
        if isinstance(items, Rejection):
            raise invalid(items.problems)
        if isinstance(body, dict) and "contacts" in body:
            return await self._write_batch(items)
        return await self._write_one(items[0])

    async def patch(self, request: Request) -> Response:
        """Set and remove attributes of one contact; absent ones are kept."""
        contact_id = path_text(request, "contact_id")
        return await self._write_one(admit_patch(contact_id, await read_json(request), _origin(request)))

    async def delete(self, request: Request) -> Response:
        """Erase a contact: it leaves every segment, and nothing of it is kept."""
        return await self._write_one(admit_delete(path_text(request, "contact_id"), _origin(request)))

    async def _write_one(self, item: Item) -> Response:
        if not isinstance(item, Admitted):
            metrics.CONTACT_CHANGES_REFUSED.inc()
            raise invalid(item.rejection.problems, "the contact cannot be accepted")
        (outcome,) = await self._log.append((item,))
        if not isinstance(outcome, Appended):
            raise unavailable("broker_away", "the write was not acknowledged", "write it again; repeating is harmless")
        return json_response(_receipt(item, outcome), ACCEPTED)

    async def _write_batch(self, items: Sequence[Item]) -> Response:
        admitted = [item for item in items if isinstance(item, Admitted)]
        metrics.CONTACT_CHANGES_REFUSED.inc(len(items) - len(admitted))
        if not admitted:
            problems = [problem for item in items if isinstance(item, Refused) for problem in item.rejection.problems]
            raise invalid(problems[:PROBLEMS_SHOWN_MAX], "none of the contacts can be accepted")
        outcomes = iter(await self._log.append(admitted))
        receipts = [
            _receipt(item, next(outcomes)) if isinstance(item, Admitted) else _refusal(item.contact_id, item.rejection)
            for item in items
        ]
        statuses = {receipt["status"] for receipt in receipts}
        if statuses == {UNAVAILABLE}:
            raise unavailable("broker_away", "the writes were not acknowledged", "write them again; it is harmless")
        headers = {"Retry-After": str(RETRY_AFTER_S)} if UNAVAILABLE in statuses else {}
        status = ACCEPTED if statuses == {ACCEPTED} else MIXED
        return json_response({"receipts": receipts}, status, headers)


def _origin(request: Request) -> Origin:
    return Origin(API_KIND, request.state.request_id)


def _receipt(item: Admitted, outcome: Outcome) -> dict[str, Any]:
    receipt: dict[str, Any] = {"id": item.contact_id, "message_id": item.message_id, "status": ACCEPTED}
    if isinstance(outcome, Appended):
        return {**receipt, "partition": outcome.partition, "offset": outcome.offset}
    error = {"code": "broker_away", "message": "the write was not acknowledged", "hint": "write it again"}
    return {**receipt, "status": UNAVAILABLE, "errors": [error]}


def _refusal(contact_id: str | None, rejection: Rejection) -> dict[str, Any]:
    return {"id": contact_id, "status": UNPROCESSABLE, "errors": rejection.to_json()}
