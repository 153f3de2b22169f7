"""Who may ask: the same API keys and scopes as at ingest, from the same file.

Rule: a read needs a key with the scope of what it reads; without one the answer says which scope. A key is never
logged or echoed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request

from services.runtime.admission import admitted
from services.runtime.keys import ApiKey, KeyFile, Scope


def requires(keys: KeyFile, scope: Scope | None) -> Callable[[Request], Awaitable[ApiKey]]:
    """A dependency that admits only requests whose key has the scope, or that have any key when there is none."""

    async def admit(request: Request) -> ApiKey:
        return admitted(request, keys, scope)

    return admit
