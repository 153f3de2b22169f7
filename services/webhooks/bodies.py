"""The body of a request to the webhooks API: bounded, as strict as ingest's, and what is wrong with it.

Rule: read by the route and not by the framework, so that a stranger's is not read at all. Nothing of it is told again,
since it may hold a secret.
"""

from __future__ import annotations

from typing import Final

from fastapi import Request
from pydantic import ValidationError

from schemas.strict_json import JsonRefusedError, load_strictly
from services.runtime.bodies import read_body
from services.runtime.problems import ProblemError, invalid, model_faults
from services.webhooks.documents import WebhookRequest

BODY_BYTES_MAX: Final = 256 * 1024
EXAMPLE: Final = 'send {"url": "https://…", "segments": ["trial-ending"]}'


async def read_webhook(request: Request) -> WebhookRequest:
    """The webhook that a body asks for. Errors: ProblemError 400, 408, 413, 422."""
    raw = await read_body(request, BODY_BYTES_MAX, "name fewer segments")
    try:
        return WebhookRequest.model_validate(load_strictly(raw))
    except JsonRefusedError as error:
        # The message of the refusal may quote the body.
        raise ProblemError(400, error.code, "the body is not JSON that can be read", EXAMPLE) from error
    except ValidationError as error:
        raise invalid(model_faults(error, EXAMPLE)) from error
