"""Routes that define segments: create, edit, pause, resume, delete, validate, and read back.

Rule: an answer of 200, 201 or 204 means that the version was read back from the log as accepted. Who edits a version
that is no longer the newest learns so by 412, and nothing has changed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from schemas.definitions import definition_of
from schemas.limits import EXPRESSION_DEPTH_MAX
from schemas.segment_definition import SegmentDefinitionRecord
from segmentation.errors import Problem, Rejection
from segmentation.model import InstantMs, SegmentId, SegmentState
from segmentation.registry import Definition, Refusal, RefusalCode
from services.ingest import segment_docs
from services.ingest.answers import instant_text, json_response
from services.ingest.bodies import path_text, read_json
from services.ingest.definition_log import DefinitionTopics, KnownSegment, UnacknowledgedError
from services.ingest.guard import Guard, actor_of, secured
from services.ingest.segment_requests import (
    Author,
    deletion,
    propose,
    read_definition,
    read_segment_id,
    read_where,
    readings,
    says_the_same,
)
from services.runtime.keys import Scope
from services.runtime.logs import get_logger
from services.runtime.problems import ProblemError, invalid, not_found, unavailable

CREATED: Final = 201
NO_CONTENT: Final = 204
SHOWN_AT_ONCE_MAX: Final = 50
"""Of a list, before other requests get a turn: about ten milliseconds of work."""
_ETAG = re.compile(r'"([1-9][0-9]{0,8})"')

audit = get_logger("audit")


class SegmentRoutes:
    """The routes under `/segments`."""

    def __init__(self, topics: DefinitionTopics, guard: Guard, now_ms: Callable[[], InstantMs]) -> None:
        self._topics = topics
        self._guard = guard
        self._now_ms = now_ms

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/segments", tags=["segments"])
        docs = segment_docs
        self._add(router, "GET", "", self.list, docs.LIST, {})
        self._add(router, "POST", "", self.create, docs.CREATE, docs.CREATE_EXTRA, status_code=CREATED)
        self._add(router, "POST", "/validate", self.validate, docs.VALIDATE, docs.VALIDATE_EXTRA)
        self._add(router, "GET", "/{segment_id}", self.get, docs.GET, docs.GET_EXTRA)
        self._add(router, "PUT", "/{segment_id}", self.edit, docs.EDIT, docs.EDIT_EXTRA)
        self._add(
            router, "DELETE", "/{segment_id}", self.delete, docs.DELETE, docs.DELETE_EXTRA, status_code=NO_CONTENT
        )
        return router

    def _add(  # by name in the table above
        self,
        router: APIRouter,
        method: str,
        path: str,
        route: Callable[..., Any],
        docs: dict[str, Any],
        extra: dict[str, Any],
        status_code: int = 200,
    ) -> None:
        reads = method == "GET" or path == "/validate"
        scope = Scope.SEGMENTS_READ if reads else Scope.SEGMENTS_WRITE
        router.add_api_route(
            path,
            route,
            methods=[method],
            status_code=status_code,
            dependencies=[self._guard.allow(scope)],
            openapi_extra={**secured(scope), **extra},
            **docs,
        )

    async def list(self) -> Response:
        """Every segment, by id."""
        known = [segment for _, segment in sorted(self._topics.segments.items()) if _stands(segment.record)]
        shown = []
        for count, segment in enumerate(known, 1):
            shown.append(self._shown(segment, suggest=False))
            if count % SHOWN_AT_ONCE_MAX == 0:
                await asyncio.sleep(0)
        return json_response({"segments": shown})

    async def get(self, request: Request) -> Response:
        """One segment."""
        segment = self._present(request)
        return json_response(self._shown(segment), headers=_etag(segment.record))

    async def create(self, request: Request) -> Response:
        """Define a new segment."""
        body = await read_json(request, EXPRESSION_DEPTH_MAX)
        segment_id = read_segment_id(body.get("id") if isinstance(body, dict) else None)
        wanted = read_definition(body, self._topics.catalogue, where_needed=True)
        problems = list(wanted.problems) if isinstance(wanted, Rejection) else []
        if isinstance(segment_id, Problem):
            raise invalid([segment_id, *problems] if isinstance(body, dict) else problems)
        if isinstance(wanted, Rejection):
            raise invalid(problems, "the segment cannot be saved")
        if self._topics.registry.get(segment_id) is not None:
            raise _taken(segment_id)
        replaces = self._topics.registry.version_of(segment_id)
        record = propose(segment_id, replaces, None, wanted, self._author(request))
        if isinstance(record, Rejection):
            raise invalid(record.problems, "the segment cannot be saved")
        refusal = await self._save(record, actor_of(request).key_name)
        if refusal is not None:
            raise _taken(segment_id) if refusal.code is RefusalCode.LOST_RACE else _refused(refusal)
        return self._saved(record, CREATED)

    async def edit(self, request: Request) -> Response:
        """Save the next version. What the body leaves out stays as it is.

        An edit that is sent again, because its answer was lost, is told that it stands.
        """
        present = self._present(request).record
        lost = _mismatch(request, present)
        if lost is not None and not _may_be_repeated(request, present):
            raise lost
        body = await read_json(request, EXPRESSION_DEPTH_MAX)
        if isinstance(body, dict) and body.get("id", present.segment_id) != present.segment_id:
            raise invalid((Problem("id_mismatch", "`id` is not the one in the path", "leave it out", pointer="/id"),))
        wanted = read_definition(body, self._topics.catalogue, where_needed=False)
        if isinstance(wanted, Rejection):
            raise invalid(wanted.problems, "the segment cannot be saved")
        record = propose(present.segment_id, present.version, present, wanted, self._author(request))
        if isinstance(record, Rejection):
            raise invalid(record.problems, "the segment cannot be saved")
        if says_the_same(present, record):
            return self._saved(present)
        if lost is not None:
            raise lost
        refusal = await self._save(record, actor_of(request).key_name)
        if refusal is not None:
            raise _refused(refusal)
        return self._saved(record)

    async def delete(self, request: Request) -> Response:
        """Delete a segment: its members exit."""
        present = self._present(request).record
        lost = _mismatch(request, present)
        if lost is not None:
            raise lost
        refusal = await self._save(deletion(present, self._author(request)), actor_of(request).key_name)
        if refusal is not None:
            raise _refused(refusal)
        return Response(status_code=NO_CONTENT)

    async def validate(self, request: Request) -> Response:
        """Check an expression without saving it. With `id`, also as the next version of that segment."""
        body = await read_json(request, EXPRESSION_DEPTH_MAX)
        if not isinstance(body, dict) or "where" not in body or body.keys() - {"where", "id"}:
            hint = 'send {"where": "plan is Pro"}, and optionally "id"'
            raise invalid((Problem("expects_where", "the body must hold `where`", hint, pointer=""),))
        expression = read_where(body["where"], self._topics.catalogue)
        if isinstance(expression, Rejection):
            raise invalid(expression.problems, "the expression cannot be saved")
        if "id" in body:
            segment_id = read_segment_id(body["id"])
            if isinstance(segment_id, Problem):
                raise invalid((segment_id,))
            version = self._topics.registry.version_of(segment_id)
            definition = Definition(segment_id, version + 1, version, SegmentState.ACTIVE, expression)
            refusal = self._topics.registry.check(definition)
            if refusal is not None:
                raise _refused(refusal)
        return json_response(readings(expression, self._topics.catalogue))

    def _present(self, request: Request) -> KnownSegment:
        segment_id = path_text(request, "segment_id")
        segment = self._topics.segments.get(SegmentId(segment_id))
        if segment is None or not _stands(segment.record):
            raise not_found("segment", segment_id)
        return segment

    def _author(self, request: Request) -> Author:
        return Author(request.state.key_id, request.state.request_id, self._now_ms())

    async def _save(self, record: SegmentDefinitionRecord, key_name: str) -> Refusal | None:
        refusal = self._topics.check(record)
        if refusal is not None and refusal.code is not RefusalCode.LOST_RACE:
            return refusal
        try:
            refusal = await self._topics.propose(record, key_name)
        except UnacknowledgedError as error:
            detail = "read the segment again to see whether the change stands, then repeat it if not"
            raise unavailable("broker_away", "the change was not acknowledged", detail) from error
        if refusal is None:
            audit.info(
                "segment saved",
                segment=record.segment_id,
                version=record.version,
                state=record.state,
                key=record.defined_by,
                request_id=record.request_id,
            )
        return refusal

    def _saved(self, record: SegmentDefinitionRecord, status: int = 200) -> Response:
        known = self._topics.segments[record.segment_id]
        if known.record.version != record.version:
            known = KnownSegment(record, known.at_ms)
        headers = {**_etag(record)}
        if status == CREATED:
            headers["Location"] = f"/api/v2/segments/{record.segment_id}"
        return json_response(self._shown(known), status, headers)

    def _shown(self, segment: KnownSegment, suggest: bool = True) -> dict[str, Any]:
        """`suggest`: advise the nearest attribute names, too; in a list of thousands that is a search for each."""
        record = segment.record
        definition = definition_of(record)
        if isinstance(definition, Rejection):
            raise AssertionError(f"segment {record.segment_id} was accepted and cannot be read")
        return {
            "id": record.segment_id,
            "version": record.version,
            "name": record.name,
            "description": record.description,
            "state": record.state.value,
            "mode": "realtime",
            **readings(definition.expression, self._topics.catalogue, suggest),
            "saved_at": instant_text(segment.at_ms),
            "saved_by": record.defined_by,
        }


def _stands(record: SegmentDefinitionRecord) -> bool:
    return record.state is not SegmentState.DELETED


def _mismatch(request: Request, present: SegmentDefinitionRecord) -> ProblemError | None:
    """The refusal of a request whose `If-Match` does not name the newest version. Errors: ProblemError 428."""
    wanted = request.headers.get("if-match")
    if wanted is None:
        detail = f'send `If-Match: "{present.version}"` if that is the version you edit'
        raise ProblemError(428, "if_match_needed", "the request does not say which version it edits", detail)
    if wanted.strip() == "*" or present.version in _versions_in(wanted):
        return None
    return _lost_race(f"segment {present.segment_id} is at version {present.version}")


def _may_be_repeated(request: Request, present: SegmentDefinitionRecord) -> bool:
    """Whether the newest version is one that this sender made of the version which the request edits."""
    replaced = present.replaces in _versions_in(request.headers["if-match"])
    return replaced and present.defined_by == request.state.key_id


def _versions_in(if_match: str) -> list[int]:
    found = (_ETAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return [int(tag[1]) for tag in found if tag is not None]


def _etag(record: SegmentDefinitionRecord) -> dict[str, str]:
    return {"ETag": f'"{record.version}"'}


def _taken(segment_id: SegmentId) -> ProblemError:
    detail = f"read it at /api/v2/segments/{segment_id} and edit it, or choose another id"
    return ProblemError(409, "already_exists", f"segment {segment_id} exists already", detail)


def _lost_race(message: str) -> ProblemError:
    detail = f"{message}; read it again, apply your change to what it is now, and save"
    return ProblemError(412, "lost_race", "someone else's edit came first", detail)


def _refused(refusal: Refusal) -> ProblemError:
    """The answer to what the log did not accept."""
    if refusal.code is RefusalCode.LOST_RACE:
        return _lost_race(refusal.message)
    problem = Problem(refusal.code.value, refusal.message, refusal.hint, pointer="/where")
    if refusal.code is RefusalCode.STILL_REFERENCED:
        return ProblemError(409, refusal.code.value, "the segment is still needed", refusal.message)
    return invalid((problem,), "the segment cannot be saved")
