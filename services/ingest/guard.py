"""Who may write, and how often: the key, its scope and its rate, before anything of a request is read.

Rule: every route has a guard with one scope, and declares it in the OpenAPI document, from which the tests take their
matrix. A token is never logged or echoed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, Request

from services.runtime.admission import SECURITY_SCHEME, admitted, counted
from services.runtime.audit import Actor
from services.runtime.keys import ApiKey, KeyFile, Scope
from services.runtime.rates import Rates


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
            key = admitted(request, self._keys, scope)
            if not hasattr(request.state, "limits"):  # once, though one with an idempotency key passes two guards
                limits = counted(key, self._rates)
                request.state.limits = [(name.lower().encode(), value.encode()) for name, value in limits.items()]
            request.state.key_id, request.state.key_name = key.id, key.name
            return key

        return admit


def actor_of(request: Request) -> Actor:
    """Whose key an admitted request came with."""
    return Actor(request.state.key_id, request.state.key_name)


def secured(scope: Scope | None) -> dict[str, Any]:
    """What the OpenAPI document says of a guarded route."""
    return {"security": [{SECURITY_SCHEME: [scope.value] if scope is not None else []}]}
