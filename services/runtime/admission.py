"""Who may ask, and how often: the key of a request, its scope and its rate, before anything of the request is read.

Rule: a token is never logged or echoed. What a service does with an admitted key is its own.
"""

from __future__ import annotations

from typing import Final

from fastapi import Request

from services.runtime.keys import ApiKey, KeyFile, Scope
from services.runtime.problems import ProblemError
from services.runtime.rates import Rates

BEARER: Final = "bearer "
SECURITY_SCHEME: Final = "key"
SECURITY_SCHEMES: Final = {SECURITY_SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "tg_…"}}
"""What the OpenAPI documents say of keys."""


def admitted(request: Request, keys: KeyFile, scope: Scope | None) -> ApiKey:
    """The request's key, if it has the scope; None asks for any key. Errors: ProblemError 401, 403."""
    header, *others = request.headers.getlist("authorization") or [""]
    if others:
        raise ProblemError(401, "two_keys", "more than one `Authorization` came", "send one: its key is who asks")
    if header[: len(BEARER)].lower() != BEARER:
        raise ProblemError(401, "no_key", "an API key is needed", "send `Authorization: Bearer tg_…`")
    key = keys.verify(header[len(BEARER) :].strip())
    if key is None:
        raise ProblemError(401, "unknown_key", "the API key is not known, was revoked or has expired")
    if scope is not None and not key.allows(scope):
        detail = f"key {key.id} lacks it; make a key that has it"
        raise ProblemError(403, "scope_missing", f"this needs the scope {scope}", detail)
    return key


def counted(key: ApiKey, rates: Rates) -> dict[str, str]:
    """Take a request from the key's rate; the headers that tell what is left. Errors: ProblemError 429, with them."""
    left = rates.take(key.id)
    limits = rates.told(left)
    if left < 0:
        detail = f"at most {rates.limit_per_s} requests a second"
        raise ProblemError(429, "rate_limited", "too many requests", detail, headers={**limits, "Retry-After": "1"})
    return limits
