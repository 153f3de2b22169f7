"""Routes that write contacts: one, many, a patch, an erasure.

Rule: a receipt says 202 only for what the broker has acknowledged. Bodies are read by hand, because this is the hot
path; their schema is declared in `contact_docs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from segmentation.errors import Rejection
from services.ingest import contact_docs, metrics
from services.ingest.admission import Admitted, Item, Origin, Refused, admit_delete, admit_patch, admit_post
from services.ingest.answers import json_response
from services.ingest.bodies import path_text, read_json
from services.ingest.contact_log import Appended, ContactLog, Outcome
from services.ingest.evaluation import Evaluation, wait_wanted_s
from services.ingest.guard import Guard, secured
from services.ingest.keeping import keep_shorter
from services.runtime import clock
from services.runtime.keys import Scope
from services.runtime.problems import RETRY_AFTER_S, invalid, unavailable

OK: Final = 200
ACCEPTED: Final = 202
MIXED: Final = 207
UNPROCESSABLE: Final = 422
UNAVAILABLE: Final = 503
API_KIND: Final = "api"
PROBLEMS_SHOWN_MAX: Final = 1_000
"""Of a batch."""
PROBLEMS_OF_EACH_MIN: Final = 5
"""Of each contact of a batch that has more wrong in all."""


class ContactRoutes:
    """The routes under `/contacts` that write."""

    def __init__(self, log: ContactLog, evaluation: Evaluation, guard: Guard) -> None:
        self._log = log
        self._evaluation = evaluation
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
        is_batch = isinstance(body, dict) and "contacts" in body
        del body  # what waits for the broker are the records, once
        if is_batch:
            return await self._write_batch(request, items)
        return await self._write_one(request, items[0])

    async def patch(self, request: Request) -> Response:
        """Set and remove attributes of one contact; absent ones are kept."""
        contact_id = path_text(request, "contact_id")
        return await self._write_one(request, admit_patch(contact_id, await read_json(request), _origin(request)))

    async def delete(self, request: Request) -> Response:
        """Erase a contact: it leaves every segment, and nothing of it is kept."""
        return await self._write_one(request, admit_delete(path_text(request, "contact_id"), _origin(request)))

    async def _write_one(self, request: Request, item: Item) -> Response:
        if not isinstance(item, Admitted):
            metrics.CONTACT_CHANGES_REFUSED.inc()
            raise invalid(item.rejection.problems, "the contact cannot be accepted")
        began = clock.monotonic()
        (outcome,) = await self._log.append((item,), request.state.began)
        if not isinstance(outcome, Appended):
            raise unavailable("broker_away", "the write was not acknowledged", "write it again; repeating is harmless")
        receipt = _receipt(item, outcome)
        status, headers = await self._evaluated(request, [(receipt, outcome)], began)
        keep_shorter(request, lambda: orjson.dumps(_without_changes(receipt)))
        return json_response(receipt, status, headers)

    async def _write_batch(self, request: Request, items: Sequence[Item]) -> Response:
        admitted = [item for item in items if isinstance(item, Admitted)]
        metrics.CONTACT_CHANGES_REFUSED.inc(len(items) - len(admitted))
        if not admitted:
            problems = [problem for item in items if isinstance(item, Refused) for problem in item.rejection.problems]
            raise invalid(problems[:PROBLEMS_SHOWN_MAX], "none of the contacts can be accepted")
        began = clock.monotonic()
        outcomes = iter(await self._log.append(admitted, request.state.began))
        of_each = max(PROBLEMS_OF_EACH_MIN, PROBLEMS_SHOWN_MAX // max(1, len(items) - len(admitted)))
        receipts: list[dict[str, Any]] = []
        written: list[tuple[dict[str, Any], Appended]] = []
        for item in items:
            if isinstance(item, Admitted):
                outcome = next(outcomes)
                receipts.append(_receipt(item, outcome))
                if isinstance(outcome, Appended):
                    written.append((receipts[-1], outcome))
            else:
                receipts.append(_refusal(item, of_each))
        statuses = {receipt["status"] for receipt in receipts}
        if statuses == {UNAVAILABLE}:
            raise unavailable("broker_away", "the writes were not acknowledged", "write them again; it is harmless")
        status, headers = await self._evaluated(request, written, began)
        keep_shorter(request, lambda: orjson.dumps({"receipts": [_without_changes(each) for each in receipts]}))
        if UNAVAILABLE in statuses:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return json_response({"receipts": receipts}, status if statuses == {ACCEPTED} else MIXED, headers)

    async def _evaluated(
        self, request: Request, written: Sequence[tuple[dict[str, Any], Appended]], began: float
    ) -> tuple[int, dict[str, str]]:
        """Wait as the sender prefers, and put into each receipt what came of it; the answer's status and headers."""
        wait_s = wait_wanted_s(request.headers.getlist("prefer"))
        if wait_s == 0:
            return ACCEPTED, {}
        changes = await self._evaluation.changes_of([outcome for _, outcome in written], wait_s)
        took_us = int((clock.monotonic() - began) * 1_000_000)
        for receipt, outcome in written:
            receipt["evaluated"] = outcome in changes
            if outcome in changes:
                receipt["changes"] = changes[outcome]
                receipt["took_us"] = took_us
        status = OK if len(changes) == len(written) else ACCEPTED
        return status, {"Preference-Applied": f"wait={wait_s}"}


def _origin(request: Request) -> Origin:
    return Origin(API_KIND, request.state.request_id)


def _receipt(item: Admitted, outcome: Outcome) -> dict[str, Any]:
    receipt: dict[str, Any] = {"id": item.contact_id, "message_id": item.message_id, "status": ACCEPTED}
    if isinstance(outcome, Appended):
        return {**receipt, "partition": outcome.partition, "offset": outcome.offset}
    error = {"code": "broker_away", "message": "the write was not acknowledged", "hint": "write it again"}
    return {**receipt, "status": UNAVAILABLE, "errors": [error]}


def _without_changes(receipt: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in receipt.items() if name != "changes"}


def _refusal(item: Refused, problems_max: int) -> dict[str, Any]:
    shown = [problem.to_json() for problem in item.rejection.problems[:problems_max]]
    return {"id": item.contact_id, "status": UNPROCESSABLE, "errors": shown}
