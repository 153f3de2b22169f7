"""Who may write, and how often: the key, its scope and its rate, before anything of a request is read.

Rule: every route has a guard with one scope, and declares it in the OpenAPI document, from which the tests take their
matrix. A token is never logged or echoed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import Depends, Request

from services.runtime.audit import Actor
from services.runtime.keys import ApiKey, KeyFile, Scope
from services.runtime.problems import ProblemError
from services.runtime.rates import Rates

BEARER: Final = "bearer "
SECURITY_SCHEME: Final = "key"


class Guard:
    """Makes the dependency that a route puts before itself."""

    def __init__(self, keys: KeyFile, rates: Rates) -> None:
        self._keys = keys
        self._rates = rates

    def allow(self, scope: Scope | None) -> Any:
        """Admit only requests whose key has the scope; None admits any key."""
        return Depends(self.admission(scope))

    def admission(self, scope: Scope | None) -> Callable[[Request], Awaitable[ApiKey]]:
        """The dependency itself."""

        async def admit(request: Request) -> ApiKey:
            key = self._key_of(request)
            if scope is not None and not key.allows(scope):
                detail = f"key {key.id} lacks it; make a key that has it"
                raise ProblemError(403, "scope_missing", f"this needs the scope {scope}", detail)
            if not hasattr(request.state, "limits"):
                self._count(request, key)
            request.state.key_id, request.state.key_name = key.id, key.name
            return key

        return admit

    def _count(self, request: Request, key: ApiKey) -> None:
        """Take the request from the key's rate: once, though a request with an idempotency key passes two guards."""
        left = self._rates.take(key.id)
        limits = self._rates.told(left)
        if left < 0:
            detail = f"at most {self._rates.limit_per_s} requests a second"
            raise ProblemError(429, "rate_limited", "too many requests", detail, headers={**limits, "Retry-After": "1"})
        request.state.limits = [(name.lower().encode(), value.encode()) for name, value in limits.items()]

    def _key_of(self, request: Request) -> ApiKey:
        header = request.headers.get("authorization", "")
        if header[: len(BEARER)].lower() != BEARER:
            raise ProblemError(401, "no_key", "an API key is needed", "send `Authorization: Bearer tg_…`")
        key = self._keys.verify(header[len(BEARER) :].strip())
        if key is None:
            raise ProblemError(401, "unknown_key", "the API key is not known, was revoked or has expired")
        return key


def actor_of(request: Request) -> Actor:
    """Whose key an admitted request came with."""
    return Actor(request.state.key_id, request.state.key_name)


def secured(scope: Scope | None) -> dict[str, Any]:
    """What the OpenAPI document says of a guarded route."""
    return {"security": [{SECURITY_SCHEME: [scope.value] if scope is not None else []}]}
