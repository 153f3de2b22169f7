"""Who may ask: the same API keys and scopes as at ingest, from the same file.

Rule: a read needs a key with the scope of what it reads; without one the answer says which scope. A key is never
logged or echoed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request

from services.runtime.keys import ApiKey, KeyFile, Scope
from services.runtime.problems import ProblemError

BEARER: Final = "bearer "


def requires(keys: KeyFile, scope: Scope | None) -> Callable[[Request], Awaitable[ApiKey]]:
    """A dependency that admits only requests whose key has the scope, or that have any key when there is none."""

    async def admit(request: Request) -> ApiKey:
        header = request.headers.get("Authorization", "")
        if not header.lower().startswith(BEARER):
            raise ProblemError(401, "no_key", "an API key is needed", "send `Authorization: Bearer tg_…`")
        key = keys.verify(header[len(BEARER) :].strip())
        if key is None:
            raise ProblemError(401, "unknown_key", "the API key is not known, was revoked or has expired")
        if scope is not None and not key.allows(scope):
            raise ProblemError(403, "scope_missing", f"this needs the scope `{scope}`, which key {key.id} lacks")
        return key

    return admit
