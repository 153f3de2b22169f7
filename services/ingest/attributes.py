"""The route that declares an attribute's type and direction.

Rule: a declaration helps people and settles which side of now a bare `within` looks at; it never changes stored values
or saved segments. It is in the audit before it is on its topic; 200 means that it was read back from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.attribute_declaration import AttributeDeclarationRecord
from schemas.limits import ATTRIBUTE_NAME_CHARACTERS_MAX
from segmentation.attributes import AttributeType
from segmentation.errors import Problem
from segmentation.expression.syntax import Direction
from segmentation.model import AttributeName, InstantMs
from services.ingest import segment_docs
from services.ingest.answers import json_response
from services.ingest.bodies import path_text, read_json
from services.ingest.definition_log import DefinitionTopics, UnacknowledgedError
from services.ingest.guard import Guard, actor_of, secured
from services.runtime.audit import Audit, AuditEvent
from services.runtime.keys import Scope
from services.runtime.problems import invalid, model_faults, unavailable


class AttributeRequest(BaseModel):
    """What to declare; null says nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Annotated[AttributeType | None, Field(strict=False)] = None
    direction: Annotated[Direction | None, Field(strict=False)] = None


class AttributeRoutes:
    """The route under `/attributes` that writes."""

    def __init__(self, topics: DefinitionTopics, guard: Guard, now_ms: Callable[[], InstantMs], audit: Audit) -> None:
        self._topics = topics
        self._guard = guard
        self._now_ms = now_ms
        self._audit = audit

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/attributes", tags=["attributes"])
        router.add_api_route(
            "/{name}",
            self.declare,
            methods=["PUT"],
            dependencies=[self._guard.allow(Scope.SEGMENTS_WRITE)],
            openapi_extra={**secured(Scope.SEGMENTS_WRITE), **segment_docs.DECLARE_EXTRA},
            **segment_docs.DECLARE,
        )
        return router

    async def declare(self, request: Request) -> Response:
        """Declare what an attribute holds and where a bare `within` on it looks. An empty object takes it back."""
        name = path_text(request, "name")
        if not 0 < len(name) <= ATTRIBUTE_NAME_CHARACTERS_MAX:
            message = f"an attribute name has 1 to {ATTRIBUTE_NAME_CHARACTERS_MAX} characters"
            raise invalid((Problem("invalid_name", message, "shorten it", pointer="/name"),))
        try:
            wanted = AttributeRequest.model_validate(await read_json(request))
        except ValidationError as error:
            raise invalid(model_faults(error, 'send {"type": "instant", "direction": "next"}')) from error
        nothing = wanted.type is None and wanted.direction is None
        record = AttributeDeclarationRecord(
            name=AttributeName(name), type=wanted.type, direction=wanted.direction, declared_at=self._now_ms()
        )
        before = self._topics.declared.get(record.name)
        event = AuditEvent(
            action="attribute.declared",
            subject=record.name,
            by=actor_of(request),
            before=None if before is None else _shown(before),
            after=None if nothing else _shown(record),
            request_id=request.state.request_id,
        )
        await self._audit.add(event)
        try:
            await self._topics.declare(record.name, None if nothing else record)
        except UnacknowledgedError as error:
            raise unavailable("broker_away", "the declaration was not acknowledged", "declare it again") from error
        return json_response(_shown(record))


def _shown(record: AttributeDeclarationRecord) -> dict[str, Any]:
    return {"name": record.name, "type": record.type, "direction": record.direction}
