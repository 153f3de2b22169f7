"""The body of a request to the webhooks API: bounded in size and time, and what is wrong with it.

Rule: read by the route and not by the framework, so that a stranger's is not read at all. Nothing of it is told again,
since it may hold a secret.
"""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import Request
from pydantic import ValidationError

from services.runtime.problems import ProblemError, invalid, model_faults
from services.webhooks.documents import WebhookRequest

BODY_BYTES_MAX: Final = 256 * 1024
BODY_TIMEOUT_S: Final = 30
EXAMPLE: Final = 'send {"url": "https://…", "segments": ["trial-ending"]}'


async def read_webhook(request: Request) -> WebhookRequest:
    """The webhook that a body asks for. Errors: ProblemError."""
    try:
        return WebhookRequest.model_validate_json(await _read(request))
    except ValidationError as error:
        raise invalid(model_faults(error, EXAMPLE)) from error


async def _read(request: Request) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                body += part
                if len(body) > BODY_BYTES_MAX:
                    title = f"the body has more than {BODY_BYTES_MAX} bytes"
                    raise ProblemError(413, "body_too_large", title, "name fewer segments")
    except TimeoutError as error:
        raise ProblemError(408, "body_timeout", f"the body did not arrive within {BODY_TIMEOUT_S} s") from error
    return body
