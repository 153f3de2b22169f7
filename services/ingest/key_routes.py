"""Routes that make, list and revoke API keys.

Rule: a token is in the answer that made it and nowhere else, not in what is kept of that answer for a repeat; who made
or revoked which key is in the audit log.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from segmentation.model import InstantMs
from segmentation.values import read_instant
from services.ingest.answers import instant_text, json_response
from services.ingest.bodies import path_text, read_json
from services.ingest.contact_docs import json_answer, json_body, leads_to, problems
from services.ingest.guard import Guard, actor_of, secured
from services.ingest.keeping import keep_instead
from services.runtime import clock
from services.runtime.keys import KEY_NAME_CHARACTERS_MAX, ApiKey, KeyFile, Scope
from services.runtime.logs import get_logger
from services.runtime.problems import invalid, model_faults, not_found

log = get_logger("audit")

TOLD_ONCE: Final = "The token was told once, in the first answer. If that was lost, revoke this key and make another."

_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EXPIRY: Final = "Refused from this instant on; null or left out: until it is revoked."
_KEY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "name", "scopes", "created_at", "expires_at"],
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "scopes": {"type": "array", "items": {"type": "string", "enum": [scope.value for scope in Scope]}},
        "created_at": {"type": "string", "format": "date-time"},
        "expires_at": {"type": ["string", "null"], "format": "date-time", "description": _EXPIRY},
        "key": {"type": "string", "description": "The token, only in the answer that made it."},
        "notice": {"type": "string", "description": "In the answer to a repeat, which has no token."},
    },
}
_REQUEST_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "scopes"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": KEY_NAME_CHARACTERS_MAX},
        "scopes": {
            "type": "array",
            "minItems": 1,
            "maxItems": len(Scope),
            "items": {"type": "string", "enum": [scope.value for scope in Scope]},
        },
        "expires_at": {"type": ["string", "null"], "format": "date-time", "description": _EXPIRY},
    },
}
_LIST_SCHEMA = {"type": "object", "required": ["keys"], "properties": {"keys": {"type": "array", "items": _KEY_SCHEMA}}}


def _to_come(text: str) -> str:
    at = _instant_of(text)
    if at is None:
        raise ValueError("is no instant of RFC 3339, such as 2027-01-31T12:00:00Z")
    if at <= clock.now_ms():
        raise ValueError("is past")
    return text


def _instant_of(text: str) -> InstantMs | None:
    return read_instant(text.upper()) if _RFC_3339.fullmatch(text) else None


class KeyRequest(BaseModel):
    """What to make."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=KEY_NAME_CHARACTERS_MAX)]
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=len(Scope))]
    expires_at: Annotated[str, AfterValidator(_to_come)] | None = None

    @property
    def expires_at_ms(self) -> InstantMs | None:
        """The instant in epoch milliseconds."""
        return None if self.expires_at is None else _instant_of(self.expires_at)


class KeyRoutes:
    """The routes under `/keys`."""

    def __init__(self, keys: KeyFile, guard: Guard) -> None:
        self._keys = keys
        self._guard = guard

    def router(self) -> APIRouter:
        """All of them, for `admin` only."""
        router = APIRouter(prefix="/keys", tags=["keys"], dependencies=[self._guard.allow(Scope.ADMIN)])
        secure = secured(Scope.ADMIN)
        router.add_api_route(
            "",
            self.list,
            methods=["GET"],
            operation_id="listKeys",
            responses={200: json_answer("Every key, without its token.", _LIST_SCHEMA), **problems(401, 403, 429)},
            openapi_extra=secure,
        )
        example = {"name": "crm", "scopes": ["contacts:write"]}
        until = {**example, "expires_at": "2030-01-31T12:00:00Z"}
        body = json_body(_REQUEST_SCHEMA, {"crm": example, "for a while": until})
        router.add_api_route(
            "",
            self.create,
            methods=["POST"],
            status_code=201,
            operation_id="createKey",
            responses={
                201: leads_to(
                    json_answer("The key, and for the only time its token.", _KEY_SCHEMA),
                    revokeKey={"key_id": "$response.body#/id"},
                ),
                **problems(400, 401, 403, 408, 413, 415, 422, 429),
            },
            openapi_extra={**secure, **body},
        )
        router.add_api_route(
            "/{key_id}",
            self.revoke,
            methods=["DELETE"],
            status_code=204,
            operation_id="revokeKey",
            responses={204: {"description": "Refused from now on."}, **problems(401, 403, 404, 429)},
            openapi_extra={**secure, "parameters": [_KEY_ID]},
        )
        return router

    async def list(self) -> Response:
        """Every key, without its token."""
        return json_response({"keys": [_shown(key) for key in self._keys.keys()]})  # noqa: SIM118 - not a dict

    async def create(self, request: Request) -> Response:
        """Make a key."""
        body = await read_json(request)
        try:
            wanted = KeyRequest.model_validate(body)
        except ValidationError as error:
            raise invalid(model_faults(error, 'send {"name": "crm", "scopes": ["contacts:write"]}')) from error
        by, request_id = actor_of(request), request.state.request_id
        made = await asyncio.to_thread(
            self._keys.create, wanted.name, wanted.scopes, wanted.expires_at_ms, by, request_id
        )
        log.info("key made", key=made.key.id, scopes=sorted(made.key.scopes), request_id=request_id)
        keep_instead(request, orjson.dumps({**_shown(made.key), "notice": TOLD_ONCE}))
        return json_response({**_shown(made.key), "key": made.token}, 201)

    async def revoke(self, request: Request) -> Response:
        """Refuse a key from now on."""
        key_id = path_text(request, "key_id")
        by, request_id = actor_of(request), request.state.request_id
        if await asyncio.to_thread(self._keys.revoke, key_id, by, request_id) is None:
            raise not_found("key", key_id)
        log.info("key revoked", key=key_id, request_id=request_id)
        return Response(status_code=204)


_KEY_ID = {"name": "key_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": instant_text(key.created_at),
        "expires_at": instant_text(key.expires_at) if key.expires_at is not None else None,
    }
