"""Puts back what an operator's command changed for its time, whoever asks the command to end meanwhile.

Rule: a command that is told to end is cancelled at each signal; what gives topics their settings back is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from aiokafka.errors import KafkaError

from services.runtime.errors import ServiceError


async def put_back(work: Coroutine[None, None, None], left: str) -> None:
    """Run `work` to its end, however often the caller is cancelled; it then ends as cancelled.

    Errors: `ServiceError` when the broker did not let it; it says what is `left` as it is and what to do.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        task.result()
    except (KafkaError, ServiceError) as error:
        raise ServiceError(f"{left} ({error})") from error
    if cancelled is not None:
        raise cancelled
