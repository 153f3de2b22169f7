"""Work that goes on beside a block of a test: a load, a look at something again and again, a supervisor.

Rule: it ends with the block. Work that failed before fails the test, since what it was to see or do is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run until the end of the block. Errors: what the work failed with, unless the block itself failed."""
    task = asyncio.create_task(work)
    try:
        yield
    except BaseException as error:
        if (cause := await _ended(task)) is not None:
            error.add_note(f"what ran beside it had ended before: {cause!r}")
        raise
    if (cause := await _ended(task)) is not None:
        raise cause


async def _ended(task: asyncio.Task[None]) -> BaseException | None:
    task.cancel()
    await asyncio.wait({task})
    return None if task.cancelled() else task.exception()
