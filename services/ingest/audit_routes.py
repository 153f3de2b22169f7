"""The route that tells who changed what: keys, attributes, dead letters from a file, segments and webhooks from topics.

Rule: newest first, in pages; an entry's id is its place among all of them. No secret is in an entry.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from segmentation.errors import Problem
from services.ingest.answers import instant_text, json_response
from services.ingest.audit_topic import AuditTopic
from services.ingest.bodies import is_number_up_to
from services.ingest.contact_docs import json_answer, problems
from services.ingest.guard import Guard, secured
from services.ingest.segment_history import SegmentHistory
from services.runtime.audit import Audit, AuditEntry, AuditEvent
from services.runtime.keys import Scope
from services.runtime.problems import invalid

LIMIT: Final = 50
LIMIT_MAX: Final = 1_000
ID_CHARACTERS_MAX: Final = 64
KINDS: Final = ("key", "segment", "attribute", "dead_letter", "webhook")
_FROM_FILE, _FROM_SEGMENTS, _FROM_TOPIC = "a", "s", "t"

_STATE: Final[dict[str, Any]] = {"type": ["object", "null"]}
_ENTRY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "at", "action", "subject", "by", "from", "to"],
    "properties": {
        "id": {"type": "string"},
        "at": {"type": "string", "format": "date-time"},
        "action": {"type": "string", "description": "`kind.verb`, such as `key.revoked` or `segment.edited`."},
        "subject": {"type": "string", "description": "The id or name of what was changed."},
        "by": {
            "type": "object",
            "required": ["key_id", "key_name"],
            "properties": {
                "key_id": {"type": ["string", "null"], "description": "null: someone on the machine itself."},
                "key_name": {"type": "string"},
            },
        },
        "request_id": {"type": ["string", "null"]},
        "from": {**_STATE, "description": "What it was; null if it did not exist."},
        "to": {**_STATE, "description": "What it became; null if it does not exist any more."},
    },
}
_PAGE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["entries", "next"],
    "properties": {
        "entries": {"type": "array", "items": _ENTRY},
        "next": {"type": ["string", "null"], "description": "What `before` takes to go on; null on the last page."},
    },
}
_PARAMETERS: Final[list[dict[str, Any]]] = [
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}},
    {"name": "kind", "in": "query", "schema": {"type": "string", "enum": list(KINDS)}},
    {
        "name": "before",
        "in": "query",
        "schema": {"type": "string", "minLength": 1, "maxLength": ID_CHARACTERS_MAX},
        "description": "Only entries older than the one with this id.",
    },
]


@dataclass(frozen=True, slots=True)
class _Found:
    id: str
    at_ms: int
    event: AuditEvent


class AuditRoutes:
    """The route `/audit`."""

    def __init__(self, audit: Audit, segments: SegmentHistory, topic: AuditTopic, guard: Guard) -> None:
        self._audit = audit
        self._segments = segments
        self._topic = topic
        self._guard = guard

    def router(self) -> APIRouter:
        """It alone, for `admin` only."""
        router = APIRouter(prefix="/audit", tags=["audit"])
        router.add_api_route(
            "",
            self.page,
            methods=["GET"],
            operation_id="listAudit",
            dependencies=[self._guard.allow(Scope.ADMIN)],
            responses={200: json_answer("Changes, newest first.", _PAGE), **problems(401, 403, 422, 429, 503)},
            openapi_extra={**secured(Scope.ADMIN), "parameters": _PARAMETERS},
        )
        return router

    async def page(self, request: Request) -> Response:
        """Who changed which key, segment, attribute, dead letter or webhook, and from what to what; newest first."""
        query = request.query_params
        limit, kind, before = query.get("limit", str(LIMIT)), query.get("kind"), query.get("before")
        faults = []
        if not is_number_up_to(LIMIT_MAX, limit):
            faults.append(_fault("limit", limit, f"give a number from 1 to {LIMIT_MAX}"))
        if kind is not None and kind not in KINDS:
            faults.append(_fault("kind", kind, f"give one of {', '.join(KINDS)}"))
        if before is not None and not 0 < len(before) <= ID_CHARACTERS_MAX:
            faults.append(_fault("before", before, "give the `next` of a page"))
        if faults:
            raise invalid(faults)
        # Taken at once: another thread must not go through what this one adds to.
        logged = {_FROM_SEGMENTS: tuple(self._segments), _FROM_TOPIC: tuple(self._topic)}
        found = await asyncio.to_thread(self._newest, logged, int(limit) + 1, kind, before)
        shown, rest = found[: int(limit)], found[int(limit) :]
        following = shown[-1].id if rest else None
        return json_response({"entries": [_shown(one) for one in shown], "next": following})

    def _newest(
        self, logged: dict[str, tuple[AuditEntry, ...]], count: int, kind: str | None, before: str | None
    ) -> list[_Found]:
        candidates = (
            one
            for one in self._all(logged)
            if (before is None or one.id < before) and (kind is None or one.event.action.partition(".")[0] == kind)
        )
        return heapq.nlargest(count, candidates, key=lambda one: one.id)

    def _all(self, logged: dict[str, tuple[AuditEntry, ...]]) -> Iterator[_Found]:
        sources: dict[str, Iterable[AuditEntry]] = {**logged, _FROM_FILE: self._audit.newest_first()}
        for source, entries in sources.items():
            for entry in entries:
                yield _Found(_id(entry.at_ms, source, entry.number), entry.at_ms, entry.event)


def _id(at_ms: int, source: str, number: int) -> str:
    return f"{at_ms:015d}-{source}-{number:012d}"


def _shown(found: _Found) -> dict[str, Any]:
    event = found.event
    return {
        "id": found.id,
        "at": instant_text(found.at_ms),
        "action": event.action,
        "subject": event.subject,
        "by": {"key_id": event.by.key_id, "key_name": event.by.key_name},
        "request_id": event.request_id,
        "from": event.before,
        "to": event.after,
    }


def _fault(name: str, value: str, hint: str) -> Problem:
    return Problem("invalid_parameter", f"{name} is {value[:100]!r}", hint)
