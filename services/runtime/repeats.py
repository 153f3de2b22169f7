"""`Idempotency-Key`: what tells a request apart, so that its repeat is known for one in every service.

Rule: a key belongs to the API key that sends it. What is kept of an answer, and where, is each service's own matter.
"""

from __future__ import annotations

import hashlib
from typing import Final

from fastapi import Request

from services.runtime.problems import ProblemError

HEADER: Final = "Idempotency-Key"
KEY_CHARACTERS_MAX: Final = 255
REPLAYED: Final = {"Idempotency-Replayed": "true"}


def identity_of(request: Request) -> str | None:
    """What tells an admitted request apart, by its API key and its own; None without one. Errors: ProblemError 400."""
    sent = request.headers.getlist(HEADER)
    if not sent:
        return None
    if len(sent) > 1:
        raise ProblemError(400, "invalid_idempotency_key", "more than one idempotency key came", "send one")
    (wanted,) = sent
    if not 0 < len(wanted) <= KEY_CHARACTERS_MAX:
        title = f"an idempotency key has 1 to {KEY_CHARACTERS_MAX} characters"
        raise ProblemError(400, "invalid_idempotency_key", title)
    return hashlib.sha256(f"{request.state.key_id}\0{wanted}".encode(errors="surrogatepass")).hexdigest()
