"""Reads what a peer sends as a body: bounded in size and in time, so that no peer holds what others need for ever.

Rule: a body is refused before it is held, and given up when it does not go on. What must not happen here: knowing what
a body means. Ingest counts the bytes of all its requests together, and so has a reader of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from services.runtime.problems import ProblemError

BODY_TIMEOUT_S: Final = 30
"""For a whole body that is read at once, and for every next part of one that is passed on."""
_CLOSED: Final = {"Connection": "close"}


async def read_body(request: Request, bytes_max: int, hint: str = "") -> bytes:
    """The whole body. Errors: ProblemError 400, 408, 413; `hint` says how to send fewer bytes."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                size += len(part)
                if size > bytes_max:
                    title = f"the body has more than {bytes_max} bytes"
                    raise ProblemError(413, "body_too_large", title, hint, headers=_CLOSED)
                parts.append(part)
    except TimeoutError as error:
        title = f"the body did not arrive within {BODY_TIMEOUT_S} s"
        raise ProblemError(408, "body_timeout", title, headers=_CLOSED) from error
    except ClientDisconnect as error:
        raise _broken_off() from error
    return b"".join(parts)


async def unstalled(request: Request) -> AsyncIterator[bytes]:
    """The body's parts as they come. Errors: ProblemError 400, and 408 when the next one does not come in time."""
    parts = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            title = f"the body stood still for {BODY_TIMEOUT_S} s"
            raise ProblemError(408, "body_timeout", title, headers=_CLOSED) from error
        except ClientDisconnect as error:
            raise _broken_off() from error
        yield part


def _broken_off() -> ProblemError:
    return ProblemError(400, "body_broken_off", "the body did not arrive whole", "send it again")
