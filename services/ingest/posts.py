"""Which paths take a POST, and what each asks of a key: known before a request is routed.

Rule: read from the OpenAPI document, where every route declares its guard's scope; nothing is said twice.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.routing import compile_path

from services.ingest.guard import Guard
from services.runtime.admission import SECURITY_SCHEME
from services.runtime.keys import ApiKey, Scope

Admission = Callable[[Request], Awaitable[ApiKey]]


@dataclass(frozen=True, slots=True)
class Post:
    """A route that takes a POST: its path, as metrics call it, and its guard."""

    path: str
    admission: Admission


class Posts:
    """The routes that take a POST."""

    def __init__(self, paths: Mapping[str, Any], guard: Guard) -> None:
        self._posts: list[tuple[re.Pattern[str], Post]] = [
            (compile_path(path)[0], Post(path, guard.admission(_scope_of(item["post"]))))
            for path, item in paths.items()
            if "post" in item
        ]

    def to(self, path: str) -> Post | None:
        """The route that takes a POST to this path; None if there is none."""
        return next((post for pattern, post in self._posts if pattern.match(path)), None)


def _scope_of(operation: Mapping[str, Any]) -> Scope | None:
    (needed,) = operation["security"]
    named = needed[SECURITY_SCHEME]
    return Scope(named[0]) if named else None
