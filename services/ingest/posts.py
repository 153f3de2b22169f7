"""Which paths take a POST, and what each asks of a key: known before a request is routed.

Rule: read from the OpenAPI document, where every route declares its guard's scope; nothing is said twice.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request
from starlette.routing import compile_path

from services.ingest.guard import SECURITY_SCHEME, Guard
from services.runtime.keys import ApiKey, Scope

Admission = Callable[[Request], Awaitable[ApiKey]]


class Posts:
    """The guards of the routes that take a POST."""

    def __init__(self, paths: Mapping[str, Any], guard: Guard) -> None:
        self._doors: list[tuple[re.Pattern[str], Admission]] = [
            (compile_path(path)[0], guard.admission(_scope_of(item["post"])))
            for path, item in paths.items()
            if "post" in item
        ]

    def admission(self, path: str) -> Admission | None:
        """The guard of the route that takes a POST to this path; None if there is none."""
        return next((admission for pattern, admission in self._doors if pattern.match(path)), None)


def _scope_of(operation: Mapping[str, Any]) -> Scope | None:
    (needed,) = operation["security"]
    named = needed[SECURITY_SCHEME]
    return Scope(named[0]) if named else None
